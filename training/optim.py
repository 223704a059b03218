"""Muon for hidden matrices, AdamW for everything else, and the schedule of both. Knows parameters by name only.

Muon (https://kellerjordan.github.io/posts/muon/) replaces a matrix's momentum by the nearest orthogonal matrix, so that
every direction learns at one speed. Here matrices of one shape are made orthogonal together, in a few large products.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import nn

_ADAM_ONLY = re.compile(r"embed|hint_head|mlp\.gate\.weight$")  # tables, the auxiliary head and routers
_COEFFICIENTS = ((3.4445, -4.7750, 2.0315),) * 5  # of the Newton-Schulz iteration


@dataclass(frozen=True)
class Rates:
    """The highest learning rates, and how they rise and fall."""

    muon: float
    adam: float
    weight_decay: float = 0.01
    warmup_steps: int = 150
    fall_from: float = 0.45  # share of the training after which they fall in a line
    last: float = 0.02  # share of them that is left at the end

    def share(self, step: int, progress: float) -> float:
        """The share of the highest rates, for the number of steps done and the share of all training done."""
        height = min(1.0, max(0.0, 1.0 - progress) / (1.0 - self.fall_from))
        return min(1.0, (step + 1) / self.warmup_steps) * (self.last + (1.0 - self.last) * height)


class Optimizer:
    """Both optimisers over the parameters of a network, whose gradients it takes and clears."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], rates: Rates) -> None:
        self.rates = rates
        self.muon = Muon({name: p for name, p in parameters.items() if is_hidden_matrix(name, p)}, rates.weight_decay)
        self._others = {name: p for name, p in parameters.items() if not is_hidden_matrix(name, p)}
        matrices = [p for p in self._others.values() if p.dim() > 1]
        vectors = [p for p in self._others.values() if p.dim() == 1]
        groups = [{"params": matrices, "weight_decay": rates.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self._adam = torch.optim.AdamW(groups, lr=rates.adam, betas=(0.9, 0.98), eps=1e-10, fused=True)

    @torch.no_grad()
    def step(self, step: int, progress: float) -> float:
        """One update; returns the share of the highest learning rates that it used."""
        share = self.rates.share(step, progress)
        for group in self._adam.param_groups:
            group["lr"] = self.rates.adam * share
        self._adam.step()
        self._adam.zero_grad()
        self.muon.step(self.rates.muon * share, momentum=0.85 + 0.1 * min(1.0, step / 300))
        return share

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors to continue from, themselves and no copies: Muon's momentum, Adam's two means."""
        found = {f"momentum.{name}": momentum for name, momentum in self.muon.momentum.items()}
        for name, parameter in self._others.items():
            if parameter in self._adam.state:
                found[f"mean.{name}"] = self._adam.state[parameter]["exp_avg"]
                found[f"square.{name}"] = self._adam.state[parameter]["exp_avg_sq"]
        return found

    @torch.no_grad()
    def load_state(self, tensors: Mapping[str, torch.Tensor], step: int) -> None:
        """Continues, after `step` steps, from copies of what `state` gave."""
        for name, momentum in self.muon.momentum.items():
            momentum.copy_(tensors[f"momentum.{name}"])
        for name, parameter in self._others.items():
            mean, square = (torch.empty_like(parameter).copy_(tensors[f"{kind}.{name}"]) for kind in ("mean", "square"))
            steps = torch.tensor(float(step), device=parameter.device)
            self._adam.state[parameter] = {"step": steps, "exp_avg": mean, "exp_avg_sq": square}


class Muon:
    def __init__(self, parameters: Mapping[str, nn.Parameter], weight_decay: float) -> None:
        self.parameters = dict(parameters)
        self.weight_decay = weight_decay
        self.momentum = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}

    @torch.no_grad()
    def step(self, rate: float, momentum: float) -> None:
        """One update with Nesterov's momentum; clears the gradients."""
        weights: list[torch.Tensor] = list(self.parameters.values())
        gradients = [parameter.grad for parameter in weights if parameter.grad is not None]
        assert len(gradients) == len(weights), "every hidden matrix takes part in every step"
        means = list(self.momentum.values())
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        torch._foreach_lerp_(gradients, means, momentum)
        torch._foreach_mul_(weights, 1 - rate * self.weight_decay)
        moves = [
            move
            for name, weight, gradient in zip(self.parameters, weights, gradients, strict=True)
            for move in zip(matrices(name, weight), matrices(name, gradient), strict=True)
        ]
        moves.sort(key=lambda move: move[0].shape)
        for _, same in groupby(moves, key=lambda move: move[0].shape):
            views, updates = zip(*same, strict=True)
            torch._foreach_add_(views, orthogonal(torch.stack(updates)).unbind(), alpha=-rate)
        for parameter in weights:
            parameter.grad = None


def is_hidden_matrix(name: str, parameter: torch.Tensor) -> bool:
    """Whether Muon updates the parameter of this name."""
    return parameter.dim() > 1 and not _ADAM_ONLY.search(name)


def matrices(name: str, tensor: torch.Tensor) -> Sequence[torch.Tensor]:
    """The linear maps that are stored side by side in one parameter, as views [out, in]."""
    if name.endswith("attn.qkv.weight"):
        return tensor.chunk(3)
    if name.endswith("experts.gate_up_proj"):
        return [part.T for expert in tensor for part in expert.chunk(2, dim=-1)]
    if name.endswith("experts.down_proj"):
        return [expert.T for expert in tensor]
    return [tensor]


def orthogonal(updates: torch.Tensor) -> torch.Tensor:
    """Matrices [n, out, in] with the same singular vectors as `updates` and singular values near one, in bfloat16 by
    Newton-Schulz; those that widen their input are scaled up so that they move their outputs as much."""
    _, rows, columns = updates.shape
    x: torch.Tensor = updates.bfloat16()
    if rows > columns:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for a, b, c in _COEFFICIENTS:
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    if rows > columns:
        x = x.mT
    widening: float = max(1.0, rows / columns) ** 0.5
    return x.to(updates.dtype) * widening
