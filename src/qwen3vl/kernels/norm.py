"""Root-mean-square normalisation (https://arxiv.org/abs/1910.07467)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F


class Norm(NamedTuple):
    """A norm that an operation applies to its input."""

    weight: torch.Tensor  # [d]
    eps: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, self.weight, self.eps)


def rms_norm_reference(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """`x / rms(x) * weight` over the last axis: statistics in float32, the product with `weight` in x's own type."""
    x32 = x.float()
    return weight * (x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """`rms_norm_reference` in one call. x: [..., d], weight: [d]; returns x's shape and type."""
    return F.rms_norm(x, weight.shape, weight, eps)
