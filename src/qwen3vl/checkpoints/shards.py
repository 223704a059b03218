"""The safetensors files of a model folder, and what their headers say of each tensor. Reads no values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path

from safetensors import SafetensorError, safe_open

from qwen3vl.checkpoints.tensors import Shape
from qwen3vl.errors import CheckpointError

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
_ITEM_BYTES = {"BF16": 2, "F16": 2, "F32": 4, "F8_E4M3": 1, "I8": 1, "U8": 1, "I32": 4, "I64": 8}
_PICKLED = ("*.bin", "*.pt", "*.pth")
_NAMES_SHOWN = 4


@dataclass(frozen=True)
class Stored:
    """One tensor as a header describes it."""

    name: str
    shard: Path
    shape: Shape
    dtype: str  # as safetensors calls it: "BF16", "F8_E4M3", "I32", ...

    @property
    def num_bytes(self) -> int:
        """Of the types that this package reads."""
        return prod(self.shape) * _ITEM_BYTES[self.dtype]


def shard_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder, in order. Raises `CheckpointError` when there are none or some are
    missing.
    """
    index = folder / INDEX
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise CheckpointError(f"{index} is not a safetensors index: {error!r}") from error
        if bad := [name for name in names if not isinstance(name, str) or Path(name).name != name]:
            raise CheckpointError(f"{index} names {bad[0]!r}, which is not a file of the same folder")
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise CheckpointError(f"{folder} lacks {some(missing)}, which {INDEX} names")
        return [folder / name for name in names]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if pickled := sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern)):
        raise CheckpointError(
            f"{folder} has its weights as pickle files ({some(pickled)}), which can run code when they are opened; "
            "only safetensors files are read"
        )
    raise CheckpointError(f"{folder} has no {SINGLE} and no {INDEX}")


def read_headers(shards: Iterable[Path]) -> dict[str, Stored]:
    """Every tensor by its name, in the order in which they lie in the files. Raises `CheckpointError`."""
    stored: dict[str, Stored] = {}
    for shard in shards:
        try:
            with safe_open(shard, framework="pt") as file:
                for name in file.offset_keys():
                    if name in stored:
                        raise CheckpointError(f"{name} is stored twice, in {stored[name].shard.name} and {shard.name}")
                    header = file.get_slice(name)
                    stored[name] = Stored(name, shard, tuple(header.get_shape()), header.get_dtype())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{shard} is truncated or not a safetensors file: {error}") from error
    return stored


def some(names: list[str]) -> str:
    """The first few of the names, and how many more there are."""
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"
