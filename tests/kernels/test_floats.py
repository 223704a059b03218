"""Products of a few rows with plain float32 weights in compiled code, against their definitions in double precision."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from qwen3vl.kernels.cpu.library import Level
from qwen3vl.kernels.experts import experts_reference, grouped_experts, route
from qwen3vl.kernels.linear import FEW_ROWS, linear
from qwen3vl.kernels.norm import Norm, rms_norm_reference
from tests.support.cpu import LEVELS

SHAPES = [(1, 1), (16, 16), (37, 50), (70, 33), (130, 256)]  # outputs, inputs


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("outputs", "inputs"), SHAPES)
@pytest.mark.parametrize("rows", [1, 2, 7, FEW_ROWS])
def test_products_equal_the_definition(rows: int, outputs: int, inputs: int, level: Level, threads: int) -> None:
    generator = torch.Generator().manual_seed(rows * inputs)
    x, weight = torch.randn(rows, inputs, generator=generator), torch.randn(2 * outputs, inputs, generator=generator)
    bias, residual = torch.randn(2 * outputs, generator=generator), torch.randn(rows, 2 * outputs, generator=generator)
    norm = Norm(torch.rand(inputs, generator=generator) + 0.5, 1e-6)
    normed = rms_norm_reference(x.double(), norm.weight.double(), norm.eps)
    plain, exact = x.double() @ weight.double().T, normed @ weight.double().T
    gate, up = exact.chunk(2, dim=-1)
    for ours, expected in (
        (linear(x, weight, level=level), plain),
        (linear(x, weight, norm=norm, bias=bias, residual=residual, level=level), exact + bias + residual),
        (linear(x, weight, norm=norm, swiglu=True, level=level), F.silu(gate) * up),
    ):
        torch.testing.assert_close(ours.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("level", LEVELS)
def test_a_row_does_not_depend_on_its_batch(level: Level) -> None:
    """To the bit: a seed promises its answer whatever else is asked."""
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(FEW_ROWS, 200, generator=generator), torch.randn(90, 200, generator=generator)
    alone = torch.cat([linear(row[None], weight, level=level) for row in x])
    for rows in range(1, FEW_ROWS + 1):
        assert torch.equal(linear(x[:rows], weight, level=level), alone[:rows])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("hidden", "inner", "experts", "top_k"), [(64, 48, 8, 4), (50, 21, 5, 2)])
@pytest.mark.parametrize("tokens", [1, 5, FEW_ROWS])
def test_experts_equal_the_definition(
    tokens: int, hidden: int, inner: int, experts: int, top_k: int, level: Level, threads: int
) -> None:
    """With counts of experts that differ from token to token, and experts that nobody chose."""
    generator = torch.Generator().manual_seed(tokens + hidden)
    x, residual = torch.randn(2, tokens, hidden, generator=generator)
    gate_up = torch.randn(experts, 2 * inner, hidden, generator=generator) * 0.2
    down = torch.randn(experts, hidden, inner, generator=generator) * 0.2
    logits = torch.randn(tokens, experts, generator=generator)
    logits[:, 1] = -100
    weights, indices = route(logits, torch.arange(tokens) % top_k + 1, top_k)
    gate_up[1] = torch.nan  # nobody's: not touched
    ours = grouped_experts(x, gate_up, down, weights, indices, residual=residual, level=level)
    gate_up[1] = 0
    expected = experts_reference(*(each.double() for each in (x, gate_up, down, weights)), indices) + residual
    torch.testing.assert_close(ours.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_not_a_number_stays_in_its_row(level: Level) -> None:
    generator = torch.Generator().manual_seed(1)
    x, weight = torch.randn(3, 40, generator=generator), torch.randn(24, 40, generator=generator)
    whole = linear(x, weight, level=level)
    x[1, 39] = torch.nan
    out = linear(x, weight, level=level)
    assert out[1].isnan().all()
    assert torch.equal(out[::2], whole[::2])
