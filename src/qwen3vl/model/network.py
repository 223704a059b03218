"""The whole network, and where each tensor of a released checkpoint belongs in it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.model.batch import Batch, LayerCache
from qwen3vl.model.decoder import Attention, Decoder, DenseMLP, SparseMLP
from qwen3vl.model.vision import PatchMerger, VisionTower


class Qwen3VL(nn.Module):
    """Vision tower, decoder and output head. Holds weights and computes; knows nothing of requests or files."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.visual = VisionTower(config.vision)
        self.decoder = Decoder(config.text)
        head = (
            None
            if config.tie_word_embeddings
            else nn.Linear(config.text.hidden_size, config.text.vocab_size, bias=False)
        )
        self.lm_head = head

    @classmethod
    def empty(cls, config: ModelConfig, device: torch.device, dtype: torch.dtype) -> Qwen3VL:
        """The network with storage but no values, ready for the loader: nothing is initialised only to be
        overwritten.
        """
        with torch.device("meta"):
            model = cls(config)
        return model.to(dtype).to_empty(device=device).requires_grad_(False).eval()

    def forward(self, batch: Batch, cache: list[LayerCache]) -> torch.Tensor:
        """One step. Returns float32 logits of the rows in `batch.logit_rows`, [L, vocabulary]."""
        weight = self.decoder.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return F.linear(self.decoder(batch, cache), weight).float()

    def destinations(self) -> dict[str, torch.Tensor]:
        """For each tensor name of a released checkpoint the view of a parameter that it fills, in the released
        shape.
        """
        named = dict(self._vision_destinations())
        named.update(self._decoder_destinations())
        if self.lm_head is not None:
            named["lm_head.weight"] = self.lm_head.weight.data
        return named

    def _vision_destinations(self) -> Iterator[tuple[str, torch.Tensor]]:
        tower, config = self.visual, self.config.vision
        patch = (
            config.hidden_size,
            config.in_channels,
            config.temporal_patch_size,
            config.patch_size,
            config.patch_size,
        )
        yield "model.visual.patch_embed.proj.weight", tower.patch_embed.weight.data.view(patch)
        yield "model.visual.patch_embed.proj.bias", _data(tower.patch_embed.bias)
        yield "model.visual.pos_embed.weight", tower.pos_embed.weight.data
        for index, block in enumerate(tower.blocks):
            prefix = f"model.visual.blocks.{index}."
            for ours, theirs in _VISION_BLOCK_NAMES.items():
                yield from _parameters(block.get_submodule(ours), prefix + theirs)
        yield from _merger(tower.merger, "model.visual.merger")
        for index, merger in enumerate(tower.deepstack_mergers):
            assert isinstance(merger, PatchMerger)
            yield from _merger(merger, f"model.visual.deepstack_merger_list.{index}")

    def _decoder_destinations(self) -> Iterator[tuple[str, torch.Tensor]]:
        prefix = "model.language_model."
        yield prefix + "embed_tokens.weight", self.decoder.embed_tokens.weight.data
        yield prefix + "norm.weight", self.decoder.norm.weight.data
        for index, layer in enumerate(self.decoder.layers):
            name = f"{prefix}layers.{index}."
            yield from _parameters(layer.get_submodule("input_norm"), name + "input_layernorm")
            yield from _parameters(layer.get_submodule("post_attention_norm"), name + "post_attention_layernorm")
            attention, mlp = layer.get_submodule("attention"), layer.get_submodule("mlp")
            assert isinstance(attention, Attention)
            yield from _attention(attention, name + "self_attn.")
            yield from _sparse_mlp(mlp, name) if isinstance(mlp, SparseMLP) else _dense_mlp(mlp, name)


_VISION_BLOCK_NAMES = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.qkv": "attn.qkv",
    "attn.proj": "attn.proj",
    "fc1": "mlp.linear_fc1",
    "fc2": "mlp.linear_fc2",
}


def _data(parameter: torch.Tensor | None) -> torch.Tensor:
    assert parameter is not None
    return parameter.data


def _parameters(module: nn.Module, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    for suffix, parameter in module.named_parameters(recurse=False):
        yield f"{name}.{suffix}", parameter.data


def _merger(merger: PatchMerger, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    yield from _parameters(merger.norm, f"{name}.norm")
    yield from _parameters(merger.fc1, f"{name}.linear_fc1")
    yield from _parameters(merger.fc2, f"{name}.linear_fc2")


def _attention(attention: Attention, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Query, key and value projections lie one after the other in one matrix."""
    sizes = [heads * attention.head_dim for heads in (attention.num_heads, *[attention.num_kv_heads] * 2)]
    for suffix, parameter in attention.qkv_proj.named_parameters():
        for part, view in zip("qkv", torch.split(parameter.data, sizes), strict=True):
            yield f"{name}{part}_proj.{suffix}", view
    yield from _parameters(attention.o_proj, name + "o_proj")
    yield from _parameters(attention.q_norm, name + "q_norm")
    yield from _parameters(attention.k_norm, name + "k_norm")


def _dense_mlp(mlp: nn.Module, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    assert isinstance(mlp, DenseMLP)
    for part, view in zip(("gate", "up"), mlp.gate_up_proj.weight.data.chunk(2), strict=True):
        yield f"{name}mlp.{part}_proj.weight", view
    yield f"{name}mlp.down_proj.weight", mlp.down_proj.weight.data


def _sparse_mlp(mlp: SparseMLP, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """The release stores experts as [experts, in, out]; here a row is one output, as the products read it."""
    yield f"{name}mlp.gate.weight", mlp.router.weight.data
    yield f"{name}mlp.experts.gate_up_proj", mlp.gate_up_proj.data.transpose(1, 2)
    yield f"{name}mlp.experts.down_proj", mlp.down_proj.data.transpose(1, 2)
