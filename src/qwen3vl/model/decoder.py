"""The text decoder: attention with normalised heads, dense or mixture-of-experts feed-forward, DeepStack.

Modules with large weights say what they compute twice: `forward` in torch, for any step, and `operation` or
`operations` for a program of compiled kernels (`plan.py`), for steps of a few tokens.
"""

from __future__ import annotations

import torch
from torch import nn

from qwen3vl.checkpoints.config import MoeConfig, TextConfig
from qwen3vl.kernels.attention import (
    LayerCache,
    attention_operation,
    compiled,
    heads_to_cache,
    heads_to_cache_operation,
    paged_attention,
)
from qwen3vl.kernels.cpu.library import Operation
from qwen3vl.kernels.experts import experts_operation, grouped_experts, route, route_operation
from qwen3vl.kernels.linear import Weight, has_kernel
from qwen3vl.kernels.norm import Norm
from qwen3vl.kernels.packed import PackedMatrix, Packing
from qwen3vl.model.batch import Batch, StepContext
from qwen3vl.model.linear import Embedding, Projection
from qwen3vl.model.plan import MOST_TOKENS, Plan, Room
from qwen3vl.model.rotary import MRope


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size))
        self.eps = eps

    @property
    def norm(self) -> Norm:
        """For an operation that applies it to its own input."""
        return Norm(self.weight, self.eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


class Attention(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads, self.head_dim = config.num_heads, config.num_kv_heads, config.head_dim
        width = (self.num_heads + 2 * self.num_kv_heads) * self.head_dim
        self.qkv_proj = Projection(config.hidden_size, width, bias=config.attention_bias)
        self.o_proj = Projection(self.num_heads * self.head_dim, config.hidden_size, bias=config.attention_bias)
        self.q_norm = RMSNorm(self.head_dim, config.rms_norm_eps)
        self.k_norm = RMSNorm(self.head_dim, config.rms_norm_eps)

    def forward(self, x: torch.Tensor, norm: Norm, step: StepContext, cache: LayerCache) -> torch.Tensor:
        """x plus the attention of the normalised x."""
        qkv = self.qkv_proj(x, norm=norm)
        queries = heads_to_cache(qkv, self.q_norm.norm, self.k_norm.norm, step.cos, step.sin, cache, step.slots)
        out = paged_attention(queries, cache, step.groups, self.head_dim**-0.5)
        projected: torch.Tensor = self.o_proj(out.flatten(1), residual=x)
        return projected

    def operations(self, room: Room, norm: Norm, cache: LayerCache) -> list[Operation]:
        norms, scale = (self.q_norm.norm, self.k_norm.norm), self.head_dim**-0.5
        return [
            self.qkv_proj.operation(room.x, room.qkv, norm=norm),
            heads_to_cache_operation(room.qkv, *norms, room.cos, room.sin, cache, room.slots, room.queries),
            attention_operation(room.queries, cache, room.tables, room.lengths, scale, room.attended),
            self.o_proj.operation(room.attended.flatten(1), room.x, residual=room.x),
        ]


class DenseMLP(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gate_up_proj = Projection(config.hidden_size, 2 * config.intermediate_size, halves=2)
        self.down_proj = Projection(config.intermediate_size, config.hidden_size)

    def forward(self, x: torch.Tensor, norm: Norm, step: StepContext) -> torch.Tensor:
        """x plus the feed-forward network of the normalised x."""
        out: torch.Tensor = self.down_proj(self.gate_up_proj(x, norm=norm, swiglu=True), residual=x)
        return out

    def operations(self, room: Room, norm: Norm) -> list[Operation]:
        return [
            self.gate_up_proj.operation(room.x, room.gated, norm=norm, swiglu=True),
            self.down_proj.operation(room.gated, room.x, residual=room.x),
        ]


class SparseMLP(nn.Module):
    """A router and its experts; `step.active_experts` says how many of them each token uses."""

    def __init__(self, hidden_size: int, config: MoeConfig) -> None:
        super().__init__()
        self.top_k = config.num_experts_per_tok
        self.router = nn.Linear(hidden_size, config.num_experts, bias=False)
        self.gate_up_proj: Weight
        self.down_proj: Weight
        self.gate_up_proj = nn.Parameter(torch.empty(config.num_experts, 2 * config.intermediate_size, hidden_size))
        self.down_proj = nn.Parameter(torch.empty(config.num_experts, hidden_size, config.intermediate_size))

    def pack(self, packing: Packing) -> None:
        """Takes packed experts, yet without values, in the place of the parameters. The router stays as it is."""
        for name, halves in (("gate_up_proj", 2), ("down_proj", 1)):
            experts, outputs, inputs = getattr(self, name).shape
            delattr(self, name)
            setattr(self, name, PackedMatrix.empty(outputs, inputs, packing, halves=halves, batch=(experts,)))

    def forward(self, x: torch.Tensor, norm: Norm, step: StepContext) -> torch.Tensor:
        """x plus the experts of the normalised x."""
        normed = norm(x)
        weights, indices = route(self.router(normed), step.active_experts, self.top_k)
        return grouped_experts(normed, self.gate_up_proj, self.down_proj, weights, indices, residual=x)

    def operations(self, room: Room, norm: Norm) -> list[Operation]:
        chosen, router = (room.normed, room.weights, room.indices), self.router.weight
        return [
            route_operation(room.x, norm, router, room.active_experts, *chosen),
            experts_operation(room.normed, self.gate_up_proj, self.down_proj, *chosen[1:], room.x, residual=room.x),
        ]


class DecoderLayer(nn.Module):
    def __init__(self, config: TextConfig, index: int) -> None:
        super().__init__()
        self.input_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attention = Attention(config)
        self.post_attention_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        sparse = config.moe is not None and index in config.moe.layers
        self.mlp = SparseMLP(config.hidden_size, config.moe) if sparse and config.moe else DenseMLP(config)

    def forward(self, x: torch.Tensor, step: StepContext, cache: LayerCache) -> torch.Tensor:
        x = self.attention(x, self.input_norm.norm, step, cache)
        out: torch.Tensor = self.mlp(x, self.post_attention_norm.norm, step)
        return out

    def operations(self, room: Room, cache: LayerCache) -> list[Operation]:
        attention = self.attention.operations(room, self.input_norm.norm, cache)
        return attention + self.mlp.operations(room, self.post_attention_norm.norm)


class Decoder(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, index) for index in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rope: MRope | None = None  # made on first use, when the device is known
        self._plan: tuple[list[LayerCache], Plan] | None = None  # for a cache, made on its first use

    def forward(self, batch: Batch, cache: list[LayerCache]) -> torch.Tensor:
        """Runs one step. Returns hidden states of the rows in `batch.logit_rows`, [L, hidden], before the last norm;
        the next step may overwrite them.
        """
        if self.rope is None:
            self.rope = MRope(self.config.rope, self.config.head_dim, batch.token_ids.device)
        cos, sin = self.rope(batch.position_ids)
        step = StepContext(cos, sin, batch.slots, batch.groups, batch.active_experts)
        if batch.visuals is None and len(batch.token_ids) <= MOST_TOKENS and (plan := self._plan_for(cache)):
            return batch.rows_with_logits(plan.run(batch.token_ids, step))
        x: torch.Tensor = self.embed_tokens(batch.token_ids).to(self.norm.weight.dtype)
        visuals = batch.visuals
        if visuals is not None:
            x = x.index_copy(0, visuals.rows, visuals.embeddings[0].to(x.dtype))
        for index, layer in enumerate(self.layers):
            x = layer(x, step, cache[index])
            if visuals is not None and index + 1 < len(visuals.embeddings):
                x = x.index_add(0, visuals.rows, visuals.embeddings[index + 1].to(x.dtype))
        return batch.rows_with_logits(x)

    def forget_plan(self) -> None:
        """Lets go of the memory that a plan holds: buffers, and through them the cache."""
        self._plan = None

    def _can_plan(self, cache: list[LayerCache]) -> bool:
        """Whether compiled kernels compute all that a step needs."""
        first = self.layers[0]
        assert isinstance(first, DecoderLayer)
        return has_kernel(first.attention.qkv_proj.weight) and compiled(self.norm.weight, cache[0])

    def _plan_for(self, cache: list[LayerCache]) -> Plan | None:
        if self._plan is None or self._plan[0] is not cache:
            if not self._can_plan(cache):
                return None
            self._plan = cache, Plan(self.config, lambda room: self._operations(room, cache))
        return self._plan[1]

    def _operations(self, room: Room, cache: list[LayerCache]) -> list[Operation]:
        operations = [self.embed_tokens.operation(room.token_ids, room.x)]
        for layer, kept in zip(self.layers, cache, strict=True):
            assert isinstance(layer, DecoderLayer)
            operations += layer.operations(room, kept)
        return operations
