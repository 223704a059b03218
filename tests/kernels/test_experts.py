"""Routing and grouped experts against their definitions, and against the reference library's block."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen3VLMoeConfig
from transformers.models.qwen3_vl_moe.modeling_qwen3_vl_moe import Qwen3VLMoeTextSparseMoeBlock

from qwen3vl.kernels import experts

HIDDEN, INNER, EXPERTS, TOP_K = 32, 24, 8, 4


def make(tokens: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(tokens, HIDDEN, generator=generator),
        torch.randn(EXPERTS, 2 * INNER, HIDDEN, generator=generator) * 0.2,
        torch.randn(EXPERTS, HIDDEN, INNER, generator=generator) * 0.2,
        torch.randn(tokens, EXPERTS, generator=generator),
    )


@pytest.mark.parametrize("active", [1, 2, 3, 4])
@pytest.mark.parametrize("tokens", [1, 5, 64])
def test_block_equals_the_reference_library(active: int, tokens: int) -> None:
    """A count of experts gives what the library gives with `num_experts_per_tok` set to it."""
    x, gate_up, down, _ = make(tokens)
    config = Qwen3VLMoeConfig(
        text_config={
            "hidden_size": HIDDEN,
            "moe_intermediate_size": INNER,
            "num_experts": EXPERTS,
            "num_experts_per_tok": active,
        }
    ).text_config
    block = Qwen3VLMoeTextSparseMoeBlock(config).float()
    router = torch.randn(EXPERTS, HIDDEN, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        block.gate.weight.copy_(router)
        block.experts.gate_up_proj.copy_(gate_up)
        block.experts.down_proj.copy_(down)
        expected = block(x[None])[0]
        weights, indices = experts.route(x @ router.T, torch.full((tokens,), active), TOP_K)
        out = experts.grouped_experts(x, gate_up, down, weights, indices)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("run", [experts._experts_cpu, experts._experts_grouped_mm], ids=["cpu", "grouped_mm"])
@pytest.mark.parametrize("tokens", [1, 7, 40])
def test_versions_equal_the_definition_with_mixed_counts(run: object, tokens: int) -> None:
    x, gate_up, down, logits = make(tokens, seed=tokens)
    active = torch.arange(tokens) % TOP_K + 1
    weights, indices = experts.route(logits, active, TOP_K)
    expected = experts.experts_reference(x, gate_up, down, weights, indices)
    torch.testing.assert_close(run(x, gate_up, down, weights, indices), expected, rtol=1e-5, atol=1e-5)  # type: ignore[operator]


def test_dropped_pairs_have_no_weight_and_no_expert() -> None:
    _, _, _, logits = make(6)
    weights, indices = experts.route(logits, torch.tensor([1, 2, 3, 4, 1, 2]), TOP_K)
    assert (indices < EXPERTS).sum(1).tolist() == [1, 2, 3, 4, 1, 2]
    assert weights[indices == EXPERTS].eq(0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(6))


@pytest.mark.parametrize("run", [experts._experts_cpu, experts._experts_grouped_mm], ids=["cpu", "grouped_mm"])
def test_experts_that_nobody_chose_are_not_touched(run: object) -> None:
    """Weights of experts beyond a token's count may be anything, even not a number: they are never read."""
    x, gate_up, down, logits = make(3)
    weights, indices = experts.route(logits, torch.tensor([1, 2, 1]), TOP_K)
    unused = sorted(set(range(EXPERTS)) - set(indices.flatten().tolist()))
    assert unused
    expected = experts.experts_reference(x, gate_up, down, weights, indices)
    gate_up[unused], down[unused] = torch.nan, torch.nan
    torch.testing.assert_close(run(x, gate_up, down, weights, indices), expected, rtol=1e-5, atol=1e-5)  # type: ignore[operator]
