"""Streams the tensors of a Hugging Face folder into memory that the caller owns.

All headers are read and checked against what the model needs before the first value is copied, so that a wrong folder
is refused before time is spent. Values are then read in file order, one tensor (of experts: one expert) at a time, and
cast on the way: the peak is the caller's memory plus one such piece. Knows nothing of modules, devices or quantisation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.checkpoints.layouts import Slot, slots
from qwen3vl.checkpoints.progress import Progress
from qwen3vl.checkpoints.tensors import HEAD, TEXT, Shape
from qwen3vl.errors import CheckpointError

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
_ITEM_BYTES = {"BF16": 2, "F16": 2, "F32": 4}
_PICKLED = ("*.bin", "*.pt", "*.pth")
_NAMES_SHOWN = 4


@dataclass(frozen=True)
class _Stored:
    """One tensor as a header describes it."""

    shard: Path
    shape: Shape
    num_bytes: int


def load_weights(
    folder: Path,
    destinations: Mapping[str, torch.Tensor],
    config: ModelConfig,
    *,
    progress: Progress | None = None,
) -> None:
    """Fills every tensor of `destinations` from the safetensors files of `folder`.

    `destinations` maps released tensor names to tensors of the released shapes (see `tensors.released_shapes`); they
    may be views with any strides, on any device, of any floating type. With tied embeddings `lm_head.weight` is not
    among them.

    Raises `CheckpointError` when tensors are missing, left over, of the wrong shape or of a type other than bfloat16,
    float16 and float32, and when a file is missing, truncated or not safetensors. Nothing has been copied then, unless
    a file breaks while it is read.
    """
    assert not (config.tie_word_embeddings and HEAD in destinations), "a tied head has no memory of its own"
    shards = shard_files(folder)
    stored = _headers(shards)
    targets = slots(destinations, {name: tensor.shape for name, tensor in stored.items()})
    _check_names(folder, targets, stored, config)
    _check_shapes(targets, stored)
    _check_tied_head(stored, config)

    total, done = sum(stored[name].num_bytes for name in targets), 0
    for shard in shards:
        try:
            with safe_open(shard, framework="pt") as file, torch.no_grad():
                for name in file.offset_keys():
                    if name not in targets:
                        continue
                    slot, tensor = targets[name], stored[name]
                    if slot.is_fused:
                        experts = file.get_slice(name)
                        for expert in range(tensor.shape[0]):
                            slot.fill_expert(expert, experts[expert])
                    else:
                        slot.fill(file.get_tensor(name))
                    done += tensor.num_bytes
                    if progress is not None:
                        progress(done, total)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{shard} broke while it was read: {error}") from error


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
            raise CheckpointError(f"{folder} lacks {_some(missing)}, which {INDEX} names")
        return [folder / name for name in names]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if pickled := sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern)):
        raise CheckpointError(
            f"{folder} has its weights as pickle files ({_some(pickled)}), which can run code when they are opened; "
            "only safetensors files are read"
        )
    raise CheckpointError(f"{folder} has no {SINGLE} and no {INDEX}")


def _headers(shards: Iterable[Path]) -> dict[str, _Stored]:
    stored: dict[str, _Stored] = {}
    for shard in shards:
        try:
            with safe_open(shard, framework="pt") as file:
                for name in file.offset_keys():
                    header = file.get_slice(name)
                    shape, dtype = tuple(header.get_shape()), header.get_dtype()
                    if dtype not in _ITEM_BYTES:
                        known = "BF16, F16 and F32"
                        raise CheckpointError(f"{shard}: {name} is stored as {dtype}; this package reads {known}")
                    if name in stored:
                        raise CheckpointError(f"{name} is stored twice, in {stored[name].shard.name} and {shard.name}")
                    stored[name] = _Stored(shard, shape, prod(shape) * _ITEM_BYTES[dtype])
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{shard} is truncated or not a safetensors file: {error}") from error
    return stored


def _check_names(folder: Path, targets: Mapping[str, Slot], stored: Mapping[str, _Stored], config: ModelConfig) -> None:
    faults = []
    if missing := [name for name in targets if name not in stored]:
        hint = " (config.json says that the output head is not tied to the embeddings)" if HEAD in missing else ""
        faults.append(f"lacks {_some(missing)}{hint}")
    # A tied head may be stored as well; whether it is a true copy is checked once the names and shapes are sound.
    accepted = {HEAD} if config.tie_word_embeddings else set()
    if unexpected := [name for name in stored if name not in targets and name not in accepted]:
        faults.append(f"has {_some(unexpected)} that this model does not use")
    if faults:
        raise CheckpointError(f"the checkpoint in {folder} {' and '.join(faults)}")


def _check_shapes(targets: Mapping[str, Slot], stored: Mapping[str, _Stored]) -> None:
    for name, slot in targets.items():
        tensor, wanted = stored[name], slot.stored_shape
        if tensor.shape != wanted:
            raise CheckpointError(
                f"{tensor.shard}: {name} has shape {list(tensor.shape)}, but config.json asks for {list(wanted)}"
            )


def _check_tied_head(stored: Mapping[str, _Stored], config: ModelConfig) -> None:
    """A tied checkpoint that stores the head all the same must store the embeddings again. If it stores anything else,
    either the config or the file is wrong, and whichever of the two matrices was taken, answers could be garbage
    without a word.
    """
    if not config.tie_word_embeddings or HEAD not in stored:
        return
    with ExitStack() as files:
        embeddings, head = (
            files.enter_context(safe_open(stored[name].shard, framework="pt")).get_tensor(name)
            for name in (f"{TEXT}embed_tokens.weight", HEAD)
        )
        if embeddings.dtype != head.dtype or not torch.equal(embeddings, head):
            shard = stored[HEAD].shard
            raise CheckpointError(
                f"config.json ties the output head to the embeddings, but {shard} holds another {HEAD}"
            )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"
