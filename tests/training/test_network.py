"""The network that trains computes what the reference library computes with the weights that are exported from it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.drawn.sample import Sample
from qwen3vl.engine.engine import Engine
from qwen3vl.prompt.builder import PromptBuilder
from support.oracle import Oracle
from support.tiny_training import SUPPLIES, config, packed, sample, vocabulary
from training import state
from training.batches import Batch, Piece
from training.export import export
from training.feed import TASK_NUMBERS, batch_of
from training.layout import lay_out
from training.network import Network
from training.parts import Parts, answer_scores
from training.state import RunState

REFERENCE: Any = transformers
CPU = torch.device("cpu")


def random_network(*, moe: bool, seed: int = 0) -> Network:
    """Weights as large as in a trained model, so that a wrong sign or order shows."""
    network = Network(ModelConfig.from_dict(config(moe=moe, rows=vocabulary().rows)))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.normal_(0.0, 0.25, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1.0)
    return network


def exported(folder: Path, network: Network) -> Path:
    """The network as a released folder; its weights are rounded to bfloat16, here and there."""
    raw = config(moe=network.config.is_moe, rows=vocabulary().rows)
    folder.mkdir(parents=True)
    vocabulary().save(folder / "tokenizer.json")
    state.save(folder / "run", RunState(config=raw), network.state_dict(), {})
    export(folder / "run", folder / "released", folder / "tokenizer.json")
    return folder / "released"


def samples() -> list[list[Sample]]:
    """Those of each piece of a batch: every kind, in several sizes, next to each other."""
    rng = random.Random(9)
    pictures = [sample(rng, "picture", size) for size in ((96, 64), (64, 128), (160, 32))]
    pages = [sample(rng, "pages", (64, 96), 2), sample(rng, "none"), sample(rng, "picture", (32, 64), turns=3)]
    return [pictures, pages, [sample(rng, "video", (64, 64), 5), sample(rng, "video", (64, 32), 4)]]


def pieces() -> list[Piece]:
    kinds = [supply.budget for supply in SUPPLIES for _ in range(supply.pieces)]
    return [packed(budget, drawn) for budget, drawn in zip(kinds, samples(), strict=True)]


def logits(network: Network, batch: Batch, experts: torch.Tensor | None) -> torch.Tensor:
    """[N, vocabulary] in float32."""
    language = network.model.language_model
    hidden, _, _ = network(batch, Parts(), torch.float32, experts)
    normed = hidden * torch.rsqrt(hidden.square().mean(-1, keepdim=True) + 1e-6) * language.norm.weight
    found: torch.Tensor = normed @ language.embed_tokens.weight.T
    return found


def reference_logits(model: Any, drawn: Sample) -> list[torch.Tensor]:
    """For each answer of a conversation, computed alone, [its tokens, vocabulary]."""
    example = lay_out(drawn, vocabulary(), max_tokens=999, max_targets=999)
    assert example is not None
    ids = torch.from_numpy(example.token_ids).long()[None]
    inputs: dict[str, torch.Tensor] = {}
    grids = [torch.from_numpy(grid).float() / 127.5 - 1 for grid in example.grids]
    kinds = (ids == model.config.image_token_id).int() + 2 * (ids == model.config.video_token_id).int()
    if drawn.kind == "video":
        inputs["pixel_values_videos"] = torch.cat(grids)
        inputs["video_grid_thw"] = torch.tensor([[len(grids), *example.grid]])
    elif grids:
        inputs["pixel_values"] = torch.cat(grids).view(-1, 3, 1, 256).expand(-1, 3, 2, 256).reshape(-1, 1536)
        inputs["image_grid_thw"] = torch.tensor([[1, *example.grid]] * len(grids))
    model.model.rope_deltas = None  # it would remember the last conversation's
    out = model(input_ids=ids, mm_token_type_ids=kinds, attention_mask=torch.ones_like(ids), **inputs)
    return [out.logits[0, answer.start - 1 : answer.stop - 1] for answer in example.answers]


@pytest.mark.parametrize(("moe", "experts"), [(False, None), (True, 4), (True, 2), (True, 1)])
@torch.no_grad()
def test_logits_are_those_of_the_reference(moe: bool, experts: int | None, tmp_path: Path) -> None:
    network = random_network(moe=moe)
    oracle = Oracle(exported(tmp_path / "checkpoint", network))
    if experts is not None:
        oracle.set_experts(experts)
    made = pieces()
    batch = batch_of(made, SUPPLIES, CPU)
    ours = logits(network, batch, None if experts is None else torch.full_like(batch.token_ids, experts))
    offset = 0
    for piece, drawn in zip(made, samples(), strict=True):
        theirs = [answer for one in drawn for answer in reference_logits(oracle.model, one)]
        for (start, stop, _), wanted in zip(piece.answers, theirs, strict=True):
            torch.testing.assert_close(ours[offset + start : offset + stop], wanted, atol=1e-3, rtol=1e-4)
        offset += len(piece.arrays["target_ids"])


@pytest.mark.parametrize("moe", [False, True])
def test_the_product_answers_as_the_reference(moe: bool, tmp_path: Path) -> None:
    """Both load the exported folder whole, and neither finds a tensor missing or left over."""
    folder = exported(tmp_path / "checkpoint", random_network(moe=moe))
    _, report = REFERENCE.AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())
    assert not [path for path in folder.iterdir() if path.stat().st_size > 16_000_000]
    picture = Image.fromarray(sample(random.Random(0), size=(320, 256)).frames[0])
    messages = [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "What"}]}]
    prompt = PromptBuilder.from_folder(folder, ModelConfig.from_folder(folder)).build(messages)
    with Engine.load(str(folder), device="cpu", dtype="float32") as engine:
        result = engine.generate(messages, max_tokens=6, temperature=0.0)
    assert result.token_ids == Oracle(folder).greedy(prompt, 6).token_ids[: len(result.token_ids)]
    assert result.token_ids


def test_answer_scores_are_those_of_the_logits() -> None:
    network, batch = random_network(moe=False), batch_of(pieces(), SUPPLIES, CPU)
    with torch.no_grad():
        wanted = logits(network, batch, None)
        hidden, _, _ = network(batch, Parts(), torch.float32, None)
        language = network.model.language_model
        scores, right = answer_scores(
            hidden, language.norm.weight, language.embed_tokens.weight, batch.target_ids, torch.float32
        )
    picked = wanted.log_softmax(-1).gather(1, batch.target_ids[:, None])[:, 0]
    torch.testing.assert_close(scores, -picked, atol=1e-4, rtol=1e-4)
    assert torch.equal(right, wanted.argmax(-1) == batch.target_ids)


def test_every_task_has_a_number() -> None:
    assert sorted(TASK_NUMBERS.values()) == list(range(len(TASK_NUMBERS)))
    assert len(TASK_NUMBERS) < 255  # 0 means none, in eight bits
