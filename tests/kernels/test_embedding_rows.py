"""Rows of a weight matrix: the compiled kernel against the definition of what is stored."""

from __future__ import annotations

import pytest
import torch

from qwen3vl.kernels.cpu import library as cpu
from qwen3vl.kernels.cpu.library import Level
from qwen3vl.kernels.embedding import lookup, lookup_operation
from qwen3vl.kernels.packed import PackedMatrix, Packing
from tests.support.cpu import LEVELS

PACKINGS = [*(Packing(bits, group) for bits in (4, 8) for group in (32, 64, 128)), Packing(8, 64, planes=True)]
INDICES = torch.tensor([40, 0, 7, 7, 15, 16])


def values(columns: int) -> torch.Tensor:
    return torch.randn(41, columns, generator=torch.Generator().manual_seed(columns))


def looked_up(weight: torch.Tensor | PackedMatrix, indices: torch.Tensor, level: Level) -> torch.Tensor:
    y = torch.full((len(indices), weight.shape[1]), 3.0)
    cpu.run(lookup_operation(weight, indices, y), level=level)
    return y


@pytest.mark.parametrize("level", [Level.NONE, *LEVELS])
@pytest.mark.parametrize("columns", [8, 131, 256])
@pytest.mark.parametrize("packing", PACKINGS, ids=str)
def test_packed_rows_are_those_of_the_matrix(packing: Packing, columns: int, level: Level) -> None:
    matrix = PackedMatrix.of(values(columns), packing)
    assert torch.equal(lookup(matrix, INDICES, level=level), matrix.dequantize()[INDICES])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_plain_rows_become_float32(dtype: torch.dtype, level: Level) -> None:
    weight = values(131).to(dtype)
    assert torch.equal(looked_up(weight, INDICES, level), weight[INDICES].float())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("weight", [values(64), PackedMatrix.of(values(64), PACKINGS[-1])], ids=["plain", "planes"])
@pytest.mark.parametrize("missing", [-1, 41, 2**40])
def test_a_row_that_is_not_there_is_no_number(weight: torch.Tensor | PackedMatrix, missing: int, level: Level) -> None:
    found = looked_up(weight, torch.tensor([3, missing, 5]), level)
    assert found[1].isnan().all()
    rows = weight if isinstance(weight, torch.Tensor) else weight.dequantize()
    assert torch.equal(found[::2], rows[[3, 5]])


@pytest.mark.parametrize("missing", [-1, 41, 2**40])
@pytest.mark.parametrize("packing", [None, PACKINGS[0], PACKINGS[-1]], ids=str)
def test_without_a_kernel_such_a_row_is_an_error(packing: Packing | None, missing: int) -> None:
    weight = PackedMatrix.of(values(64), packing) if packing else values(64)
    with pytest.raises(IndexError):
        lookup(weight, torch.tensor([3, missing, 5]), level=Level.NONE)
