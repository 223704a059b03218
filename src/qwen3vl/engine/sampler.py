"""From logits to the next token of each sequence: penalties, grammar, temperature, top-k, top-p, min-p, and a draw.

A draw is one uniform number from the sequence's own generator, looked up in the cumulative distribution: a seed gives
the same answer whatever else is in the batch.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import numpy as np
import torch

from qwen3vl.checkpoints.generation import GenerationDefaults
from qwen3vl.engine.grammar import Bits
from qwen3vl.engine.options import GenerationOptions

_T = TypeVar("_T")

NOTHING_FORBIDDEN: Mapping[int, Bits] = MappingProxyType({})


def _pick(asked: _T | None, default: _T) -> _T:
    return default if asked is None else asked


@dataclass(frozen=True)
class SamplingParams:
    """The options of one request with the checkpoint's defaults filled in."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    presence_penalty: float
    frequency_penalty: float
    repetition_penalty: float

    @classmethod
    def resolve(cls, options: GenerationOptions, defaults: GenerationDefaults) -> SamplingParams:
        return cls(
            temperature=_pick(options.temperature, defaults.temperature),
            top_k=_pick(options.top_k, defaults.top_k),
            top_p=_pick(options.top_p, defaults.top_p),
            min_p=options.min_p,
            presence_penalty=_pick(options.presence_penalty, defaults.presence_penalty),
            frequency_penalty=options.frequency_penalty,
            repetition_penalty=_pick(options.repetition_penalty, defaults.repetition_penalty),
        )

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is taken. Below this temperature logits would overflow, and nothing else
        wins.
        """
        return self.temperature < 1e-4

    @property
    def penalised(self) -> bool:
        return bool(self.presence_penalty or self.frequency_penalty or self.repetition_penalty != 1.0)


class SamplingState:
    """What sampling remembers of one sequence: its generator, and which tokens it has seen where a penalty needs
    them.
    """

    def __init__(self, params: SamplingParams, seed: int | None, prompt_ids: list[int]) -> None:
        self.params = params
        # A string, because of an integer seed only the absolute value counts.
        self._random = random.Random() if seed is None else random.Random(str(seed))
        self._prompt_ids = prompt_ids
        self._counts: torch.Tensor | None = None  # [vocabulary] of the answer so far
        self._in_prompt: torch.Tensor | None = None  # [vocabulary] bool

    def draw(self) -> float:
        return self._random.random()

    def histories(self, vocabulary: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        if self._counts is None or self._in_prompt is None:
            self._counts = torch.zeros(vocabulary, device=device)
            self._in_prompt = torch.zeros(vocabulary, dtype=torch.bool, device=device)
            self._in_prompt[torch.tensor(self._prompt_ids, dtype=torch.long, device=device)] = True
        return self._counts, self._in_prompt

    def record(self, token_id: int) -> None:
        if self._counts is not None:
            self._counts[token_id] += 1


@dataclass(frozen=True)
class SampledToken:
    token_id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()  # (token id, logprob), most likely first


def sample(
    logits: torch.Tensor,
    states: list[SamplingState],
    num_logprobs: list[int | None],
    allowed: Mapping[int, Bits] = NOTHING_FORBIDDEN,
) -> list[SampledToken | None]:
    """Chooses one token for each row. logits: [rows, vocabulary] float32; num_logprobs: alternatives to report, None
    for none; allowed: for rows under a grammar, the tokens that may come. A row that holds what is not a number gives
    None.

    Reported log-probabilities are the model's own, before penalties, temperature and grammar.
    """
    adjusted = _forbid(_penalise(logits, states), allowed)
    best, tokens = adjusted.max(-1)
    drawn = [row for row, state in enumerate(states) if not state.params.greedy]
    if drawn:
        rows = torch.tensor(drawn, device=logits.device)
        tokens[rows] = _draw(adjusted[rows], [states[row] for row in drawn])
    token_ids: list[int] = torch.where(best.isnan(), -1, tokens).tolist()
    sampled: list[SampledToken | None] = []
    for row, (token_id, state, count) in enumerate(zip(token_ids, states, num_logprobs, strict=True)):
        if token_id < 0:
            sampled.append(None)
            continue
        state.record(token_id)
        sampled.append(SampledToken(token_id) if count is None else _with_logprobs(logits[row], token_id, count))
    return sampled


def _penalise(logits: torch.Tensor, states: list[SamplingState]) -> torch.Tensor:
    """Repetition divides (or multiplies) the logits of all tokens seen, prompt included; presence and frequency
    subtract for tokens of the answer only, as OpenAI defines them.
    """
    chosen = [row for row, state in enumerate(states) if state.params.penalised]
    if not chosen:
        return logits
    histories = [states[row].histories(logits.shape[-1], logits.device) for row in chosen]
    counts, in_prompt = (torch.stack(parts) for parts in zip(*histories, strict=True))
    params = [states[row].params for row in chosen]
    repetition, presence, frequency = (
        torch.tensor([getattr(p, name) for p in params], device=logits.device)[:, None]
        for name in ("repetition_penalty", "presence_penalty", "frequency_penalty")
    )
    rows = torch.tensor(chosen, device=logits.device)
    values = logits[rows]
    repeated = torch.where(values > 0, values / repetition, values * repetition)
    values = torch.where(in_prompt | (counts > 0), repeated, values)
    return logits.index_copy(0, rows, values - presence * (counts > 0) - frequency * counts)


def _forbid(logits: torch.Tensor, allowed: Mapping[int, Bits]) -> torch.Tensor:
    """Takes the rows' other tokens out. By adding, so that what is not a number stays that; the bits travel packed."""
    if not allowed:
        return logits
    bits = torch.from_numpy(np.stack(list(allowed.values()))).to(logits.device, non_blocking=True)
    places = torch.arange(32, dtype=torch.int32, device=logits.device)
    may = (bits[:, :, None] >> places & 1).flatten(1)[:, : logits.shape[-1]].bool()
    rows = torch.tensor(list(allowed), device=logits.device)
    bias = torch.zeros((), device=logits.device).where(may, -torch.inf)
    return logits.index_add(0, rows, bias)


