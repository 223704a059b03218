"""Chunks to logits: makes the flat batch, encodes the pictures it needs, runs the network. Owns the paged cache's
tensors.
"""

from __future__ import annotations

from math import prod

import numpy as np
import torch

from qwen3vl.engine.features import FeatureCache
from qwen3vl.engine.scheduler import Chunk
from qwen3vl.kernels.attention import AttentionGroup
from qwen3vl.model.batch import Batch, LayerCache, VisualInputs
from qwen3vl.model.network import Qwen3VL
from qwen3vl.prompt.types import Visual


class Runner:
    def __init__(self, model: Qwen3VL, *, num_blocks: int, block_size: int, features: FeatureCache) -> None:
        self.model = model
        self.block_size = block_size
        self.features = features
        weight = model.decoder.embed_tokens.weight
        self.device, self.dtype = weight.device, weight.dtype
        text = model.config.text
        shape = (num_blocks, block_size, text.num_kv_heads, text.head_dim)
        self.cache: list[LayerCache] = [
            (_zeros(shape, self.dtype, self.device), _zeros(shape, self.dtype, self.device))
            for _ in range(text.num_layers)
        ]

    def run(self, chunks: list[Chunk]) -> torch.Tensor:
        """Computes the chunks (those of one token first). Returns float32 logits, a row for each chunk that samples."""
        logits: torch.Tensor = self.model(self._batch(chunks), self.cache)
        return logits

    def _batch(self, chunks: list[Chunk]) -> Batch:
        token_ids: list[int] = []
        slots: list[int] = []
        active: list[int] = []
        logit_rows: list[int] = []
        for chunk in chunks:
            sequence = chunk.sequence
            token_ids += sequence.token_ids[chunk.start : chunk.end]
            slots += [
                sequence.blocks[i // self.block_size] * self.block_size + i % self.block_size
                for i in range(chunk.start, chunk.end)
            ]
            active += [sequence.request.active_experts] * chunk.length
            if chunk.samples:
                logit_rows.append(len(token_ids) - 1)
        positions = torch.cat([chunk.sequence.positions(chunk.start, chunk.end) for chunk in chunks], dim=1)
        return Batch(
            token_ids=self._to_device(token_ids),
            position_ids=positions.to(self.device),
            slots=self._to_device(slots),
            active_experts=self._to_device(active),
            groups=self._groups(chunks),
            logit_rows=self._to_device(logit_rows),
            visuals=self._visuals(chunks),
        )

    def _groups(self, chunks: list[Chunk]) -> list[AttentionGroup]:
        decodes = [chunk for chunk in chunks if chunk.length == 1]
        groups, first_token = [], 0
        for members in (decodes, chunks[len(decodes) :]):
            if members:
                groups.append(self._group(members, first_token))
                first_token += groups[-1].num_tokens
        return groups

    def _group(self, chunks: list[Chunk], first_token: int) -> AttentionGroup:
        starts = [0]
        for chunk in chunks:
            starts.append(starts[-1] + chunk.length)
        contexts = [chunk.end for chunk in chunks]
        width = -(-max(contexts) // self.block_size)
        tables = [(chunk.sequence.blocks[:width] + [0] * width)[:width] for chunk in chunks]
        return AttentionGroup(
            first_token=first_token,
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
        encoded = self.encode(list(missing.values()))
        for key, features in encoded.items():
            self.features.put(key, features)
        for sequence, number, key in wanted:
            sequence.features[number] = encoded[key]

    def encode(self, visuals: list[Visual]) -> dict[bytes, torch.Tensor]:
        """Runs the vision tower. Returns for each key [1 + taps, tokens, hidden]."""
        patches = torch.cat([visual.patches for visual in visuals]).to(self.device)
        features = self.model.visual(patches, [(visual.grid_h, visual.grid_w) for visual in visuals])
        parts = features.split([visual.num_tokens for visual in visuals], dim=1)
        # Copies, so that a small part kept in the cache does not keep the whole step's tensor alive.
        return {visual.key: part.clone() for visual, part in zip(visuals, parts, strict=True)}

    def _to_device(self, values: list[int] | list[list[int]]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long).to(self.device, non_blocking=True)


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
