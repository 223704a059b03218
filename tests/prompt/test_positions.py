"""Positions against the reference model's own, with no weights involved."""

from __future__ import annotations

import random
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import Qwen3VLModel

from qwen3vl.prompt.positions import mrope_positions
from qwen3vl.prompt.types import Visual

TEXT, IMAGE, VIDEO = 0, 1, 2
Segment = tuple[int, int, int]  # kind; then length and 0 for text, or rows and columns of patches


def _oracle(segments: list[Segment], merge: int) -> tuple[torch.Tensor, int]:
    types: list[int] = []
    grids: dict[int, list[list[int]]] = {IMAGE: [], VIDEO: []}
    for kind, a, b in segments:
        types += [kind] * (a if kind == TEXT else a * b // merge**2)
        if kind != TEXT:
            grids[kind].append([1, a, b])
    reference: Any = Qwen3VLModel
    model = SimpleNamespace(
        config=SimpleNamespace(vision_config=SimpleNamespace(spatial_merge_size=merge)),
        get_vision_position_ids=partial(reference.get_vision_position_ids, None),
    )
    positions, delta = reference.get_rope_index(
        model,
        input_ids=torch.zeros(1, len(types), dtype=torch.int64),
        mm_token_type_ids=torch.tensor([types]),
        image_grid_thw=torch.tensor(grids[IMAGE]) if grids[IMAGE] else None,
        video_grid_thw=torch.tensor(grids[VIDEO]) if grids[VIDEO] else None,
    )
    return positions[:, 0], int(delta)


def _ours(segments: list[Segment], merge: int) -> tuple[torch.Tensor, int]:
    visuals, length = [], 0
    for kind, a, b in segments:
        count = a if kind == TEXT else a * b // merge**2
        if kind != TEXT:
            visuals.append(Visual(torch.empty(0), a, b, length, count, b""))
        length += count
    return mrope_positions(length, visuals, merge)


@pytest.mark.parametrize(
    "segments",
    [
        [(TEXT, 7, 0)],
        [(TEXT, 4, 0), (IMAGE, 4, 6), (TEXT, 3, 0)],
        [(IMAGE, 2, 2), (TEXT, 1, 0)],
        [(TEXT, 1, 0), (IMAGE, 8, 4)],
        [(TEXT, 2, 0), (VIDEO, 4, 4), (TEXT, 9, 0), (VIDEO, 4, 4), (TEXT, 2, 0)],
        [(TEXT, 2, 0), (IMAGE, 2, 10), (TEXT, 5, 0), (VIDEO, 6, 4), (TEXT, 3, 0), (VIDEO, 6, 4), (TEXT, 1, 0)],
    ],
)
def test_positions_equal_the_oracle(segments: list[Segment]) -> None:
    positions, delta = _ours(segments, 2)
    expected, expected_delta = _oracle(segments, 2)
    assert positions.dtype == torch.int64
    assert torch.equal(positions, expected)
    assert delta == expected_delta
    assert positions.shape[1] + delta == int(positions.max()) + 1  # where the answer's first token stands


@pytest.mark.parametrize("merge", [1, 2, 3])
def test_random_mixtures_equal_the_oracle(merge: int) -> None:
    rng = random.Random(merge)
    for _ in range(30):
        segments: list[Segment] = []
        for _ in range(rng.randint(1, 8)):
            segments.append((TEXT, rng.randint(1, 30), 0))
            segments.append((rng.choice([IMAGE, VIDEO]), merge * rng.randint(1, 9), merge * rng.randint(1, 9)))
        positions, delta = _ours(segments, merge)
        expected, expected_delta = _oracle(segments, merge)
        assert torch.equal(positions, expected)
        assert delta == expected_delta
