"""Attention within stretches of one flat run of tokens: its definition, and the kernel that computes it on a GPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def stretch_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, offsets: torch.Tensor, longest: int, *, causal: bool
) -> torch.Tensor:
    """Each token sees its own stretch only, and with `causal` only what stands before it there.

    q, k, v: [tokens, heads, head_dim]; offsets: [stretches + 1] int32, from 0 to the number of tokens, none further
    apart than `longest`. Empty stretches are allowed. Returns [tokens, heads, head_dim].
    """
    if q.device.type == "cuda":
        # The kernel behind nested tensors: flash attention over offsets. It is differentiable, and reads nothing back.
        flash = torch.ops.aten._flash_attention_forward
        out: torch.Tensor = flash(q, k, v, offsets, offsets, longest, longest, 0.0, causal, False)[0]
        return out
    parts = []
    for first, last in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        if first < last:
            queries, keys, values = (part[first:last].transpose(0, 1) for part in (q, k, v))
            parts.append(F.scaled_dot_product_attention(queries, keys, values, is_causal=causal).transpose(0, 1))
    return torch.cat(parts)
