"""The whole network, and where each tensor of a released checkpoint belongs in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.checkpoints.layouts import Destination
from qwen3vl.kernels.attention import LayerCache
from qwen3vl.kernels.head import logits
from qwen3vl.kernels.linear import Weight
from qwen3vl.kernels.packed import PackedMatrix, PackedRows, Packing
from qwen3vl.model.batch import Batch
from qwen3vl.model.decoder import Attention, Decoder, DecoderLayer, DenseMLP, SparseMLP
from qwen3vl.model.linear import Projection
from qwen3vl.model.vision import PatchMerger, VisionTower


@dataclass(frozen=True)
class Packings:
    """How a quantised decoder stores its matrices. Some may keep more than the others: the output head, which decides
    between words that are close; those of query, key and value; all of the last layer. None: as in other layers.
    """

    layers: Packing
    head: Packing
    qkv: Packing | None = None
    last: Packing | None = None

    def of(self, *, qkv: bool, last: bool) -> Packing:
        """Of a layer's matrix."""
        return (self.last if last else None) or (self.qkv if qkv else None) or self.layers


class Qwen3VL(nn.Module):
    """Vision tower, decoder and output head. Holds weights and computes; knows nothing of requests or files."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.visual = VisionTower(config.vision)
        self.decoder = Decoder(config.text)
        text = config.text
        self.lm_head = None if config.tie_word_embeddings else Projection(text.hidden_size, text.vocab_size)

    @classmethod
    def empty(
        cls,
        config: ModelConfig,
        device: torch.device,
        dtype: torch.dtype,
        packings: Packings | None = None,
        tower: torch.dtype | None = None,
    ) -> Qwen3VL:
        """The network with storage but no values, ready for the loader: nothing is initialised only to be
        overwritten. With `packings` the decoder's matrices are packed; norms and routers have `dtype`. `tower`: of the
        vision tower, without it `dtype`.
        """
        with torch.device("meta"):
            model = cls(config)
        model.to(dtype)
        if packings is not None:
            model._pack(packings)
        if tower is not None:
            model.visual.to(tower)
        return model.to_empty(device=device).requires_grad_(False).eval()

    def _pack(self, packings: Packings) -> None:
        for layer in self.decoder.layers:
            assert isinstance(layer, DecoderLayer)
            for module in layer.modules():
                if isinstance(module, Projection | SparseMLP):
                    qkv, last = module is layer.attention.qkv_proj, layer is self.decoder.layers[-1]
                    module.pack(packings.of(qkv=qkv, last=last))
        if self.lm_head is None:
            self.decoder.embed_tokens.pack(packings.head)
        else:
            self.lm_head.pack(packings.head)
            self.decoder.embed_tokens.to(torch.bfloat16)

    def packed(self) -> dict[str, PackedMatrix]:
        """The packed matrices by module and attribute, as `named_parameters` has the plain ones."""
        return {
            f"{module_name}.{name}": value
            for module_name, module in self.named_modules()
            for name, value in vars(module).items()
            if isinstance(value, PackedMatrix)
        }

    def replace_packed(self, path: str, data: torch.Tensor) -> None:
        """Gives a packed matrix, named as in `packed`, other memory of the same shape."""
        module_name, _, name = path.rpartition(".")
        module = self.get_submodule(module_name)
        setattr(module, name, replace(getattr(module, name), data=data))

    def release(self) -> None:
        """Gives all weights back. The network is of no use afterwards."""
        self.decoder.forget_plan()
        for path in self.packed():
            module, _, name = path.rpartition(".")
            delattr(self.get_submodule(module), name)
        self.to_empty(device="meta")

    @property
    def dtype(self) -> torch.dtype:
        """Of the decoder's hidden states."""
        return self.decoder.norm.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.decoder.norm.weight.device

    def forward(self, batch: Batch, cache: list[LayerCache]) -> torch.Tensor:
        """One step. Returns float32 logits of the rows in `batch.logit_rows`, [L, vocabulary]."""
        weight = self.decoder.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return logits(self.decoder(batch, cache), weight, self.decoder.norm.norm)

    def destinations(self) -> dict[str, Destination]:
        """For each tensor name of a released checkpoint the part of a parameter that it fills, in the released
        shape.
        """
        named: dict[str, Destination] = dict(self._vision_destinations())
        named.update(self._decoder_destinations())
        if self.lm_head is not None:
            named["lm_head.weight"] = _rows(self.lm_head.weight)
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

    def _decoder_destinations(self) -> Iterator[tuple[str, Destination]]:
        prefix = "model.language_model."
        yield prefix + "embed_tokens.weight", _rows(self.decoder.embed_tokens.weight)
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


def _rows(weight: Weight, first: int = 0, count: int | None = None) -> Destination:
    """Some outputs of a matrix; all without `count`."""
    if isinstance(weight, PackedMatrix):
        return PackedRows(weight, first, weight.rows - first if count is None else count)
    return weight.data[first:] if count is None else weight.data[first : first + count]


def _projection(projection: Projection, names: list[str], sizes: list[int]) -> Iterator[tuple[str, Destination]]:
    """Matrices that lie one after the other in a projection, with their biases."""
    first = 0
    for name, size in zip(names, sizes, strict=True):
        yield f"{name}.weight", _rows(projection.weight, first, size)
        if projection.bias is not None:
            yield f"{name}.bias", projection.bias.data[first : first + size]
        first += size


def _attention(attention: Attention, name: str) -> Iterator[tuple[str, Destination]]:
    sizes = [heads * attention.head_dim for heads in (attention.num_heads, *[attention.num_kv_heads] * 2)]
    yield from _projection(attention.qkv_proj, [f"{name}{part}_proj" for part in "qkv"], sizes)
    yield from _projection(attention.o_proj, [name + "o_proj"], [attention.o_proj.outputs])
    yield from _parameters(attention.q_norm, name + "q_norm")
    yield from _parameters(attention.k_norm, name + "k_norm")


def _dense_mlp(mlp: nn.Module, name: str) -> Iterator[tuple[str, Destination]]:
    assert isinstance(mlp, DenseMLP)
    names = [f"{name}mlp.{part}_proj" for part in ("gate", "up")]
    yield from _projection(mlp.gate_up_proj, names, [mlp.gate_up_proj.outputs // 2] * 2)
    yield from _projection(mlp.down_proj, [f"{name}mlp.down_proj"], [mlp.down_proj.outputs])


def _sparse_mlp(mlp: SparseMLP, name: str) -> Iterator[tuple[str, Destination]]:
    """The release stores experts as [experts, in, out]; here a row is one output, as the products read it."""
    yield f"{name}mlp.gate.weight", mlp.router.weight.data
    for part in ("gate_up_proj", "down_proj"):
        weight: Weight = getattr(mlp, part)
        swapped = (
            PackedRows(weight, 0, weight.rows, swapped=True)
            if isinstance(weight, PackedMatrix)
            else weight.data.transpose(1, 2)
        )
        yield f"{name}mlp.experts.{part}", swapped
