"""Attention of the decoder, paged and causal.

Keys and values live in a paged cache, [blocks, kv_heads, block_size, d], and a sequence's block table
says where they lie. A step's tokens come as one or two `AttentionGroup`s: sequences that decode (one query each), and
sequences that prefill (many). Within a group no operation depends on a value on the device, so that a captured graph
can replay it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F

from qwen3vl.kernels.cpu import library as cpu
from qwen3vl.kernels.norm import Norm
from qwen3vl.kernels.packed import LEAST_LARGEST
from qwen3vl.kernels.rotary import apply_rotary

PADDED_BYTES = 2**28  # that the padded form of one group may take, unless one sequence alone takes more


@dataclass
class LayerCache:
    """Keys and values of one layer, each [blocks, kv_heads, block_size, d]: of a floating type, or bytes with a scale
    for each token and head, [blocks, kv_heads, block_size] float32. What a head reads of a block lies together.
    """

    keys: torch.Tensor
    values: torch.Tensor
    key_scales: torch.Tensor | None = None
    value_scales: torch.Tensor | None = None

    @property
    def block_size(self) -> int:
        return self.keys.shape[2]

    def read(self, blocks: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of blocks, [..., n], as numbers of a floating type: [kv_heads, ..., n * block_size, d]."""

        def rows(stored: torch.Tensor) -> torch.Tensor:
            return stored.transpose(0, 1)[:, blocks].flatten(blocks.dim(), blocks.dim() + 1)

        pairs = ((self.keys, self.key_scales), (self.values, self.value_scales))
        keys, values = (
            rows(stored).to(dtype) if scales is None else (rows(stored).float() * rows(scales)[..., None]).to(dtype)
            for stored, scales in pairs
        )
        return keys, values

    def write(self, key: torch.Tensor, value: torch.Tensor, slots: torch.Tensor) -> None:
        """Stores each token's key and value, [tokens, kv_heads, d], at its slot (block * block_size + offset)."""
        block, offset = slots // self.block_size, slots % self.block_size
        pairs = ((key, self.keys, self.key_scales), (value, self.values, self.value_scales))
        for new, stored, scales in pairs:
            if scales is not None:
                largest = new.abs().amax(-1, keepdim=True).float()
                scales[block, :, offset] = (largest / 127)[..., 0]
                new = (new.float() * (127 / largest.clamp(min=LEAST_LARGEST))).round()
            stored[block, :, offset] = new.to(stored.dtype)


@dataclass
class AttentionGroup:
    """Sequences of one step that are attended together. Their tokens are consecutive in the flat batch."""

    first_token: int
    num_tokens: int
    query_starts: torch.Tensor  # [S + 1] int64, first query of each sequence, counted from first_token
    context_lengths: torch.Tensor  # [S] int64, keys each sequence has after this step
    block_tables: torch.Tensor  # [S, ceil(max_context / block_size)] int64, padded with any valid block
    max_queries: int
    max_context: int

    @property
    def tokens(self) -> slice:
        return slice(self.first_token, self.first_token + self.num_tokens)

    @cached_property
    def padded(self) -> PaddedGroup:
        """Index tensors of the padded form, made once a step and shared by all layers."""
        query_lengths = self.query_starts.diff()
        offsets = torch.arange(self.max_queries, device=query_lengths.device)
        rows = (self.query_starts[:-1, None] + offsets).clamp_(max=self.num_tokens - 1)
        keys = torch.arange(self.max_context, device=query_lengths.device)
        last_visible = (self.context_lengths - query_lengths)[:, None] + offsets  # [S, Q]
        sequence = torch.searchsorted(
            self.query_starts[1:], torch.arange(self.num_tokens, device=keys.device), right=True
        )
        return PaddedGroup(
            rows=rows,
            mask=(keys <= last_visible[..., None])[:, None],
            held=(keys < self.context_lengths[:, None])[..., None],
            token_sequence=sequence,
            token_offset=torch.arange(self.num_tokens, device=keys.device) - self.query_starts[sequence],
        )

    @cached_property
    def per_sequence(self) -> list[SequenceSpan]:
        """The group as host numbers, for devices where reading a tensor costs nothing."""
        starts, contexts = self.query_starts.tolist(), self.context_lengths.tolist()
        spans = []
        for table, first, last, context in zip(self.block_tables, starts, starts[1:], contexts, strict=False):
            mask = None
            if last - first > 1:
                mask = torch.ones(last - first, context, dtype=torch.bool).tril_(context - (last - first))
            spans.append(SequenceSpan(first, last, context, table, mask))
        return spans


