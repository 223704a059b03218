"""Operations that run one after the other in one call: each must see what those before it wrote, on any threads."""

from __future__ import annotations

import pytest
import torch

from qwen3vl.kernels.cpu.library import Level, Program
from qwen3vl.kernels.experts import experts_operation, packed_experts_reference, route, route_operation
from qwen3vl.kernels.linear import linear, linear_operation
from qwen3vl.kernels.norm import Norm
from qwen3vl.kernels.packed import PackedMatrix, Packing
from tests.support.cpu import LEVELS


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("tokens", [1, 3, 17])
def test_a_chain_gives_what_its_links_give(tokens: int, level: Level, threads: int) -> None:
    """Twelve rounds of a product, a SwiGLU and a sum in place, to the bit what single calls give: no thread may run
    ahead of another.
    """
    generator = torch.Generator().manual_seed(tokens)
    norm, packing = Norm(torch.rand(136, generator=generator) + 0.5, 1e-6), Packing(4, 32)
    up = PackedMatrix.of(torch.randn(200, 136, generator=generator), packing, halves=2)
    down = PackedMatrix.of(torch.randn(136, 100, generator=generator) * 0.1, packing)
    x = torch.randn(tokens, 136, generator=generator)
    expected = x
    for _ in range(12):
        hidden = linear(expected, up, norm=norm, swiglu=True, level=level)
        expected = linear(hidden, down, residual=expected, level=level)
    gated = torch.empty(tokens, 100)
    links = [
        linear_operation(x, up, gated, norm=norm, swiglu=True),
        linear_operation(gated, down, x, residual=x),
    ]
    Program(links * 12).run(level=level)
    assert torch.equal(x, expected)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("hidden", "experts", "top_k"), [(128, 128, 8), (70, 9, 4), (16, 1, 1)])
@pytest.mark.parametrize("tokens", [1, 5])
def test_routing_is_what_torch_chooses(
    tokens: int, hidden: int, experts: int, top_k: int, level: Level, threads: int
) -> None:
    generator = torch.Generator().manual_seed(hidden)
    x, router = torch.randn(tokens, hidden, generator=generator), torch.randn(experts, hidden, generator=generator)
    norm, active = Norm(torch.rand(hidden, generator=generator) + 0.5, 1e-6), torch.arange(tokens) % top_k + 1
    normed, weights, indices = run_route(x, norm, router, active, top_k, level)
    torch.testing.assert_close(normed, norm(x), rtol=1e-5, atol=1e-6)
    for ours, theirs in zip((weights, indices), route(norm(x) @ router.T, active, top_k), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_a_token_that_is_not_a_number_stays_that_and_stays_alone(level: Level) -> None:
    generator = torch.Generator().manual_seed(0)
    x, router = torch.randn(2, 64, generator=generator), torch.randn(6, 64, generator=generator)
    x[0, 3] = torch.nan
    norm, packing = Norm(torch.ones(64), 1e-6), Packing(8, 32)
    normed, weights, indices = run_route(x, norm, router, torch.tensor([3, 3]), 3, level)
    assert ((indices >= 0) & (indices < 6)).all()
    assert weights[0].isnan().all()
    gate_up = PackedMatrix.of(torch.randn(6, 32, 64, generator=generator), packing, halves=2)
    down = PackedMatrix.of(torch.randn(6, 64, 16, generator=generator), packing)
    y = torch.empty(2, 64)
    Program([experts_operation(normed, gate_up, down, weights, indices, y)]).run(level=level)
    assert y[0].isnan().all()
    expected = packed_experts_reference(normed[1:], gate_up, down, weights[1:], indices[1:])
    assert (y[1:] - expected).norm() < 3e-3 * expected.norm()


def run_route(
    x: torch.Tensor, norm: Norm, router: torch.Tensor, active: torch.Tensor, top_k: int, level: Level
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    made = torch.empty_like(x), torch.empty(len(x), top_k), torch.empty(len(x), top_k, dtype=torch.long)
    Program([route_operation(x, norm, router, active, *made)]).run(level=level)
    return made
