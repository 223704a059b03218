"""Streams the tensors of a Hugging Face folder into memory that the caller owns.

All headers are read and checked against what the model needs before the first value is copied, so that a wrong folder
is refused before time is spent. Values are then read in file order, one tensor (of experts: one expert) at a time, and
cast on the way: the peak is the caller's memory plus one such piece. Quantised tensors become floats on the way; what
they are made of is for `quantized/` to know. Knows nothing of modules or devices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.checkpoints.files import read_json
from qwen3vl.checkpoints.layouts import Destination, Slot, slots
from qwen3vl.checkpoints.progress import Progress
from qwen3vl.checkpoints.quantized.codes import GroupedCodes
from qwen3vl.checkpoints.quantized.schemes import scheme_of
from qwen3vl.checkpoints.shards import read_headers, shard_files, some
from qwen3vl.checkpoints.sources import PlainSource, Source, find_sources
from qwen3vl.checkpoints.tensors import HEAD, TEXT
from qwen3vl.errors import CheckpointError

_PORTION_BYTES = 2**30


def load_weights(
    folder: Path,
    destinations: Mapping[str, Destination],
    config: ModelConfig,
    *,
    progress: Progress | None = None,
) -> None:
    """Fills every tensor of `destinations` from the safetensors files of `folder`.

    `destinations` maps released tensor names to tensors of the released shapes (see `tensors.released_shapes`); they
    may be views with any strides, on any device, of any floating type, or `Destination`s of another kind. With tied
    embeddings `lm_head.weight` is not among them.

    The `quantization_config` of `folder/config.json`, if there is one, tells in which form tensors are stored that are
    not stored plainly; they are turned into floats.

    Raises `CheckpointError` when tensors are missing, left over, of the wrong shape or of a type that is not read, when
    the folder is quantised in a way that is not known, and when a file is missing, truncated or not safetensors.
    Nothing has been copied then, unless a file or a quantised tensor proves broken while it is read.
    """
    assert not (config.tie_word_embeddings and HEAD in destinations), "a tied head has no memory of its own"
    scheme = scheme_of(read_json(folder / "config.json") or {})
    sources = find_sources(read_headers(shard_files(folder)), scheme)
    targets = slots(destinations, {name: source.shape for name, source in sources.items()})
    _check_names(folder, targets, sources, config)
    _check_shapes(targets, sources)
    _check_tied_head(sources, config)

    total, done = sum(sources[name].num_bytes for name in targets), 0
    for shard, names in _portions(targets, sources):
        try:
            with _Reader() as reader, torch.no_grad():
                for name in names:
                    try:
                        _fill(targets[name], sources[name], reader)
                    except ValueError as error:  # of a destination that takes not all numbers
                        raise CheckpointError(f"{shard}: {name} cannot be packed: {error}") from error
                    done += sources[name].num_bytes
                    if progress is not None:
                        progress(done, total)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{shard} broke while it was read: {error}") from error


class _Reader(ExitStack):
    """Reads parts from the files in which they lie. Files stay open until the block is left."""

    def __init__(self) -> None:
        super().__init__()
        self._files: dict[Path, Any] = {}

    def whole(self, source: Source) -> dict[str, torch.Tensor]:
        return {role: self._file(part.shard).get_tensor(part.name) for role, part in source.parts.items()}

    def experts(self, source: Source) -> Iterator[dict[str, torch.Tensor]]:
        """The slices of each expert in turn."""
        parts = {role: self._file(part.shard).get_slice(part.name) for role, part in source.parts.items()}
        for expert in range(source.shape[0]):
            yield {role: part[expert] for role, part in parts.items()}

    def _file(self, shard: Path) -> Any:
        if shard not in self._files:
            self._files[shard] = self.enter_context(safe_open(shard, framework="pt"))
        return self._files[shard]


def _portions(targets: Mapping[str, Slot], sources: Mapping[str, Source]) -> Iterator[tuple[Path, list[str]]]:
    """The tensors to be read, in file order, by the file of their first part, a gibibyte at a time: pages of a file
    count as this process's memory until the file is closed.
    """
    found: dict[Path, list[str]] = {}
    for source in sources.values():
        if source.name in targets:
            found.setdefault(source.shard, []).append(source.name)
    for shard, names in found.items():
        portion: list[str] = []
        size = 0
        for name in names:
            if portion and size + sources[name].num_bytes > _PORTION_BYTES:
                yield shard, portion
                portion, size = [], 0
            portion.append(name)
            size += sources[name].num_bytes
        yield shard, portion


def _fill(slot: Slot, source: Source, reader: _Reader) -> None:
    if slot.is_fused:
        for expert, tensors in enumerate(reader.experts(source)):
            slot.fill_expert(expert, _floats(source, tensors))
    else:
        slot.fill(_floats(source, reader.whole(source)))


def _floats(source: Source, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    values = source.read(tensors)
    return values.dequantize() if isinstance(values, GroupedCodes) else values


def _check_names(folder: Path, targets: Mapping[str, Slot], sources: Mapping[str, Source], config: ModelConfig) -> None:
    faults = []
    if missing := [name for name in targets if name not in sources]:
        hint = " (config.json says that the output head is not tied to the embeddings)" if HEAD in missing else ""
        faults.append(f"lacks {some(missing)}{hint}")
    # A tied head may be stored as well; whether it is a true copy is checked once the names and shapes are sound.
    accepted = {HEAD} if config.tie_word_embeddings else set()
    if unexpected := [name for name in sources if name not in targets and name not in accepted]:
        faults.append(f"has {some(unexpected)} that this model does not use")
    if faults:
        raise CheckpointError(f"the checkpoint in {folder} {' and '.join(faults)}")


def _check_shapes(targets: Mapping[str, Slot], sources: Mapping[str, Source]) -> None:
    for name, slot in targets.items():
        source, wanted = sources[name], slot.stored_shape
        if source.shape != wanted:
            raise CheckpointError(
                f"{source.shard}: {name} has shape {list(source.shape)}, but config.json asks for {list(wanted)}"
            )


def _check_tied_head(sources: Mapping[str, Source], config: ModelConfig) -> None:
    """A tied checkpoint that stores the head all the same must store the embeddings again. If it stores anything else,
    either the config or the file is wrong, and whichever of the two matrices was taken, answers could be garbage
    without a word.
    """
    if not config.tie_word_embeddings or HEAD not in sources:
        return
    embeddings, head = sources[f"{TEXT}embed_tokens.weight"], sources[HEAD]
    with _Reader() as reader:
        are_plain = isinstance(embeddings, PlainSource) and isinstance(head, PlainSource)
        if not are_plain or not _same(*(reader.whole(source)[""] for source in (embeddings, head))):
            raise CheckpointError(
                f"config.json ties the output head to the embeddings, but {head.shard} holds another {HEAD}"
            )


def _same(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.dtype == second.dtype and torch.equal(first, second)
