"""Attention of the vision tower: full within each picture, none across."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F

from qwen3vl.kernels.cpu import library as cpu
from qwen3vl.kernels.rotary import apply_rotary

Segments = list[tuple[int, int]]  # how many pictures, tokens of each: in order, covering all tokens


def picture_attention(
    qkv: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    segments: Segments,
    scale: float,
    *,
    level: cpu.Level | None = None,
) -> torch.Tensor:
    """Turns queries and keys by their angles, then lets the tokens of each picture see each other.

    qkv: [tokens, 3, heads, d]; cos, sin: [tokens, 1, d / 2] float32. Returns [tokens, heads, d]. There is a kernel for
    bfloat16 on CPUs that multiply it, in vectors or in tiles. `level`: the CPU's instruction set, for tests; None takes
    the best.
    """
    if not compiled(qkv, level):
        return picture_attention_reference(qkv, cos, sin, segments, scale)
    y = torch.empty_like(qkv[:, 0])
    lengths = [length for count, length in segments for _ in range(count)]
    starts = torch.tensor([0, *itertools.accumulate(lengths)])
    operation = cpu.PictureAttention(
        cpu.address(qkv, torch.bfloat16),
        len(lengths),
        *qkv.shape[2:],
        cpu.address(starts, torch.int64),
        cpu.address(cos),
        cpu.address(sin),
        scale,
        cpu.address(y, torch.bfloat16),
    )
    cpu.run(operation, level=level)
    return y


def compiled(qkv: torch.Tensor, level: cpu.Level | None = None) -> bool:
    """Whether the compiled kernel takes this."""
    level = cpu.best_level() if level is None else level
    return (
        qkv.device.type == "cpu"
        and qkv.dtype == torch.bfloat16
        and qkv.shape[-1] % 2 == 0
        and qkv.shape[-1] <= cpu.LARGEST_HEAD
        and cpu.multiplies_bfloat16(level)
    )


def picture_attention_reference(
    qkv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, segments: Segments, scale: float
) -> torch.Tensor:
    """`picture_attention` in torch. Equal neighbours (the frames of a video) run as one batch."""
    query, key, value = qkv.unbind(1)
    query, key = apply_rotary(query, cos, sin), apply_rotary(key, cos, sin)
    out = torch.empty_like(query)
    first = 0
    for count, length in segments:
        last = first + count * length
        q, k, v = (x[first:last].view(count, length, *x.shape[1:]).transpose(1, 2) for x in (query, key, value))
        attended = F.scaled_dot_product_attention(q, k, v, scale=scale)
        out[first:last] = attended.transpose(1, 2).flatten(0, 1)
        first = last
    return out
