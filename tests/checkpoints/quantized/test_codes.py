"""Whether groups lie side by side."""

from __future__ import annotations

import pytest
import torch

from qwen3vl.checkpoints.quantized.codes import group_size_of


@pytest.mark.parametrize(
    ("groups", "count", "size"),
    [
        ([0, 0, 1, 1], 2, 2),
        ([0, 0, 0, 0], 1, 4),
        ([0, 1, 0, 1], 2, None),
        ([1, 1, 0, 0], 2, None),
        ([0, 0, 0, 1], 2, None),
        ([0, 0, 1], 2, None),
        ([0, 1], 3, None),
    ],
)
def test_group_size(groups: list[int], count: int, size: int | None) -> None:
    assert group_size_of(torch.tensor(groups, dtype=torch.int32), count) == size
