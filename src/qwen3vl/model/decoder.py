"""The text decoder: attention with normalised heads, dense or mixture-of-experts feed-forward, DeepStack."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from qwen3vl.checkpoints.config import MoeConfig, TextConfig
from qwen3vl.kernels.attention import AttentionGroup, paged_attention, write_kv
from qwen3vl.kernels.experts import grouped_experts, route
from qwen3vl.kernels.norm import rms_norm
from qwen3vl.kernels.rotary import apply_rotary
from qwen3vl.model.batch import Batch, LayerCache
from qwen3vl.model.rotary import MRope


@dataclass
class StepContext:
    """What every layer of a step needs besides the hidden states; computed once a step."""

    cos: torch.Tensor  # [T, 1, head_dim / 2]
    sin: torch.Tensor
    slots: torch.Tensor
    groups: list[AttentionGroup]
    active_experts: torch.Tensor


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, self.weight, self.eps)


class Attention(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads, self.head_dim = config.num_heads, config.num_kv_heads, config.head_dim
        width = (self.num_heads + 2 * self.num_kv_heads) * self.head_dim
        self.qkv_proj = nn.Linear(config.hidden_size, width, bias=config.attention_bias)
        self.o_proj = nn.Linear(self.num_heads * self.head_dim, config.hidden_size, bias=config.attention_bias)
        self.q_norm = RMSNorm(self.head_dim, config.rms_norm_eps)
        self.k_norm = RMSNorm(self.head_dim, config.rms_norm_eps)

    def forward(self, x: torch.Tensor, step: StepContext, cache: LayerCache) -> torch.Tensor:
        heads = self.qkv_proj(x).view(len(x), -1, self.head_dim)
        q, k, v = heads.split((self.num_heads, self.num_kv_heads, self.num_kv_heads), dim=1)
        q = apply_rotary(self.q_norm(q), step.cos, step.sin)
        k = apply_rotary(self.k_norm(k), step.cos, step.sin)
        write_kv(k, v, cache, step.slots)
        out = paged_attention(q, cache, step.groups, self.head_dim**-0.5)
        projected: torch.Tensor = self.o_proj(out.flatten(1))
        return projected


class DenseMLP(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: torch.Tensor, step: StepContext) -> torch.Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        out: torch.Tensor = self.down_proj(F.silu(gate) * up)
        return out


class SparseMLP(nn.Module):
    """A router and its experts; `step.active_experts` says how many of them each token uses."""

    def __init__(self, hidden_size: int, config: MoeConfig) -> None:
        super().__init__()
        self.top_k = config.num_experts_per_tok
        self.router = nn.Linear(hidden_size, config.num_experts, bias=False)
        self.gate_up_proj = nn.Parameter(torch.empty(config.num_experts, 2 * config.intermediate_size, hidden_size))
        self.down_proj = nn.Parameter(torch.empty(config.num_experts, hidden_size, config.intermediate_size))

    def forward(self, x: torch.Tensor, step: StepContext) -> torch.Tensor:
        weights, indices = route(self.router(x), step.active_experts, self.top_k)
        return grouped_experts(x, self.gate_up_proj, self.down_proj, weights, indices)


class DecoderLayer(nn.Module):
    def __init__(self, config: TextConfig, index: int) -> None:
        super().__init__()
        self.input_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attention = Attention(config)
        self.post_attention_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        sparse = config.moe is not None and index in config.moe.layers
        self.mlp = SparseMLP(config.hidden_size, config.moe) if sparse and config.moe else DenseMLP(config)

    def forward(self, x: torch.Tensor, step: StepContext, cache: LayerCache) -> torch.Tensor:
        x = x + self.attention(self.input_norm(x), step, cache)
        out: torch.Tensor = x + self.mlp(self.post_attention_norm(x), step)
        return out


class Decoder(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, index) for index in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rope: MRope | None = None  # made on first use, when the device is known

    def forward(self, batch: Batch, cache: list[LayerCache]) -> torch.Tensor:
        """Runs one step. Returns the normalised hidden states of the rows in `batch.logit_rows`, [L, hidden]."""
        if self.rope is None:
            self.rope = MRope(self.config.rope, self.config.head_dim, batch.token_ids.device)
        x: torch.Tensor = self.embed_tokens(batch.token_ids)
        visuals = batch.visuals
        if visuals is not None:
            x = x.index_copy(0, visuals.rows, visuals.embeddings[0].to(x.dtype))
        cos, sin = self.rope(batch.position_ids)
        step = StepContext(cos, sin, batch.slots, batch.groups, batch.active_experts)
        for index, layer in enumerate(self.layers):
            x = layer(x, step, cache[index])
            if visuals is not None and index + 1 < len(visuals.embeddings):
                x = x.index_add(0, visuals.rows, visuals.embeddings[index + 1].to(x.dtype))
        out: torch.Tensor = self.norm(x[batch.logit_rows])
        return out
