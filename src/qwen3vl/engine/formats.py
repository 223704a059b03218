"""In which form numbers are kept: hidden states and plain weights, the vision tower, packed weights, the cache."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.checkpoints.tensors import HEAD, TEXT, VISION, released_shapes
from qwen3vl.errors import InputError
from qwen3vl.kernels.cpu.library import FORMATS, Level, best_level, compiled, multiplies_bfloat16
from qwen3vl.kernels.packed import Packing
from qwen3vl.model.network import Packings

EMBEDDINGS = f"{TEXT}embed_tokens.weight"
_QKV = ("q_proj.weight", "k_proj.weight", "v_proj.weight")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CACHES = {**_DTYPES, "int8": torch.int8}
# The output head keeps 8 bits, of which a step reads 4 where they decide nothing (`kernels/head.py`). Of the layers'
# matrices, finer ones for query, key and value and 8 bits in the last layer take away a third of the
# divergence for 2 to 3% more bytes a token (docs/log.md).
_HEAD = Packing(8, 128, planes=True)
QUANTIZATIONS: Mapping[str, Packings] = {
    "int8": Packings(layers=Packing(8, 128), head=_HEAD),
    "int4": Packings(layers=Packing(4, 64), head=_HEAD, qkv=Packing(4, 32), last=Packing(8, 128)),
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Formats:
    """`cache` int8 means bytes with a float32 scale for each token and head."""

    dtype: torch.dtype
    tower: torch.dtype
    quantization: str  # "none" or a name of `QUANTIZATIONS`
    cache: torch.dtype

    @property
    def packings(self) -> Packings | None:
        return QUANTIZATIONS.get(self.quantization)

    @property
    def kernels(self) -> str:
        """What multiplies with packed weights: an instruction set of the compiled kernels, or "torch"."""
        level = best_level()
        return "torch" if self.packings is None or level is Level.NONE else level.name.lower()

    @classmethod
    def resolve(
        cls, config: ModelConfig, device: torch.device, *, dtype: str, quantization: str | None, kv_cache: str
    ) -> Formats:
        """Raises as `check_formats` does."""
        check_formats(device, dtype=dtype, quantization=quantization, kv_cache=kv_cache)
        quantization = quantization or "none"
        packed = quantization != "none"
        if packed and not compiled(None):
            _log.warning(
                "the CPU's kernels are not there (they need Linux, an x86-64 processor with AVX2, and a C++ compiler "
                "while the package is installed): quantised weights are unpacked at every step, which is slow"
            )
        resolved = torch.float32 if packed else _dtype(dtype, config, device)
        small = torch.bfloat16 if packed else resolved
        cache = small if kv_cache == "auto" else _CACHES[kv_cache]
        if device.type == "cpu" and resolved == torch.float32 and compiled(None) and cache not in FORMATS:
            _log.warning(
                "the CPU's kernels read no kv_cache of %r: attention is torch's and each layer is called by itself, "
                "which is slower",
                kv_cache,
            )
        return cls(resolved, _tower(dtype, resolved, packed, device), quantization, cache)

    def weight_bytes(self, config: ModelConfig) -> int:
        """Of all tensors that a checkpoint of this config has, as they are kept."""
        return sum(
            self._bytes(name, shape, config.tie_word_embeddings, f"{TEXT}layers.{config.text.num_layers - 1}.")
            for name, shape in released_shapes(config).items()
        )

    def _bytes(self, name: str, shape: tuple[int, ...], tied: bool, last: str) -> int:
        """`last`: how names of the last layer begin."""
        if name.startswith(VISION):
            return prod(shape) * self.tower.itemsize
        if self.packings is None:
            return prod(shape) * self.dtype.itemsize
        if name == EMBEDDINGS and not tied:
            return prod(shape) * torch.bfloat16.itemsize
        if name in (EMBEDDINGS, HEAD):
            return self.packings.head.bytes(*shape)
        packing = self.packings.of(qkv=name.endswith(_QKV), last=name.startswith(last))
        if ".mlp.experts." in name:  # stored with the input dimension first
            return shape[0] * packing.bytes(shape[2], shape[1], halves=2 if "gate_up" in name else 1)
        packed = len(shape) == 2 and not name.endswith("mlp.gate.weight")
        return packing.bytes(*shape) if packed else prod(shape) * self.dtype.itemsize

    def cache_token_bytes(self, config: ModelConfig) -> int:
        """Of one token's keys and values in all layers."""
        text = config.text
        head = text.head_dim * self.cache.itemsize + (torch.float32.itemsize if self.cache == torch.int8 else 0)
        return text.num_layers * 2 * text.num_kv_heads * head


def check_formats(device: torch.device, *, dtype: str, quantization: str | None, kv_cache: str) -> None:
    """Raises `InputError` for a name that is not known, and for what no model can have on this device: before anything
    is downloaded for it.
    """
    if dtype not in ("auto", *_DTYPES):
        raise InputError(f"dtype must be 'auto', {', '.join(map(repr, _DTYPES))}, got {dtype!r}")
    if kv_cache not in ("auto", *_CACHES):
        raise InputError(f"kv_cache must be 'auto', {', '.join(map(repr, _CACHES))}, got {kv_cache!r}")
    if quantization in (None, "none"):
        return
    if quantization not in QUANTIZATIONS:
        known = ", ".join(map(repr, ("none", *QUANTIZATIONS)))
        raise InputError(f"quantization must be one of {known}, got {quantization!r}")
    if device.type != "cpu":
        raise InputError(f"weights of {quantization} are for a CPU, not for {device}: choose the device 'cpu'")
    if dtype not in ("auto", "float32"):
        raise InputError(
            f"with quantization {quantization!r} hidden states are float32: dtype must be 'auto' or 'float32', "
            f"got {dtype!r}"
        )


def _dtype(name: str, config: ModelConfig, device: torch.device) -> torch.dtype:
    """ "auto" is the checkpoint's own type on a GPU and float32 on a CPU."""
    if name == "auto":
        name = config.dtype if device.type == "cuda" else "float32"
    return _DTYPES[name]


def _tower(name: str, resolved: torch.dtype, packed: bool, device: torch.device) -> torch.dtype:
    """A tower computes many rows with each weight: where a CPU multiplies bfloat16, that takes little more than half of
    float32's time. A decoder, which waits for memory row by row, keeps float32 unless asked otherwise.
    """
    quick = device.type == "cpu" and name == "auto" and multiplies_bfloat16()
    return torch.bfloat16 if packed or quick else resolved
