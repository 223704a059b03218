"""The arithmetic of the network between its attentions, as functions of tensors.

Each is one graph to compile, and since weights are arguments, one graph serves all layers. `x` is the residual stream
in float32; norms are computed in float32 and what follows them in the compute type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F

_NORM_EPS = 1e-6
_VISION_THETA = 10_000.0
_Z_SHARE = 0.1  # of the routers' z loss, which keeps their logits small, in the auxiliary loss

Heads = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def patches(pixels: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
    """pixels [P, values] uint8 to [P, width] float32."""
    return _linear((pixels.float() / 127.5 - 1).to(dtype), weight, bias).float()


def vision_heads(
    x: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    num_heads: int,
    norm: torch.Tensor,
    norm_bias: torch.Tensor,
    qkv: torch.Tensor,
    qkv_bias: torch.Tensor,
    dtype: torch.dtype,
) -> Heads:
    """Queries, keys and values, [P, heads, head_dim] each, in the compute type."""
    heads = _linear(_layer_norm(x, norm, norm_bias).to(dtype), qkv, qkv_bias).view(len(x), 3, num_heads, -1)
    q, k, v = heads.unbind(1)
    return _rotate(q, cos, sin, dtype), _rotate(k, cos, sin, dtype), v.contiguous()


def vision_rest(
    x: torch.Tensor,
    seen: torch.Tensor,
    proj: torch.Tensor,
    proj_bias: torch.Tensor,
    norm: torch.Tensor,
    norm_bias: torch.Tensor,
    fc1: torch.Tensor,
    fc1_bias: torch.Tensor,
    fc2: torch.Tensor,
    fc2_bias: torch.Tensor,
) -> torch.Tensor:
    """What stands behind the attention of a vision block. seen: [P, heads, head_dim]."""
    x = x + _linear(seen.flatten(1), proj, proj_bias)
    inner = _linear(_layer_norm(x, norm, norm_bias).to(seen.dtype), fc1, fc1_bias)
    return x + _linear(F.gelu(inner, approximate="tanh"), fc2, fc2_bias)


def merge_single(
    x: torch.Tensor,
    norm: torch.Tensor,
    norm_bias: torch.Tensor,
    fc1: torch.Tensor,
    fc1_bias: torch.Tensor,
    fc2: torch.Tensor,
    fc2_bias: torch.Tensor,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Patches [P, width] to tokens [P / 4, hidden], each patch normalised before four are joined: the main merger."""
    joined = _layer_norm(x, norm, norm_bias).view(-1, fc1.shape[1]).to(dtype)
    return _linear(F.gelu(_linear(joined, fc1, fc1_bias)), fc2, fc2_bias)


def merge_joined(
    x: torch.Tensor,
    norm: torch.Tensor,
    norm_bias: torch.Tensor,
    fc1: torch.Tensor,
    fc1_bias: torch.Tensor,
    fc2: torch.Tensor,
    fc2_bias: torch.Tensor,
    dtype: torch.dtype,
) -> torch.Tensor:
    """The same, normalised after the join: the mergers of DeepStack."""
    joined = _layer_norm(x.view(-1, fc1.shape[1]), norm, norm_bias).to(dtype)
    return _linear(F.gelu(_linear(joined, fc1, fc1_bias)), fc2, fc2_bias)


def text_heads(
    x: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    norm: torch.Tensor,
    q_proj: torch.Tensor,
    k_proj: torch.Tensor,
    v_proj: torch.Tensor,
    q_norm: torch.Tensor,
    k_norm: torch.Tensor,
    dtype: torch.dtype,
) -> Heads:
    """Queries, keys and values, [T, heads, head_dim] each; the last two repeated for the queries that share them."""
    h = _rms_norm(x, norm).to(dtype)
    q, k, v = (_linear(h, weight).view(len(x), -1, len(q_norm)) for weight in (q_proj, k_proj, v_proj))
    shared = q.shape[1] // k.shape[1]
    q = _rotate(_rms_norm(q.float(), q_norm), cos, sin, dtype)
    k = _rotate(_rms_norm(k.float(), k_norm), cos, sin, dtype)
    return q, k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)


def dense_rest(
    x: torch.Tensor,
    seen: torch.Tensor,
    o_proj: torch.Tensor,
    norm: torch.Tensor,
    gate: torch.Tensor,
    up: torch.Tensor,
    down: torch.Tensor,
) -> torch.Tensor:
    """What stands behind the attention of a dense decoder layer."""
    x = x + _linear(seen.flatten(1), o_proj)
    h = _rms_norm(x, norm).to(seen.dtype)
    return x + _linear(F.silu(_linear(h, gate)) * _linear(h, up), down)