@dataclass(frozen=True)
class PaddedGroup:
    rows: torch.Tensor  # [S, Q] the group's token that stands at (sequence, offset); any token where there is none
    mask: torch.Tensor  # [S, 1, Q, K] bool, True where the query may look
    held: torch.Tensor  # [S, K, 1] bool, True where the sequence has a key
    token_sequence: torch.Tensor  # [T]
    token_offset: torch.Tensor  # [T]


@dataclass(frozen=True)
class SequenceSpan:
    first: int
    last: int
    context: int
    block_table: torch.Tensor
    mask: torch.Tensor | None  # [Q, K] bool; None for a single query, which sees everything


def padded_bytes(sequences: int, queries: int, context: int, kv_heads: int, head_dim: int, itemsize: int) -> int:
    """What `paged_attention_reference` allocates for a group: keys and values, their zeroed copies, and the mask in the
    type of the scores.
    """
    return sequences * context * itemsize * (4 * kv_heads * head_dim + 2 * queries)


def heads_to_cache(
    qkv: torch.Tensor,
    query_norm: Norm,
    key_norm: Norm,
    cos: torch.Tensor,
    sin: torch.Tensor,
    cache: LayerCache,
    slots: torch.Tensor,
    *,
    level: cpu.Level | None = None,
) -> torch.Tensor:
    """Norm and rotary turn of the heads of queries and keys; keys and values go to their slots of the cache.

    qkv: [tokens, (heads + 2 kv_heads) * d]; cos, sin: [tokens, 1, d / 2] float32. Returns the queries, [tokens,
    heads, d]. `level`: the CPU's instruction set, for tests; None takes the best.
    """
    _, kv_heads, _, size = cache.keys.shape
    heads = qkv.shape[1] // size - 2 * kv_heads
    if not compiled(qkv, cache, level):
        q, k, v = torch.split(qkv.view(len(qkv), -1, size), [heads, kv_heads, kv_heads], dim=1)
        cache.write(apply_rotary(key_norm(k), cos, sin), v, slots)
        return apply_rotary(query_norm(q), cos, sin)
    queries = qkv.new_empty(len(qkv), heads, size)
    operation = heads_to_cache_operation(qkv, query_norm, key_norm, cos, sin, cache, slots, queries)
    cpu.run(operation, level=level)
    return queries


def heads_to_cache_operation(
    qkv: torch.Tensor,
    query_norm: Norm,
    key_norm: Norm,
    cos: torch.Tensor,
    sin: torch.Tensor,
    cache: LayerCache,
    slots: torch.Tensor,
    queries: torch.Tensor,
) -> cpu.HeadsToCache:
    """`heads_to_cache` as an operation of a program, which writes to `queries`."""
    assert query_norm.eps == key_norm.eps
    return cpu.HeadsToCache(
        _cache(cache),
        cpu.address(qkv),
        len(qkv),
        queries.shape[1],
        cpu.address(query_norm.weight),
        cpu.address(key_norm.weight),
        query_norm.eps,
        cpu.address(cos),
        cpu.address(sin),
        cpu.address(slots, torch.int64),
        cpu.address(queries),
    )


