"""AWQ in the "gemm" layout of AutoAWQ (https://github.com/casper-hansen/AutoAWQ).

A matrix of `in` x `out` codes of 4 bits is stored input dimension first: `qweight` [in, out / 8] int32, `qzeros`
[in / group, out / 8] int32 and `scales` [in / group, out] half. Within a word the outputs are shuffled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from qwen3vl.checkpoints.quantized.codes import GroupedCodes
from qwen3vl.checkpoints.quantized.settings import bases, expect, group_size, groups_of, matrix, one_of, take
from qwen3vl.checkpoints.quantized.words import unpack
from qwen3vl.checkpoints.shards import Stored
from qwen3vl.checkpoints.sources import FLOATS, Source

_KINDS = ("qweight", "qzeros", "scales")
_BITS, _PER_WORD = 4, 8
# The place in a word, counted from the lowest bits, of each of eight outputs.
_PLACES = [0, 4, 1, 5, 2, 6, 3, 7]


@dataclass(frozen=True)
class AwqSource(Source):
    group_size: int

    def read(self, tensors: Mapping[str, torch.Tensor]) -> GroupedCodes:
        return GroupedCodes(
            codes=_outputs_first(tensors["qweight"]),
            scales=tensors["scales"].T.float().contiguous(),
            zeros=_outputs_first(tensors["qzeros"]),
            bits=_BITS,
            group_size=self.group_size,
        )


@dataclass(frozen=True)
class AwqScheme:
    group_size: int | None
    unused: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> AwqScheme:
        one_of(config, ("bits", "w_bit"), (_BITS,))
        one_of(config, ("version", "checkpoint_format"), ("gemm",), default="gemm")
        return cls(group_size(config, ("group_size", "q_group_size")))

    def sources(self, stored: Mapping[str, Stored]) -> dict[str, Source]:
        found: dict[str, Source] = {}
        for base in bases(stored, _KINDS):
            parts = take(stored, base, _KINDS)
            inputs, words = matrix(parts["qweight"], "I32")
            count, outputs = groups_of(parts["qweight"], inputs, self.group_size), words * _PER_WORD
            expect(parts["qzeros"], ("I32",), (count, words))
            expect(parts["scales"], FLOATS, (count, outputs))
            found[f"{base}.weight"] = AwqSource(f"{base}.weight", (outputs, inputs), parts, inputs // count)
        return found


def _outputs_first(words: torch.Tensor) -> torch.Tensor:
    """[n, out / 8] int32 as [out, n] uint8."""
    shuffled = unpack(words, _BITS).view(*words.shape, _PER_WORD)
    return shuffled[:, :, _PLACES].flatten(1).T.contiguous()
