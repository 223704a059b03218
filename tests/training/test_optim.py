"""Muon against the singular value decomposition, matrix by matrix; the schedule; a state that continues exactly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.optim import Muon, Optimizer, Rates, is_hidden_matrix, matrices, orthogonal

NAMES = {
    "model.visual.blocks.0.attn.qkv.weight": (3 * 24, 24),
    "model.language_model.layers.0.mlp.down_proj.weight": (24, 40),
    "model.language_model.layers.1.mlp.down_proj.weight": (24, 40),
    "model.language_model.layers.0.mlp.experts.gate_up_proj": (3, 24, 32),
    "model.language_model.layers.0.mlp.experts.down_proj": (3, 16, 24),
    "model.language_model.embed_tokens.weight": (50, 24),
    "model.language_model.layers.0.mlp.gate.weight": (3, 24),
    "model.language_model.norm.weight": (24,),
    "model.visual.patch_embed.proj.weight": (24, 3, 2, 16, 16),
    "hint_head.linear.weight": (9, 24),
}


def parameters(seed: int = 0) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return {name: nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in NAMES.items()}


def set_gradients(named: dict[str, nn.Parameter], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in named.values():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("shape", [(40, 40), (24, 60), (60, 24)])
def test_orthogonal_keeps_directions_and_evens_out_strengths(shape: tuple[int, int]) -> None:
    updates = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    found = orthogonal(updates) / max(1.0, shape[0] / shape[1]) ** 0.5
    for update, result in zip(updates, found, strict=True):
        u, _, vh = torch.linalg.svd(update, full_matrices=False)
        strengths = u.T @ result @ vh.T  # diagonal if the directions are kept
        assert strengths.diagonal().min() > 0.6
        assert strengths.diagonal().max() < 1.3
        assert (strengths - strengths.diagonal().diag()).abs().max() < 0.05


def test_each_stored_matrix_is_made_orthogonal_alone() -> None:
    """The stacked update equals a loop over matrices, whatever is stored side by side and whichever way round."""
    named = {name: p for name, p in parameters().items() if is_hidden_matrix(name, p)}
    assert len(named) == 5
    muon = Muon(named, weight_decay=0.0)
    gradients: list[dict[str, torch.Tensor]] = []
    for seed in range(2):
        before = {name: p.detach().clone() for name, p in named.items()}
        set_gradients(named, seed)
        gradients.append({name: p.grad.clone() for name, p in named.items() if p.grad is not None})
        muon.step(0.1, momentum=0.9)
    for name, parameter in named.items():
        assert parameter.grad is None
        first, second = (found[name] for found in gradients)
        mean = 0.9 * 0.1 * first + 0.1 * second
        step = 0.1 * second + 0.9 * mean  # Nesterov's look ahead
        for old, new, part in zip(
            matrices(name, before[name]), matrices(name, parameter.detach()), matrices(name, step), strict=True
        ):
            torch.testing.assert_close(new, old - 0.1 * orthogonal(part[None])[0], atol=2e-3, rtol=0)


def test_stored_matrices_are_maps_from_input_to_output() -> None:
    named = parameters()
    shapes = {name: [tuple(part.shape) for part in matrices(name, p)] for name, p in named.items()}
    assert shapes["model.visual.blocks.0.attn.qkv.weight"] == [(24, 24)] * 3
    assert shapes["model.language_model.layers.0.mlp.experts.gate_up_proj"] == [(16, 24)] * 6
    assert shapes["model.language_model.layers.0.mlp.experts.down_proj"] == [(24, 16)] * 3


def test_rates_rise_hold_and_fall() -> None:
    rates = Rates(muon=1.0, adam=1.0, warmup_steps=100, fall_from=0.5, last=0.1)
    assert rates.share(0, 0.0) == pytest.approx(0.01)
    assert rates.share(49, 0.2) == pytest.approx(0.5)
    assert rates.share(1000, 0.5) == pytest.approx(1.0)
    assert rates.share(1000, 0.75) == pytest.approx(0.55)
    assert rates.share(1000, 1.0) == pytest.approx(0.1)


def test_continues_exactly_from_its_state() -> None:
    rates = Rates(muon=0.02, adam=0.003, warmup_steps=2)
    named = parameters()
    optimizer = Optimizer(named, rates)
    for step in range(3):
        set_gradients(named, step)
        optimizer.step(step, 0.1)
    assert len(optimizer.state()) == 5 + 2 * 5

    copies = {name: nn.Parameter(p.detach().clone()) for name, p in named.items()}
    other = Optimizer(copies, rates)
    other.load_state({name: tensor.clone() for name, tensor in optimizer.state().items()}, 3)
    for step in range(3, 5):
        for group, owner in ((named, optimizer), (copies, other)):
            set_gradients(group, step)
            owner.step(step, 0.2)
    assert all(torch.equal(named[name], copies[name]) for name in named)
