"""Products of 25 rows and more in tiles of bfloat16 (AMX): against exact products of the same weights."""

from __future__ import annotations

import pytest
import torch

from qwen3vl.kernels.cpu.library import Level, best_level
from qwen3vl.kernels.experts import grouped_experts, route
from qwen3vl.kernels.linear import linear
from qwen3vl.kernels.norm import Norm
from qwen3vl.kernels.packed import Packing
from tests.kernels.test_many_rows import PACKINGS, TILES_FROM, random_matrix

pytestmark = pytest.mark.skipif(best_level() < Level.AMX, reason="not on this processor")

# Around whole tiles, pairs of them, and what is multiplied at a time.
ROWS = [25, 32, 33, 48, 49, 64, 65, 113, 255, 256, 257, 330]
NEAR = 4e-3  # two factors of 8 bits each; bytes with outliers among them miss by three times that and more


def activations(rows: int, columns: int) -> torch.Tensor:
    x = torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows + columns))
    x[:, 5] *= 40
    return x


def close(y: torch.Tensor, expected: torch.Tensor) -> bool:
    return bool((y - expected).norm() < NEAR * expected.norm())


@pytest.mark.parametrize("packing", PACKINGS, ids=str)
@pytest.mark.parametrize(("outputs", "columns"), [(48, 256), (70, 131), (296, 600), (16, 1100), (80, 4200)])
def test_products_are_near_the_exact_ones(packing: Packing, outputs: int, columns: int, threads: int) -> None:
    """Odd and even numbers of blocks and of tiles, more blocks than fit, columns in one part and in several."""
    matrix, x = random_matrix(2 * outputs, columns, packing, halves=2), activations(max(ROWS), columns)
    norm, residual = Norm(torch.linspace(0.5, 1.5, columns), 1e-6), torch.randn(max(ROWS), 2 * outputs)
    exact = linear(x, matrix.dequantize(), residual=residual, level=Level.NONE)
    gated = linear(x, matrix.dequantize(), norm=norm, swiglu=True, level=Level.NONE)
    whole = linear(x, matrix, residual=residual, level=Level.AMX)
    whole_gated = linear(x, matrix, norm=norm, swiglu=True, level=Level.AMX)
    assert close(whole, exact)
    assert close(whole_gated, gated)
    for rows in ROWS:  # a row is the same whoever else is there
        assert torch.equal(linear(x[:rows], matrix, residual=residual[:rows], level=Level.AMX), whole[:rows]), rows
        together = linear(x[:rows], matrix, norm=norm, swiglu=True, level=Level.AMX)
        assert torch.equal(together, whole_gated[:rows]), rows


@pytest.mark.parametrize("packing", PACKINGS, ids=str)
def test_fewer_rows_are_products_of_bytes(packing: Packing) -> None:
    matrix, x = random_matrix(64, 512, packing), activations(TILES_FROM, 512)
    assert torch.equal(linear(x[1:], matrix, level=Level.AMX), linear(x[1:], matrix, level=Level.AVX512))
    assert not torch.equal(linear(x, matrix, level=Level.AMX), linear(x, matrix, level=Level.AVX512))


@pytest.mark.parametrize("packing", PACKINGS, ids=str)
def test_experts_with_many_tokens(packing: Packing, threads: int) -> None:
    """Some experts have tiles of tokens, one has a few, and one none; tokens use one expert or two."""
    hidden, inner, experts, top_k, tokens = 136, 304, 5, 2, 420
    gate_up = random_matrix(2 * inner, hidden, packing, halves=2, batch=experts)
    down = random_matrix(hidden, inner, packing, batch=experts)
    x = activations(tokens, hidden)
    logits = torch.randn(tokens, experts, generator=torch.Generator().manual_seed(2))
    logits += torch.tensor([2.0, 1.0, 0.5, -0.6, -torch.inf])
    weights, indices = route(logits, torch.arange(tokens) % top_k + 1, top_k)
    counts = torch.bincount(indices.flatten(), minlength=experts + 1)[:experts]
    assert counts.max() > 256
    assert 0 < counts[3] < TILES_FROM
    assert counts[4] == 0
    y = grouped_experts(x, gate_up, down, weights, indices, level=Level.AMX)
    floats = [torch.stack([each.flat(e).dequantize() for e in range(experts)]) for each in (gate_up, down)]
    exact = grouped_experts(x, *floats, weights, indices, level=Level.NONE)
    few = (indices == 3).any(1)  # products of bytes
    assert (y[~few] - exact[~few]).norm() < 1.5 * NEAR * exact[~few].norm()  # of one product after another
    assert (y[few] - exact[few]).norm() < 0.03 * exact[few].norm()


def test_experts_with_few_tokens_are_products_of_bytes() -> None:
    gate_up = random_matrix(96, 128, Packing(4, 64), halves=2, batch=4)
    down = random_matrix(128, 48, Packing(4, 64), batch=4)
    x, logits = activations(36, 128), torch.randn(36, 4, generator=torch.Generator().manual_seed(3))
    weights, indices = route(logits, torch.full((36,), 2), 2)
    assert torch.bincount(indices.flatten()).max() < TILES_FROM
    y, by_bytes = (
        grouped_experts(x, gate_up, down, weights, indices, level=each) for each in (Level.AMX, Level.AVX512)
    )
    assert torch.equal(y, by_bytes)


def test_what_is_no_number_stays_in_its_row() -> None:
    matrix, x = random_matrix(96, 512, Packing(4, 64)), activations(80, 512)
    expected = linear(x, matrix, level=Level.AMX)
    x[17, 300], x[18, 3] = torch.nan, torch.inf
    y = linear(x, matrix, level=Level.AMX)
    assert not y[17:19].isfinite().any()
    kept = [row for row in range(80) if row not in (17, 18)]
    assert torch.equal(y[kept], expected[kept])