def _draw(logits: torch.Tensor, states: list[SamplingState]) -> torch.Tensor:
    """One draw a row from the sorted, cut distribution. Without any top-k the whole vocabulary is sorted."""
    params = [state.params for state in states]
    vocabulary = logits.shape[-1]
    top_k = [p.top_k if 0 < p.top_k < vocabulary else vocabulary for p in params]

    def column(values: list[float] | list[int]) -> torch.Tensor:
        return torch.tensor(values, device=logits.device)[:, None]

    values, token_ids = (logits / column([p.temperature for p in params])).topk(max(top_k), dim=-1)
    ranks = torch.arange(values.shape[-1], device=logits.device)
    probabilities = values.masked_fill(ranks >= column(top_k), -torch.inf).softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    kept = before < column([p.top_p for p in params])
    kept &= probabilities >= column([p.min_p for p in params]) * probabilities[:, :1]
    kept &= probabilities > 0  # what a grammar forbids is none of the last tokens either
    kept |= ranks == 0  # the most likely token always stays, so that no row is left empty
    cumulative = (probabilities * kept).cumsum(-1)
    target = column([state.draw() for state in states]) * cumulative[:, -1:]
    choice = torch.searchsorted(cumulative, target, right=True)
    last = kept.sum(-1, keepdim=True) - 1  # a draw that rounds up to the total must not fall on a token that was cut
    return token_ids.gather(-1, torch.minimum(choice, last))[:, 0]


def _with_logprobs(logits: torch.Tensor, token_id: int, count: int) -> SampledToken:
    logprobs = logits.log_softmax(-1)
    values, ids = logprobs.topk(min(count, len(logprobs)))
    top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
    return SampledToken(token_id, float(logprobs[token_id]), top)
