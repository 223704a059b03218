"""Rotary position embedding, rotate-half (NeoX) layout: frequency i turns the pair (i, i + d/2)."""

from __future__ import annotations

import torch


def apply_rotary(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turns each head of each token by the token's angles.

    x: [tokens, heads, d]; cos, sin: [tokens, 1, d/2] float32. Computed in float32, returned in x's type.
    """
    low, high = x.float().chunk(2, dim=-1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1).to(x.dtype)
