"""Chunks to logits: makes the flat batch, encodes the pictures it needs, runs the network. Owns the paged cache's
tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod

import numpy as np
import torch

from qwen3vl.engine.features import FeatureCache
from qwen3vl.engine.scheduler import Chunk
from qwen3vl.kernels.attention import PADDED_BYTES, AttentionGroup, LayerCache, padded_bytes
from qwen3vl.model.batch import Batch, VisualInputs
from qwen3vl.model.network import Qwen3VL
from qwen3vl.prompt.types import Visual


class Runner:
    def __init__(
        self,
        model: Qwen3VL,
        *,
        num_blocks: int,
        block_size: int,
        cache_dtype: torch.dtype,
        max_patches: int,
        features: FeatureCache,
    ) -> None:
        self.model = model
        self.max_patches = max_patches  # in one call of the vision tower, unless one picture alone has more
        self.block_size = block_size
        self.features = features
        self.device, self.dtype = model.device, model.dtype
        text = model.config.text
        shape = (num_blocks, text.num_kv_heads, block_size, text.head_dim)
        self.cache = [_empty_cache(shape, cache_dtype, self.device) for _ in range(text.num_layers)]

    def run(self, chunks: list[Chunk]) -> torch.Tensor:
        """Computes the chunks (those of one token first). Returns float32 logits of their `rows`, in order."""
        logits: torch.Tensor = self.model(self._batch(chunks), self.cache)
        return logits

    def _batch(self, chunks: list[Chunk]) -> Batch:
        token_ids: list[int] = []
        slots: list[int] = []
        active: list[int] = []
        logit_rows: list[int] = []
        for chunk in chunks:
            sequence = chunk.sequence
            logit_rows += [len(token_ids) + row - chunk.start for row in chunk.rows]
            token_ids += chunk.token_ids
            slots += [
                sequence.blocks[i // self.block_size] * self.block_size + i % self.block_size
                for i in range(chunk.start, chunk.end)
            ]
            active += [chunk.active_experts or sequence.request.active_experts] * chunk.length
        positions = np.concatenate([chunk.sequence.positions(chunk.start, chunk.end) for chunk in chunks], axis=1)
        return Batch(
            token_ids=self._to_device(token_ids),
            position_ids=self._to_device(positions),
            slots=self._to_device(slots),
            active_experts=self._to_device(active),
            groups=self._groups(chunks),
            logit_rows=self._to_device(logit_rows),
            visuals=self._visuals(chunks),
        )

    def _groups(self, chunks: list[Chunk]) -> list[AttentionGroup]:
        """Decoding and prefilling sequences apart, and apart again where padding them together would take too much."""
        groups: list[AttentionGroup] = []
        members: list[Chunk] = []
        for chunk in chunks:
            if members and not self._fit_together([*members, chunk]):
                groups.append(self._group(members, groups))
                members = []
            members.append(chunk)
        groups.append(self._group(members, groups))
        return groups

    def _fit_together(self, chunks: list[Chunk]) -> bool:
        if (chunks[0].length == 1) != (chunks[-1].length == 1):
            return False
        queries, context = (max(values) for values in zip(*((c.length, c.end) for c in chunks), strict=True))
        text = self.model.config.text
        padded = padded_bytes(len(chunks), queries, context, text.num_kv_heads, text.head_dim, self.dtype.itemsize)
        return self.device.type == "cpu" or padded <= PADDED_BYTES

    def _group(self, chunks: list[Chunk], before: list[AttentionGroup]) -> AttentionGroup:
        starts = [0]
        for chunk in chunks:
            starts.append(starts[-1] + chunk.length)
        contexts = [chunk.end for chunk in chunks]
        tables = np.zeros((len(chunks), -(-max(contexts) // self.block_size)), dtype=np.int64)
        for table, chunk in zip(tables, chunks, strict=True):
            blocks = chunk.sequence.blocks[: len(table)]
            table[: len(blocks)] = blocks
        return AttentionGroup(
            first_token=sum(group.num_tokens for group in before),
            num_tokens=starts[-1],
            query_starts=self._to_device(starts),
            context_lengths=self._to_device(contexts),
            block_tables=self._to_device(tables),
            max_queries=max(chunk.length for chunk in chunks),
            max_context=max(contexts),
        )

    def _visuals(self, chunks: list[Chunk]) -> VisualInputs | None:
        """Features of the visual tokens that fall into this step, encoding the pictures that no cache knows."""
        self._encode_missing(chunks)
        rows: list[int] = []
        parts: list[torch.Tensor] = []
        first_row = 0
        for chunk in chunks:
            sequence = chunk.sequence
            for number, visual in _visuals_in(chunk):
                first = max(chunk.start, visual.start)
                last = min(chunk.end, visual.start + visual.num_tokens)
                rows += range(first_row + first - chunk.start, first_row + last - chunk.start)
                parts.append(sequence.features[number][:, first - visual.start : last - visual.start])
                if last == visual.start + visual.num_tokens:
                    del sequence.features[number]  # never needed again: its keys and values are in the cache
            first_row += chunk.length
        return VisualInputs(self._to_device(rows), torch.cat(parts, dim=1)) if parts else None

    def _encode_missing(self, chunks: list[Chunk]) -> None:
        """Gives each sequence the features its chunk needs. Pictures seen before, or twice in this step, are encoded
        once.
        """
        missing: dict[bytes, Visual] = {}
        wanted = []
        for chunk in chunks:
            for number, visual in _visuals_in(chunk):
                if number in chunk.sequence.features:
                    continue
                features = None if visual.key in missing else self.features.get(visual.key)
                if features is None:
                    missing[visual.key] = visual
                    wanted.append((chunk.sequence, number, visual.key))
                else:
                    chunk.sequence.features[number] = features
        if not missing:
            return
        encoded: dict[bytes, torch.Tensor] = {}
        for visuals in self._portions(missing.values()):
            encoded |= self.encode(visuals)
        for key, features in encoded.items():
            self.features.put(key, features)
        for sequence, number, key in wanted:
            sequence.features[number] = encoded[key]

    def _portions(self, visuals: Iterable[Visual]) -> Iterator[list[Visual]]:
        """Splits pictures so that those encoded together have no more patches than memory was planned for."""
        portion: list[Visual] = []
        patches = 0
        for visual in visuals:
            if portion and patches + len(visual.patches) > self.max_patches:
                yield portion
                portion, patches = [], 0
            portion.append(visual)
            patches += len(visual.patches)
        yield portion

    def free_unused(self) -> None:
        """Gives back what a failed step has left behind."""
        self.features.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def release(self) -> None:
        """Frees the weights and the cache. The runner is of no use afterwards."""
        self.cache.clear()
        self.features.clear()
        self.model.release()

    def encode(self, visuals: list[Visual]) -> dict[bytes, torch.Tensor]:
        """Runs the vision tower. Returns for each key [1 + taps, tokens, hidden]."""
        patches = torch.cat([visual.patches for visual in visuals]).to(self.device)
        features = self.model.visual(patches, [(visual.grid_h, visual.grid_w) for visual in visuals])
        parts = features.split([visual.num_tokens for visual in visuals], dim=1)
        # Copies, so that a small part kept in the cache does not keep the whole step's tensor alive.
        return {visual.key: part.clone() for visual, part in zip(visuals, parts, strict=True)}

    def _to_device(self, values: list[int] | np.ndarray) -> torch.Tensor:
        """An array must not be written afterwards: on a CPU it is the tensor."""
        return torch.as_tensor(values, dtype=torch.long).to(self.device, non_blocking=True)


def _empty_cache(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> LayerCache:
    keys, values = (_zeros(shape, dtype, device) for _ in range(2))
    if dtype != torch.int8:
        return LayerCache(keys, values)
    return LayerCache(keys, values, *(_zeros(shape[:-1], torch.float32, device) for _ in range(2)))


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Zeros, and on the CPU such that take memory only where something is written: numpy asks the system for clean
    pages, torch writes them. (Zeros rather than nothing, because a padded key is masked, but times NaN it would still
    be NaN.)
    """
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.zeros(prod(shape) * dtype.itemsize, dtype=np.uint8)).view(dtype).view(shape)


def _visuals_in(chunk: Chunk) -> list[tuple[int, Visual]]:
    """The visuals that a chunk overlaps, with their numbers in the prompt."""
    prompt = chunk.sequence.request.prompt
    return [(number, prompt.visuals[number]) for number in prompt.visuals_between(chunk.start, chunk.end)]
