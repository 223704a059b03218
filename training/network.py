"""The Qwen3-VL network in the form that trains fast: one flat batch, every parameter under its released name.

The product's own network serves one user's next token from a cache; this one computes all tokens of a batch at once and
forward and backward. The weights are float32 and each product takes them in the compute type, so that one code path
runs in float32 against the reference and in bfloat16 on a GPU. `parts` holds the arithmetic; this module holds
parameters and order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from qwen3vl.checkpoints.config import ModelConfig, MoeConfig, TextConfig, VisionConfig
from qwen3vl.model.rotary import MRope
from training.attention import stretch_attention
from training.batches import Batch
from training.hints import NUM_HINTS
from training.parts import Parts, embed, position_weights, vision_angles


class Norm(nn.Module):
    """The weights of an RMS norm."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))


class PatchEmbed(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        kernel = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(config.in_channels, config.hidden_size, kernel, stride=kernel)

    def weight(self, frames: int) -> torch.Tensor:
        """[width, values of a patch]: a picture is its own second frame, so that one frame's patch has both weights."""
        weight = self.proj.weight
        return (weight.sum(2) if frames == 1 else weight).flatten(1)


class VisionAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)


class VisionMLP(nn.Module):
    def __init__(self, width: int, inner: int, out: int) -> None:
        super().__init__()
        self.linear_fc1 = nn.Linear(width, inner)
        self.linear_fc2 = nn.Linear(inner, out)


class VisionBlock(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size)
        self.norm2 = nn.LayerNorm(config.hidden_size)
        self.attn = VisionAttention(config.hidden_size)
        self.mlp = VisionMLP(config.hidden_size, config.intermediate_size, config.hidden_size)


class Merger(VisionMLP):
    def __init__(self, config: VisionConfig, *, norm_after_join: bool) -> None:
        joined = config.hidden_size * config.merge_size**2
        super().__init__(joined, joined, config.out_hidden_size)
        self.norm = nn.LayerNorm(joined if norm_after_join else config.hidden_size)


class Vision(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.pos_embed = nn.Embedding(config.num_position_embeddings, config.hidden_size)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.depth))
        self.merger = Merger(config, norm_after_join=False)
        self.deepstack_merger_list = nn.ModuleList(
            Merger(config, norm_after_join=True) for _ in config.deepstack_indexes
        )

    def forward(self, batch: Batch, parts: Parts, dtype: torch.dtype) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The last block's patches [P, width], and the features [P / 4, hidden]: the main ones, then DeepStack's."""
        config = self.config
        values = config.in_channels * config.patch_size**2
        weights = [self.patch_embed.weight(patches.shape[1] // values) for patches in batch.patches]
        bias = self.patch_embed.proj.bias
        x = torch.cat(
            [parts.patches(patch, weight, bias, dtype) for patch, weight in zip(batch.patches, weights, strict=True)]
        )
        x = x + position_weights(batch.cells, round(config.num_position_embeddings**0.5)) @ self.pos_embed.weight
        cos, sin = vision_angles(batch.cells, config.head_dim)
        taps = []
        for index, block in enumerate(self.blocks):
            assert isinstance(block, VisionBlock)
            q, k, v = parts.vision_heads(x, cos, sin, config.num_heads, *_weights(block.norm1, block.attn.qkv), dtype)
            seen = stretch_attention(q, k, v, batch.patch_offsets, batch.largest, causal=False)
            x = parts.vision_rest(
                x, seen, *_weights(block.attn.proj, block.norm2, block.mlp.linear_fc1, block.mlp.linear_fc2)
            )
            if index in config.deepstack_indexes:
                merger: Any = self.deepstack_merger_list[config.deepstack_indexes.index(index)]
                taps.append(parts.merge_joined(x, *_weights(merger.norm, merger.linear_fc1, merger.linear_fc2), dtype))
        last = self.merger
        main = parts.merge_single(x, *_weights(last.norm, last.linear_fc1, last.linear_fc2), dtype)
        return x, [main, *taps]


class Attention(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        width, key_width = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, key_width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, key_width, bias=False)
        self.o_proj = nn.Linear(width, config.hidden_size, bias=False)
        self.q_norm = Norm(config.head_dim)
        self.k_norm = Norm(config.head_dim)


class DenseMLP(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)


class Experts(nn.Module):
    """As released: input dimension first, the gates before the ups."""

    def __init__(self, hidden: int, config: MoeConfig) -> None:
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.empty(config.num_experts, hidden, 2 * config.intermediate_size))
        self.down_proj = nn.Parameter(torch.empty(config.num_experts, config.intermediate_size, hidden))


class SparseMLP(nn.Module):
    def __init__(self, hidden: int, config: MoeConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden, config.num_experts, bias=False)
        self.experts = Experts(hidden, config)


class Layer(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.input_layernorm = Norm(config.hidden_size)
        self.post_attention_layernorm = Norm(config.hidden_size)
        self.self_attn = Attention(config)
        self.mlp = SparseMLP(config.hidden_size, config.moe) if config.moe else DenseMLP(config)


class LanguageModel(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.norm = Norm(config.hidden_size)


class Model(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.visual = Vision(config.vision)
        self.language_model = LanguageModel(config.text)


class HintHead(nn.Module):
    """The auxiliary head over the last block's patches. No part of the released model."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, NUM_HINTS)
        nn.init.constant_(self.linear.bias, -5.5)  # a class is in about one patch of 250