def sparse_rest(
    x: torch.Tensor,
    seen: torch.Tensor,
    o_proj: torch.Tensor,
    norm: torch.Tensor,
    router: torch.Tensor,
    gate_up: torch.Tensor,
    down: torch.Tensor,
    active: torch.Tensor,
    top_k: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What stands behind the attention of a MoE layer, and the router's loss. active: [T] experts that each token uses.

    All experts are computed on all tokens and those not chosen count for nothing: with few and narrow experts that is
    two large products instead of many small ones.
    """
    x = x + _linear(seen.flatten(1), o_proj)
    normed = _rms_norm(x, norm)
    logits = F.linear(normed, router)
    shares = logits.softmax(-1)
    top, chosen = shares.topk(top_k, dim=-1)
    kept = torch.arange(top_k, device=x.device) < active[:, None]
    top = top * kept
    weights = torch.zeros_like(shares).scatter(1, chosen, top / top.sum(-1, keepdim=True))

    num_experts, hidden, _ = gate_up.shape
    h = normed.to(seen.dtype)
    inner = (h @ gate_up.to(h.dtype).transpose(0, 1).reshape(hidden, -1)).view(len(x), num_experts, 2, -1)
    out = F.silu(inner[:, :, 0]) * inner[:, :, 1] * weights[..., None].to(h.dtype)
    x = x + out.flatten(1) @ down.to(h.dtype).flatten(0, 1)

    used = torch.zeros_like(shares).scatter(1, chosen, kept / active[:, None]).mean(0)
    balance = num_experts * (used * shares.mean(0)).sum()
    return x, balance + _Z_SHARE * logits.logsumexp(-1).square().mean()


def answer_scores(
    x: torch.Tensor, norm: torch.Tensor, table: torch.Tensor, targets: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """For each row [N, hidden]: minus the log-probability of its target, and whether that is the likeliest token."""
    logits = _linear(_rms_norm(x, norm).to(dtype), table).float()
    return F.cross_entropy(logits, targets, reduction="none"), logits.argmax(-1) == targets


def hint_loss(
    x: torch.Tensor,
    norm: torch.Tensor,
    norm_bias: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    present: torch.Tensor,
    dtype: torch.dtype,
) -> torch.Tensor:
    """The auxiliary head's binary cross-entropy, a mean over the classes that are there. present: [P, classes] bool."""
    logits = _linear(_layer_norm(x, norm, norm_bias).to(dtype), weight, bias).float()
    losses = F.binary_cross_entropy_with_logits(logits, present.float(), reduction="sum")
    return losses / present.sum().clamp(min=1)


@dataclass(frozen=True)
class Parts:
    """The functions above, as they are or compiled."""

    patches: Callable[..., torch.Tensor] = patches
    vision_heads: Callable[..., Heads] = vision_heads
    vision_rest: Callable[..., torch.Tensor] = vision_rest
    merge_single: Callable[..., torch.Tensor] = merge_single
    merge_joined: Callable[..., torch.Tensor] = merge_joined
    text_heads: Callable[..., Heads] = text_heads
    dense_rest: Callable[..., torch.Tensor] = dense_rest
    sparse_rest: Callable[..., tuple[torch.Tensor, torch.Tensor]] = sparse_rest
    answer_scores: Callable[..., tuple[torch.Tensor, torch.Tensor]] = answer_scores
    hint_loss: Callable[..., torch.Tensor] = hint_loss

    @classmethod
    def compiled(cls, backend: str = "inductor") -> Parts:
        """Each function compiled for fixed shapes on its first call."""
        compiled: dict[str, Any] = {
            field.name: torch.compile(getattr(cls, field.name), backend=backend, dynamic=False, fullgraph=True)
            for field in fields(cls)
        }
        return cls(**compiled)


def embed(table: torch.Tensor, ids: torch.Tensor, wanted: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Rows of the table [T, hidden], zeros where not `wanted`."""
    out: torch.Tensor = _Embed.apply(table, ids, wanted, dtype)  # type: ignore[no-untyped-call]
    return out


class _Embed(torch.autograd.Function):
    """A look-up whose gradient is a product with one-hot rows: summing into the few rows that most tokens share, one
    after the other, took a quarter of a step."""

    @staticmethod
    def forward(
        ctx: Any, table: torch.Tensor, ids: torch.Tensor, wanted: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:
        ctx.save_for_backward(ids, wanted)
        ctx.rows, ctx.dtype = len(table), dtype
        return table[ids] * wanted[:, None]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        ids, wanted = ctx.saved_tensors
        one_hot = (ids[:, None] == torch.arange(ctx.rows, device=ids.device)) & wanted[:, None]
        return (one_hot.to(ctx.dtype).T @ gradient.to(ctx.dtype)).float(), None, None, None


def position_weights(cells: torch.Tensor, side: int) -> torch.Tensor:
    """How much of each learned position each patch has, [P, side * side]: bilinear over the table stretched to the
    patch's grid, corners aligned. cells: [P, 4] row, column, rows, columns."""
    at = cells[:, :2].float() * (side - 1) / (cells[:, 2:].float() - 1)
    tents = (1 - (at[..., None] - torch.arange(side, device=cells.device)).abs()).clamp(min=0)  # [P, 2, side]
    return (tents[:, 0, :, None] * tents[:, 1, None, :]).flatten(1)


def vision_angles(cells: torch.Tensor, head_dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines [P, 1, head_dim / 2]: half of the frequencies turn with the row, the others with the column."""
    exponents = torch.arange(0, head_dim // 2, 2, dtype=torch.float32, device=cells.device) / (head_dim // 2)
    angles = (cells[:, :2, None].float() / _VISION_THETA**exponents).flatten(1)[:, None]
    return angles.cos(), angles.sin()


def _linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def _layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, weight.shape, weight, bias, _NORM_EPS)


def _rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + _NORM_EPS) * weight


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(dtype)
