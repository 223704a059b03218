"""Products of many rows go through them in parts: each row must come out as it does alone. Tiles, which take other
numbers, have a file of their own.
"""

from __future__ import annotations

import pytest
import torch

from qwen3vl.kernels.cpu.library import Level
from qwen3vl.kernels.experts import grouped_experts, packed_experts_reference, route
from qwen3vl.kernels.linear import linear, packed_linear_reference
from qwen3vl.kernels.norm import Norm
from qwen3vl.kernels.packed import Codes, PackedMatrix, Packing
from tests.support.cpu import LEVELS, LEVELS_OF_BYTES

PACKINGS = [
    *(Packing(bits, group) for bits in (4, 8) for group in (32, 64, 128)),
]
ROWS = [7, 8, 9, 15, 24, 33, 64, 65, 145]
TILES_FROM = 25


def random_matrix(
    rows: int, columns: int, packing: Packing, *, halves: int = 1, batch: int | None = None
) -> PackedMatrix:
    generator = torch.Generator().manual_seed(rows + columns)
    top, groups = 2**packing.bits, -(-columns // packing.group)
    matrix = PackedMatrix.empty(rows, columns, packing, halves=halves, batch=() if batch is None else (batch,))
    for index in range(batch or 1):
        codes = torch.randint(0, top, (rows, columns), generator=generator).to(torch.uint8)
        scales = (torch.rand(rows, groups, generator=generator) * 0.02 + 0.001).half()
        matrix.flat(index).store_codes(Codes(codes, scales))
    return matrix


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("packing", PACKINGS, ids=str)
@pytest.mark.parametrize(("outputs", "columns"), [(48, 256), (70, 131)])
def test_each_row_is_to_the_bit_what_it_is_alone(
    packing: Packing, outputs: int, columns: int, level: Level, threads: int
) -> None:
    matrix = random_matrix(2 * outputs, columns, packing, halves=2)
    generator = torch.Generator().manual_seed(1)
    norm = Norm(torch.rand(columns, generator=generator) + 0.5, 1e-6)
    x = torch.randn(max(ROWS), columns, generator=generator)
    x[:, 5] *= 40
    residual = torch.randn(max(ROWS), 2 * outputs, generator=generator)
    alone = [linear(x[i : i + 1], matrix, residual=residual[i : i + 1], level=level) for i in range(max(ROWS))]
    gated = [linear(x[i : i + 1], matrix, norm=norm, swiglu=True, level=level) for i in range(max(ROWS))]
    reference = packed_linear_reference(x, matrix, residual=residual)
    # A product in the last bit may turn the rounding of an activation here and there.
    assert (torch.cat(alone) - reference).norm() < 1e-4 * reference.norm()
    for rows in ROWS:
        if level == Level.AMX and rows >= TILES_FROM:
            continue
        together = linear(x[:rows], matrix, residual=residual[:rows], level=level)
        assert torch.equal(together, torch.cat(alone[:rows])), f"{rows} rows"
        together = linear(x[:rows], matrix, norm=norm, swiglu=True, level=level)
        assert torch.equal(together, torch.cat(gated[:rows])), f"{rows} rows, SwiGLU"


@pytest.mark.parametrize("level", LEVELS_OF_BYTES)
@pytest.mark.parametrize("packing", PACKINGS, ids=str)
def test_experts_with_many_tokens_give_each_what_it_gets_alone(packing: Packing, level: Level, threads: int) -> None:
    """Some experts have many tokens, one has a few, and one none."""
    hidden, inner, experts, top_k, tokens = 136, 48, 5, 2, 320
    gate_up = random_matrix(2 * inner, hidden, packing, halves=2, batch=experts)
    down = random_matrix(hidden, inner, packing, batch=experts)
    generator = torch.Generator().manual_seed(2)
    x, logits = torch.randn(tokens, hidden, generator=generator), torch.randn(tokens, experts, generator=generator)
    logits += torch.tensor([2.0, 1.0, 0.5, -2.0, -torch.inf])
    weights, indices = route(logits, torch.arange(tokens) % top_k + 1, top_k)
    together = grouped_experts(x, gate_up, down, weights, indices, level=level)
    expected = packed_experts_reference(x, gate_up, down, weights, indices)
    assert (together - expected).norm() < 3e-3 * expected.norm()
    for i in range(tokens):
        one = slice(i, i + 1)
        alone = grouped_experts(x[one], gate_up, down, weights[one], indices[one], level=level)
        assert torch.equal(together[one], alone), f"token {i}"
