"""FP8 as Qwen releases it, one scale for a block of 128 x 128 weights, and as others do, one for a row or for a tensor
(https://huggingface.co/docs/transformers/quantization/finegrained_fp8).

A weight is stored under its own name with the type F8_E4M3, and beside it `<name>_scale_inv` or `<name>_scale`: both
are what the weight is multiplied by. Fused experts have a scale with one dimension more, and in the orientation of
their weights. What a weight of another type is, is told by the files, so that the list of modules that were left alone
is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwen3vl.checkpoints.quantized.scaled import ScaledSource
from qwen3vl.checkpoints.quantized.settings import expect, one_of
from qwen3vl.checkpoints.shards import Stored
from qwen3vl.checkpoints.sources import FLOATS, Source
from qwen3vl.checkpoints.tensors import Shape
from qwen3vl.errors import CheckpointError

FP8 = "F8_E4M3"
ACTIVATION_SCALES = (
    "input_scale",
    "output_scale",
    "activation_scale",
    "gate_up_proj_activation_scale",
    "down_proj_activation_scale",
    "k_scale",
    "v_scale",
)
_SUFFIXES = ("_scale_inv", "_scale")


@dataclass(frozen=True)
class Fp8Scheme:
    block: tuple[int, int] | None  # None: one scale for a tensor or for each of its rows
    unused: tuple[str, ...] = ACTIVATION_SCALES

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Fp8Scheme:
        one_of(config, ("fmt",), ("e4m3", "float8_e4m3fn"), default="e4m3")
        return cls(block_size(config.get("weight_block_size"), "weight_block_size"))

    def sources(self, stored: Mapping[str, Stored]) -> dict[str, Source]:
        found: dict[str, Source] = {}
        for name in self._names(stored):
            scale = next((name + suffix for suffix in _SUFFIXES if name + suffix in stored), None)
            if scale is None:
                raise CheckpointError(f"{name} is stored as {FP8}, but lacks {name}_scale_inv")
            if name not in stored:
                raise CheckpointError(f"{scale} is stored, but {name} is not")
            parts = {"values": stored[name], "scales": stored[scale]}
            found[name] = scaled_source(name, parts, self.block)
        return found

    def _names(self, stored: Mapping[str, Stored]) -> list[str]:
        """The weights that have the type or a scale."""
        names = []
        for name, tensor in stored.items():
            suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), None)
            if tensor.dtype == FP8:
                names.append(name)
            elif suffix is not None and name.rpartition(".")[2] not in self.unused:
                names.append(name.removesuffix(suffix))
        return list(dict.fromkeys(names))


def scaled_source(name: str, parts: Mapping[str, Stored], block: tuple[int, int] | None) -> ScaledSource:
    """The source with parts "values" and "scales", which are checked against each other."""
    values, scales = parts["values"], parts["scales"]
    if len(values.shape) not in (2, 3):
        raise CheckpointError(f"{values.shard}: {name} has shape {list(values.shape)}; it must be a matrix")
    expect(values, (FP8,), values.shape)
    *experts, rows, columns = values.shape
    if block is not None:
        expect(scales, FLOATS, (*experts, -(-rows // block[0]), -(-columns // block[1])))
        return ScaledSource(name, values.shape, parts, block)
    shapes: list[Shape] = [(*experts, 1, 1), (*experts, rows, 1)]
    if not experts:
        shapes += [(), (1,), (rows,)]
    expect(scales, FLOATS, *shapes)
    return ScaledSource(name, values.shape, parts, (1, 1))


def block_size(value: object, key: str) -> tuple[int, int] | None:
    if value is None:
        return None
    if isinstance(value, list | tuple) and len(value) == 2 and all(type(size) is int and size > 0 for size in value):
        return value[0], value[1]
    raise CheckpointError(f"quantization_config: {key} must be two positive numbers, got {value!r}")