class Network(nn.Module):
    """The whole model. Its state is the released checkpoint's and `hint_head`; the tied head is not repeated."""

    def __init__(self, config: ModelConfig) -> None:
        """Of the shapes of the released family, only those of the small models are built."""
        super().__init__()
        text = config.text
        assert config.tie_word_embeddings
        assert not text.attention_bias
        assert text.rope.yarn is None
        assert text.moe is None or text.moe.layers == frozenset(range(text.num_layers))
        self.config = config
        self.model = Model(config)
        self.hint_head = HintHead(config.vision.hidden_size)
        self._rope: MRope | None = None  # made on first use, when the device is known

    def forward(
        self, batch: Batch, parts: Parts, dtype: torch.dtype, active_experts: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Hidden states of the rows to predict from [N, hidden], the vision tower's patches [P, width], and the mean of
        the layers' auxiliary losses of routing (0 for a dense model). All are float32.

        `dtype` is what products are computed in; `active_experts` [T] the experts that each token uses, of a MoE model.
        """
        text, language = self.config.text, self.model.language_model
        patches, features = self.model.visual(batch, parts, dtype)
        features = [feature.float() * batch.visual_used[:, None] for feature in features]
        is_text = (batch.token_ids != self.config.image_token_id) & (batch.token_ids != self.config.video_token_id)
        x = embed(language.embed_tokens.weight, batch.token_ids, is_text, dtype)
        x = x.index_add(0, batch.visual_rows, features[0])
        if self._rope is None:
            self._rope = MRope(text.rope, text.head_dim, x.device)
        cos, sin = self._rope(batch.positions)
        balance = x.new_zeros(())
        for index, layer in enumerate(language.layers):
            assert isinstance(layer, Layer)
            attn = layer.self_attn
            q, k, v = parts.text_heads(
                x,
                cos,
                sin,
                *_weights(layer.input_layernorm, attn.q_proj, attn.k_proj, attn.v_proj, attn.q_norm, attn.k_norm),
                dtype,
            )
            seen = stretch_attention(q, k, v, batch.token_offsets, batch.longest, causal=True)
            shared = _weights(attn.o_proj, layer.post_attention_layernorm)
            mlp: Any = layer.mlp
            if text.moe is None:
                x = parts.dense_rest(x, seen, *shared, *_weights(mlp.gate_proj, mlp.up_proj, mlp.down_proj))
            else:
                assert active_experts is not None
                experts = (mlp.gate.weight, mlp.experts.gate_up_proj, mlp.experts.down_proj)
                top_k = text.moe.num_experts_per_tok
                x, loss = parts.sparse_rest(x, seen, *shared, *experts, active_experts, top_k)
                balance = balance + loss / text.num_layers
            if index + 1 < len(features):
                x = x.index_add(0, batch.visual_rows, features[index + 1])
        return x.index_select(0, batch.target_rows), patches, balance


def _weights(*modules: Any) -> list[torch.Tensor]:
    """Weight and, if there is one, bias of each."""
    return [parameter for module in modules for parameter in module.parameters(recurse=False)]
