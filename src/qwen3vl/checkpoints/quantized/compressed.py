"""compressed-tensors, the format of llm-compressor (https://github.com/vllm-project/compressed-tensors).

Its config has groups of modules, each with its own way of quantising weights, and modules that it leaves alone.
"pack-quantized" stores integers in words: `weight_packed` [out, in * bits / 32] int32. "int-quantized" and
"float-quantized" store them as they are: `weight` [out, in] int8 or F8_E4M3; "naive-quantized" is either of the two.
All have `weight_scale`, and `weight_zero_point` where the codes are not symmetric. Integers are signed, so half their
range is added to codes and zeros alike. How activations would be quantised is not followed: they stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from qwen3vl.checkpoints.quantized.codes import GroupedCodes, dequantize_scattered, group_size_of
from qwen3vl.checkpoints.quantized.fp8 import ACTIVATION_SCALES, FP8, block_size, scaled_source
from qwen3vl.checkpoints.quantized.settings import bases, expect, group_size, groups_of, matrix, one_of, take
from qwen3vl.checkpoints.quantized.words import unpack
from qwen3vl.checkpoints.shards import Stored
from qwen3vl.checkpoints.sources import FLOATS, Source
from qwen3vl.checkpoints.tensors import Shape
from qwen3vl.errors import CheckpointError

_FORMATS = ("pack-quantized", "int-quantized", "float-quantized", "naive-quantized")
_STRATEGIES = ("tensor", "channel", "group", "block")
_PACKED = ("weight_packed", "weight_shape", "weight_g_idx")


@dataclass(frozen=True)
class _Group:
    """How the weights of some modules are quantised."""

    targets: tuple[str, ...]
    format: str
    is_float: bool
    bits: int
    strategy: str
    symmetric: bool
    block: tuple[int, int] | None  # weights that share a scale, where they are a block
    group_size: int | None  # inputs that share a scale, where they are a group


@dataclass(frozen=True)
class IntegerSource(Source):
    """Parts `weight_packed` or `weight`, `weight_scale`, and perhaps `weight_zero_point`, `weight_g_idx` and
    `weight_shape`.
    """

    bits: int
    block_rows: int  # outputs that share a scale
    count: int  # groups of inputs

    def read(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor | GroupedCodes:
        """Codes, or floats where the inputs of a group do not lie side by side."""
        outputs, inputs = self.shape
        if "weight_shape" in tensors and tuple(tensors["weight_shape"].tolist()) != self.shape:
            raise CheckpointError(
                f"{self.parts['weight_shape'].name} is {tensors['weight_shape'].tolist()}, but the packed weights are "
                f"{list(self.shape)}"
            )
        packed = tensors.get("weight_packed")
        codes = self._unsigned(tensors["weight"]) if packed is None else unpack(packed, self.bits)
        scales = self._each_output(tensors["weight_scale"].float())
        zeros = torch.full(scales.shape, 2 ** (self.bits - 1), dtype=torch.uint8)
        if (zero := tensors.get("weight_zero_point")) is not None:
            packs = zero.dtype == torch.int32
            zeros = unpack(zero.T, self.bits)[:, :outputs].T if packs else self._each_output(self._unsigned(zero))
            zeros = zeros.contiguous()
        if "weight_g_idx" in tensors:
            groups = tensors["weight_g_idx"].long()
            if groups.min() < 0 or groups.max() >= self.count:
                raise CheckpointError(f"{self.parts['weight_g_idx'].name} must be from 0 to {self.count - 1}")
            if group_size_of(groups, self.count) is None:
                return dequantize_scattered(codes, scales, zeros, groups)
        return GroupedCodes(codes, scales, zeros, self.bits, inputs // self.count)

    def _unsigned(self, values: torch.Tensor) -> torch.Tensor:
        return values.short().add(2 ** (self.bits - 1)).to(torch.uint8)

    def _each_output(self, grid: torch.Tensor) -> torch.Tensor:
        """A grid of scales or zeros as [out, groups]."""
        rows = grid.reshape(-1, self.count)
        return rows.repeat_interleave(self.block_rows, 0)[: self.shape[0]].contiguous()


@dataclass(frozen=True)
class CompressedScheme:
    groups: tuple[_Group, ...]
    ignored: tuple[str, ...]
    unused: tuple[str, ...] = (*ACTIVATION_SCALES, "input_zero_point", "output_zero_point")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> CompressedScheme:
        if (config.get("sparsity_config") or {}).get("format", "dense") != "dense":
            raise CheckpointError("quantization_config.sparsity_config: this package reads no sparse weights")
        if (config.get("transform_config") or {}).get("config_groups"):
            raise CheckpointError("quantization_config.transform_config: this package reads no rotated weights")
        groups = config.get("config_groups")
        if not isinstance(groups, Mapping) or not all(isinstance(group, Mapping) for group in groups.values()):
            raise CheckpointError("quantization_config.config_groups must be an object of objects")
        weighted = [group for group in groups.values() if group.get("weights") is not None]
        return cls(tuple(_group(group, config) for group in weighted), _names(config, "ignore"))

    def sources(self, stored: Mapping[str, Stored]) -> dict[str, Source]:
        found: dict[str, Source] = {}
        naked = [name.rpartition(".")[0] for name, part in stored.items() if part.dtype in ("I8", FP8)]
        kinds = (*_PACKED, "weight_scale", "weight_zero_point")
        for base in dict.fromkeys([*bases(stored, kinds), *naked]):
            group = self._group_of(base)
            source = _floats(stored, base, group) if group.is_float else _integers(stored, base, group)
            found[source.name] = source
        return found

    def _group_of(self, base: str) -> _Group:
        """The group of a module: by its name before a pattern, by a pattern before its class."""
        kind = "Embedding" if base.endswith("embed_tokens") else "Linear"
        if not any(_matches(base, name) or name == kind for name in self.ignored):
            by_name = [group for group in self.groups if base in group.targets]
            by_pattern = [group for group in self.groups if any(_matches(base, target) for target in group.targets)]
            by_class = [group for group in self.groups if kind in group.targets]
            if found := [*by_name, *by_pattern, *by_class]:
                return found[0]
        raise CheckpointError(f"{base} is stored quantised, but quantization_config leaves it out")


def _group(raw: Mapping[str, Any], config: Mapping[str, Any]) -> _Group:
    layout = one_of({"format": raw.get("format") or config.get("format")}, ("format",), _FORMATS)
    weights = raw["weights"]
    is_float = one_of(weights, ("type",), ("int", "float"), default="int") == "float"
    if (layout == "float-quantized" and not is_float) or (layout in _FORMATS[:2] and is_float):
        raise CheckpointError(f"quantization_config: the format {layout!r} does not hold weights of that type")
    strategy = one_of(weights, ("strategy",), _STRATEGIES, default=_strategy(weights))
    block = block_size(weights.get("block_structure"), "block_structure") if strategy == "block" else None
    if strategy == "block" and block is None:
        raise CheckpointError("quantization_config: the strategy 'block' needs a block_structure")
    return _Group(
        targets=_names(raw, "targets"),
        format=layout,
        is_float=is_float,
        bits=one_of(weights, ("num_bits",), (8,) if is_float else (4, 8)),
        strategy=strategy,
        symmetric=bool(weights.get("symmetric", True)),
        block=block,
        group_size=group_size(weights) if strategy == "group" else None,
    )


def _names(raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of names of modules or of classes, or of patterns after "re:"."""
    names = raw.get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"quantization_config: {key} must be a list of names, got {names!r}")
    for pattern in (name for name in names if name.startswith("re:")):
        try:
            re.compile(pattern[3:])
        except re.error as error:
            raise CheckpointError(f"quantization_config: {key} has {pattern!r}, which is no pattern") from error
    return tuple(names)


