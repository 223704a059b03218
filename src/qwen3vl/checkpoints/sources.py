"""Where a tensor of the model comes from: one stored tensor, or several that hold it in quantised form.

A scheme of quantisation (see `quantized/`) finds those of the second kind; all others are plain. Knows names, types and
shapes; reads no files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from qwen3vl.checkpoints.quantized.codes import GroupedCodes
from qwen3vl.checkpoints.shards import Stored
from qwen3vl.checkpoints.tensors import Shape
from qwen3vl.errors import CheckpointError

FLOATS = ("BF16", "F16", "F32")


@dataclass(frozen=True)
class Source(ABC):
    """A tensor of the model, under the name and in the shape that it would have if it were stored plainly."""

    name: str
    shape: Shape
    parts: Mapping[str, Stored]  # by their roles, the largest first

    @property
    def shard(self) -> Path:
        """The file of the first part. The others may be in other files."""
        return next(iter(self.parts.values())).shard

    @property
    def num_bytes(self) -> int:
        return sum(part.num_bytes for part in self.parts.values())

    @abstractmethod
    def read(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor | GroupedCodes:
        """The values, from the tensors by their roles. Where experts are fused, `tensors` may be the slices of one
        expert, and the answer is its matrix. Raises `CheckpointError`.
        """


@dataclass(frozen=True)
class PlainSource(Source):
    """A tensor that is stored as it is."""

    def read(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return tensors[""]


class Scheme(Protocol):
    """A way of storing quantised tensors."""

    @property
    def unused(self) -> Collection[str]:
        """Last parts of the names of stored tensors that say nothing of weights, such as the scales of activations:
        activations are not quantised here.
        """

    def sources(self, stored: Mapping[str, Stored]) -> dict[str, Source]:
        """The tensors that are stored in quantised form, by their plain names. Raises `CheckpointError` for those that
        lack a part or have one of a wrong shape or type.
        """


def find_sources(stored: Mapping[str, Stored], scheme: Scheme | None) -> dict[str, Source]:
    """All tensors that the files hold, by their plain names. Raises `CheckpointError` for types that cannot be read."""
    quantized = {} if scheme is None else scheme.sources(stored)
    parts = {part.name for source in quantized.values() for part in source.parts.values()}
    found: dict[str, Source] = dict(quantized)
    for name, tensor in stored.items():
        if name in parts or (scheme is not None and name.rpartition(".")[2] in scheme.unused):
            continue
        if name in quantized:
            raise CheckpointError(f"{name} is stored twice, plainly and quantised")
        if tensor.dtype not in FLOATS:
            raise CheckpointError(
                f"{tensor.shard}: {name} is stored as {tensor.dtype}; this package reads BF16, F16 and F32"
            )
        found[name] = PlainSource(name, tensor.shape, {"": tensor})
    return found
