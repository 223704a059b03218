"""GPTQ as AutoGPTQ and GPTQModel store it (https://github.com/ModelCloud/GPTQModel).

`qweight` [in * bits / 32, out] int32 packs along the inputs, `qzeros` [groups, out * bits / 32] int32 along the
outputs, `scales` is [groups, out] and `g_idx` [in] has the group of each input. The format "gptq" stores zeros less
one, "gptq_v2" stores them as they are. Where there is a `g_idx`, the bits follow from the shapes, so that they may
differ from module to module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from qwen3vl.checkpoints.quantized.codes import GroupedCodes, dequantize_scattered, group_size_of
from qwen3vl.checkpoints.quantized.settings import bases, expect, group_size, groups_of, matrix, one_of, take
from qwen3vl.checkpoints.quantized.words import unpack
from qwen3vl.checkpoints.shards import Stored
from qwen3vl.checkpoints.sources import FLOATS, Source
from qwen3vl.errors import CheckpointError

_KINDS = ("qweight", "qzeros", "scales")
_BITS = (4, 8)


@dataclass(frozen=True)
class GptqSource(Source):
    bits: int
    zeros_less_one: bool

    def read(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor | GroupedCodes:
        """Codes, or floats where the inputs of a group do not lie side by side."""
        codes = unpack(tensors["qweight"].T, self.bits)
        scales = tensors["scales"].T.float().contiguous()
        zeros = unpack(tensors["qzeros"], self.bits).T.contiguous()
        if self.zeros_less_one:
            zeros = (zeros + 1) & (2**self.bits - 1)
        count = scales.shape[1]
        if "g_idx" not in tensors:
            return GroupedCodes(codes, scales, zeros, self.bits, codes.shape[1] // count)
        groups = tensors["g_idx"].long()
        if groups.min() < 0 or groups.max() >= count:
            raise CheckpointError(f"{self.parts['g_idx'].name} must be from 0 to {count - 1}")
        size = group_size_of(groups, count)
        if size is None:
            return dequantize_scattered(codes, scales, zeros, groups)
        return GroupedCodes(codes, scales, zeros, self.bits, size)


@dataclass(frozen=True)
class GptqScheme:
    bits: int
    group_size: int | None
    zeros_less_one: bool
    reordered: bool  # the groups follow the size of activations, and `g_idx` alone can tell them
    unused: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> GptqScheme:
        layout = one_of(config, ("checkpoint_format",), ("gptq", "gptq_v2"), default="gptq")
        return cls(
            bits=one_of(config, ("bits",), _BITS),
            group_size=group_size(config),
            zeros_less_one=layout == "gptq",
            reordered=bool(config.get("desc_act", False)),
        )

    def sources(self, stored: Mapping[str, Stored]) -> dict[str, Source]:
        found: dict[str, Source] = {}
        for base in bases(stored, (*_KINDS, "g_idx")):
            always = (*_KINDS, "g_idx") if self.reordered else _KINDS
            parts = take(stored, base, always, ("g_idx",) if "g_idx" not in always else ())
            weight, scales = parts["qweight"], parts["scales"]
            rows, outputs = matrix(weight, "I32")
            bits, inputs = self._bits_and_inputs(rows, parts)
            if outputs * bits % 32:
                raise CheckpointError(f"{weight.shard}: {weight.name} has {outputs} outputs, which do not fill words")
            count = matrix(scales, *FLOATS)[0] if "g_idx" in parts else groups_of(weight, inputs, self.group_size)
            expect(scales, FLOATS, (count, outputs))
            expect(parts["qzeros"], ("I32",), (count, outputs * bits // 32))
            found[f"{base}.weight"] = GptqSource(f"{base}.weight", (outputs, inputs), parts, bits, self.zeros_less_one)
        return found

    def _bits_and_inputs(self, rows: int, parts: Mapping[str, Stored]) -> tuple[int, int]:
        if "g_idx" not in parts:
            return self.bits, rows * 32 // self.bits
        groups = parts["g_idx"]
        sizes = [(rows * 32 // bits,) for bits in _BITS]
        expect(groups, ("I32", "I64"), *sizes)
        return _BITS[sizes.index((groups.shape[0],))], groups.shape[0]