def _strategy(weights: Mapping[str, Any]) -> str:
    """What a missing strategy means."""
    size = weights.get("group_size")
    return "tensor" if size is None else "channel" if size == -1 else "group"


def _matches(base: str, target: str) -> bool:
    return re.match(target[3:], base) is not None if target.startswith("re:") else target == base


def _floats(stored: Mapping[str, Stored], base: str, group: _Group) -> Source:
    parts = take(stored, base, ("weight", "weight_scale"))
    _, columns = matrix(parts["weight"], FP8)
    groups_of(parts["weight"], columns, group.group_size)
    block = (1, group.group_size) if group.group_size else group.block
    return scaled_source(f"{base}.weight", {"values": parts["weight"], "scales": parts["weight_scale"]}, block)


def _integers(stored: Mapping[str, Stored], base: str, group: _Group) -> Source:
    zero = () if group.symmetric else ("weight_zero_point",)
    if group.format == "pack-quantized":
        parts = take(stored, base, ("weight_packed", "weight_scale", "weight_shape", *zero), ("weight_g_idx",))
        weight = parts["weight_packed"]
        outputs, words = matrix(weight, "I32")
        inputs = words * 32 // group.bits
        expect(parts["weight_shape"], ("I64", "I32"), (2,))
    else:
        parts = take(stored, base, ("weight", "weight_scale", *zero))
        weight = parts["weight"]
        outputs, inputs = matrix(weight, "I8")
    height, width = group.block or (outputs if group.strategy == "tensor" else 1, group.group_size)
    count, rows = groups_of(weight, inputs, width), -(-outputs // height)
    grids: list[Shape] = [(rows, count)] + ([(1,), ()] if group.strategy == "tensor" else [])
    expect(parts["weight_scale"], FLOATS, *grids)
    if zero:
        _check_zeros(parts["weight_zero_point"], grids, group.bits)
    if "weight_g_idx" in parts:
        expect(parts["weight_g_idx"], ("I32", "I64"), (inputs,))
    return IntegerSource(f"{base}.weight", (outputs, inputs), parts, group.bits, height, count)


def _check_zeros(zeros: Stored, grids: list[Shape], bits: int) -> None:
    rows, count = grids[0]
    if zeros.dtype == "I32":
        expect(zeros, ("I32",), (-(-rows * bits // 32), count))
    else:
        expect(zeros, ("I8",), *grids)
