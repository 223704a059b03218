"""Reads a `quantization_config` and checks the parts of a quantised tensor, with errors that name what is wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from qwen3vl.checkpoints.shards import Stored
from qwen3vl.checkpoints.tensors import Shape
from qwen3vl.errors import CheckpointError


def one_of(config: Mapping[str, Any], keys: Sequence[str], allowed: Collection[Any], default: Any = None) -> Any:
    """The value of the first of `keys` that is set; text is read without regard to case."""
    value = first(config, keys, default)
    value = value.lower() if isinstance(value, str) else value
    if isinstance(value, bool) or value not in allowed:
        shown = " and ".join(repr(item) for item in allowed)
        raise CheckpointError(f"quantization_config.{keys[0]} is {value!r}; this package reads {shown}")
    return value


def group_size(config: Mapping[str, Any], keys: Sequence[str] = ("group_size",)) -> int | None:
    """The inputs that share a scale. None, stored as -1, means all of them."""
    value = first(config, keys, None)
    if isinstance(value, bool) or not isinstance(value, int) or (value < 1 and value != -1):
        raise CheckpointError(f"quantization_config.{keys[0]} must be a positive number or -1, got {value!r}")
    return None if value == -1 else value


def first(config: Mapping[str, Any], keys: Sequence[str], default: Any) -> Any:
    return next((config[key] for key in keys if config.get(key) is not None), default)


def bases(stored: Mapping[str, Stored], kinds: Collection[str]) -> list[str]:
    """The modules that store a tensor of one of the `kinds`, which are last parts of names."""
    return list(dict.fromkeys(base for base, _, kind in (name.rpartition(".") for name in stored) if kind in kinds))


def take(
    stored: Mapping[str, Stored], base: str, required: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, Stored]:
    """The parts of one module by their kinds."""
    if missing := [kind for kind in required if f"{base}.{kind}" not in stored]:
        there = [kind for kind in (*required, *optional) if f"{base}.{kind}" in stored]
        raise CheckpointError(f"{base} is stored quantised, with {', '.join(there)}, but lacks {', '.join(missing)}")
    kinds = [*required, *(kind for kind in optional if f"{base}.{kind}" in stored)]
    return {kind: stored[f"{base}.{kind}"] for kind in kinds}


def matrix(part: Stored, *dtypes: str) -> tuple[int, int]:
    """The shape of a part that must be a matrix of one of the types."""
    if len(part.shape) != 2:
        raise CheckpointError(f"{part.shard}: {part.name} has shape {list(part.shape)}; it must be a matrix")
    expect(part, dtypes, part.shape)
    return part.shape[0], part.shape[1]


def groups_of(part: Stored, inputs: int, size: int | None) -> int:
    """How many groups of `size` inputs the matrix of `part` has; None: one of all inputs."""
    size = size or inputs
    if inputs % size:
        raise CheckpointError(f"{part.shard}: {part.name} has {inputs} inputs, which is no multiple of {size}")
    return inputs // size


def expect(part: Stored, dtypes: Collection[str], *shapes: Shape) -> None:
    """Raises `CheckpointError` unless the part has one of the types and one of the shapes."""
    if part.dtype not in dtypes:
        raise CheckpointError(f"{part.shard}: {part.name} is stored as {part.dtype}; it must be {' or '.join(dtypes)}")
    if part.shape not in shapes:
        wanted = " or ".join(str(list(shape)) for shape in shapes)
        raise CheckpointError(
            f"{part.shard}: {part.name} has shape {list(part.shape)}, but its other parts and config.json ask for "
            f"{wanted}"
        )