def paged_attention(
    query: torch.Tensor,
    cache: LayerCache,
    groups: list[AttentionGroup],
    scale: float,
    *,
    level: cpu.Level | None = None,
) -> torch.Tensor:
    """Causal attention of each token over its own sequence's cache, the step's own keys included.

    query: [tokens, heads, d]; heads is a multiple of kv_heads. Returns [tokens, heads, d]. `level`: the CPU's
    instruction set, for tests; None takes the best.
    """
    attend = _attend_cpu if query.device.type == "cpu" else paged_attention_reference
    parts = [
        _attend_compiled(query[group.tokens], cache, group, scale, level)
        if compiled(query, cache, level)
        else attend(query[group.tokens], cache, group, scale)
        for group in groups
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def paged_attention_reference(
    query: torch.Tensor, cache: LayerCache, group: AttentionGroup, scale: float
) -> torch.Tensor:
    """The whole group as one padded batch: no loop and no read-back, at the price of copying the context's blocks."""
    padded = group.padded
    # Zeros behind a sequence's end: a masked key has no weight, but what is not a number, times nothing, still is not.
    key, value = (
        stored[:, :, : group.max_context].where(padded.held, 0).transpose(0, 1)
        for stored in cache.read(group.block_tables, query.dtype)
    )  # [S, kv_heads, K, d]
    out = _attend(query[padded.rows].transpose(1, 2), key, value, padded.mask, scale)
    return out.transpose(1, 2)[padded.token_sequence, padded.token_offset]


def _attend_cpu(query: torch.Tensor, cache: LayerCache, group: AttentionGroup, scale: float) -> torch.Tensor:
    """One sequence at a time: nothing is padded, which on a CPU is worth more than a single large call."""
    out = torch.empty_like(query)
    for span in group.per_sequence:
        blocks = span.block_table[: -(-span.context // cache.block_size)]
        key, value = (stored[:, : span.context][None] for stored in cache.read(blocks, query.dtype))
        q = query[span.first : span.last].transpose(0, 1)[None]
        out[span.first : span.last] = _attend(q, key, value, span.mask, scale)[0].transpose(0, 1)
    return out


def compiled(x: torch.Tensor, cache: LayerCache, level: cpu.Level | None = None) -> bool:
    """Whether the compiled kernels take this: float32 on a CPU that they know."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and cache.keys.dtype in cpu.FORMATS
        and cache.keys.shape[-1] % 16 == 0
        and cache.keys.shape[-1] <= cpu.LARGEST_HEAD
        and cpu.compiled(level)
    )


def _attend_compiled(
    query: torch.Tensor, cache: LayerCache, group: AttentionGroup, scale: float, level: cpu.Level | None
) -> torch.Tensor:
    out = torch.empty_like(query)
    operation: cpu.Operation
    if group.max_queries == 1:
        operation = attention_operation(query, cache, group.block_tables, group.context_lengths, scale, out)
    else:
        operation = many_attention_operation(query, cache, group, scale, out)
    cpu.run(operation, level=level)
    return out


def attention_operation(
    queries: torch.Tensor,
    cache: LayerCache,
    tables: torch.Tensor,
    lengths: torch.Tensor,
    scale: float,
    y: torch.Tensor,
) -> cpu.Attention:
    """Attention of single queries, [n, heads, d], each over the first of its `lengths` keys in the blocks of its row of
    `tables`, as an operation of a program, which writes to y. Keys and values are read where they lie.
    """
    return cpu.Attention(
        _cache(cache),
        cpu.address(queries),
        len(queries),
        queries.shape[1],
        cpu.address(tables, torch.int64),
        tables.shape[1],
        scale,
        cpu.address(lengths, torch.int64),
        cpu.address(y),
    )


def many_attention_operation(
    queries: torch.Tensor, cache: LayerCache, group: AttentionGroup, scale: float, y: torch.Tensor
) -> cpu.ManyAttention:
    """Attention of a group's tokens, [n, heads, d], as an operation of a program, which writes to y."""
    return cpu.ManyAttention(
        _cache(cache),
        cpu.address(queries),
        len(group.context_lengths),
        queries.shape[1],
        cpu.address(group.query_starts, torch.int64),
        cpu.address(group.block_tables, torch.int64),
        group.block_tables.shape[1],
        scale,
        cpu.address(group.context_lengths, torch.int64),
        cpu.address(y),
    )


def _cache(cache: LayerCache) -> cpu.Cache:
    dtype = cache.keys.dtype
    return cpu.Cache(
        cpu.address(cache.keys, dtype),
        cpu.address(cache.values, dtype),
        cpu.address(cache.key_scales),
        cpu.address(cache.value_scales),
        cache.block_size,
        cache.keys.shape[1],
        cache.keys.shape[3],
        cpu.FORMATS[dtype],
    )


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """query: [S, heads, Q, d]; key, value: [S, kv_heads, K, d]; mask: broadcastable to [S, 1, Q, K]."""
    if query.shape[2] > 1:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale, enable_gqa=True)
    # With one query a sequence, the heads that share a key head become its queries: no key is read twice.
    folded = query.view(query.shape[0], key.shape[1], -1, query.shape[-1])
    return F.scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scale).reshape(query.shape)
