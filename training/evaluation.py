"""How well a network in training predicts answers about held-out samples, its own earlier words being right.

A quick measure at the end of a run. Answers that are generated, and scored as a user would see them, are the business
of `qwen3vl eval`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from training.batches import Piece
from training.feed import Supplies, batch_of, pieces_of
from training.network import Network
from training.parts import Parts


@dataclass(frozen=True)
class Score:
    """Of the answers of one task: their number, the mean over their tokens, and the share that is right to the last."""

    answers: int
    loss: float  # nats a token
    token_accuracy: float
    exact: float


@torch.no_grad()
def evaluate(
    network: Network, pieces: Sequence[Piece], supplies: Supplies, *, dtype: torch.dtype, experts: int | None = None
) -> dict[str, Score]:
    """Scores by task, and those of all answers as `all`. pieces: those of whole batches, in the order of their numbers;
    experts: how many each token uses, None for all of its k."""
    device = next(network.parameters()).device
    found: dict[str, list[tuple[float, int, int]]] = defaultdict(list)
    size = pieces_of(supplies)
    for first in range(0, len(pieces), size):
        batch = batch_of(pieces[first : first + size], supplies, device)
        moe = network.config.text.moe
        active = None
        if moe is not None:
            active = torch.full_like(batch.token_ids, experts or moe.num_experts_per_tok)
        hidden, _, _ = network(batch, Parts(), dtype, active)
        language = network.model.language_model
        scores, right = Parts.answer_scores(
            hidden, language.norm.weight, language.embed_tokens.weight, batch.target_ids, dtype
        )
        losses, hits = scores.double().cpu().numpy(), right.cpu().numpy()
        offset = 0
        for piece in pieces[first : first + size]:
            for start, stop, task in piece.answers:
                part = slice(offset + start, offset + stop)
                found[task].append((float(losses[part].sum()), int(hits[part].sum()), stop - start))
            offset += len(piece.arrays["target_ids"])
    everything = [answer for answers in found.values() for answer in answers]
    return {"all": _score(everything), **{task: _score(answers) for task, answers in sorted(found.items())}}


def _score(answers: Sequence[tuple[float, int, int]]) -> Score:
    losses, hits, tokens = (np.array(column) for column in zip(*answers, strict=True))
    return Score(
        answers=len(answers),
        loss=float(losses.sum() / tokens.sum()),
        token_accuracy=float(hits.sum() / tokens.sum()),
        exact=float((hits == tokens).mean()),
    )
