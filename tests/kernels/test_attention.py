"""Paged attention against the definition, written out one query at a time in float64."""

from __future__ import annotations

import pytest
import torch

from qwen3vl.kernels.attention import (
    AttentionGroup,
    LayerCache,
    heads_to_cache,
    paged_attention,
    paged_attention_reference,
)
from qwen3vl.kernels.cpu.library import Level
from qwen3vl.kernels.norm import Norm
from tests.support.cpu import LEVELS

BLOCK = 4


def make_step(
    lengths: list[tuple[int, int]], heads: int, kv_heads: int, dim: int, generator: torch.Generator
) -> tuple[AttentionGroup, torch.Tensor, LayerCache, list[tuple[torch.Tensor, torch.Tensor]]]:
    """A group of sequences with (queries, context) tokens, whose blocks are scattered over the cache in random order.
    What nobody holds is not a number: blocks of no sequence, and the slots behind a sequence's end.
    """
    widths = [-(-context // BLOCK) for _, context in lengths]
    order = torch.randperm(sum(widths) + 3, generator=generator)
    shape = (len(order), kv_heads, BLOCK, dim)
    cache = LayerCache(torch.full(shape, torch.nan), torch.full(shape, torch.nan))
    tables = torch.zeros(len(lengths), max(widths), dtype=torch.long)
    contents, first = [], 0
    for row, ((_, context), width) in enumerate(zip(lengths, widths, strict=True)):
        tables[row, :width] = order[first : first + width]
        first += width
        key, value = (torch.randn(context, kv_heads, dim, generator=generator) for _ in range(2))
        slots = torch.tensor([int(tables[row, i // BLOCK]) * BLOCK + i % BLOCK for i in range(context)])
        cache.write(key, value, slots)
        contents.append((key, value))
    starts = torch.tensor([0, *(queries for queries, _ in lengths)]).cumsum(0)
    group = AttentionGroup(
        first_token=0,
        num_tokens=int(starts[-1]),
        query_starts=starts,
        context_lengths=torch.tensor([context for _, context in lengths]),
        block_tables=tables,
        max_queries=max(queries for queries, _ in lengths),
        max_context=max(context for _, context in lengths),
    )
    return group, torch.randn(int(starts[-1]), heads, dim, generator=generator), cache, contents


def definition(
    query: torch.Tensor, lengths: list[tuple[int, int]], contents: list[tuple[torch.Tensor, torch.Tensor]], scale: float
) -> torch.Tensor:
    rows, first = [], 0
    for (queries, context), (key, value) in zip(lengths, contents, strict=True):
        share = query.shape[1] // key.shape[1]
        for i in range(queries):
            visible = context - queries + i + 1
            for head in range(query.shape[1]):
                k, v = (x[:visible, head // share].double() for x in (key, value))
                rows.append((query[first + i, head].double() @ k.T * scale).softmax(-1) @ v)
        first += queries
    return torch.stack(rows).view(query.shape)


@pytest.mark.parametrize("attend", ["chosen", "reference"])
@pytest.mark.parametrize(
    "lengths",
    [[(1, 1)], [(1, 9), (1, 4), (1, 17)], [(5, 5)], [(3, 11), (7, 7), (2, 20)], [(1, 6), (4, 6)]],
    ids=["first", "decode", "prefill", "chunks", "mixed"],
)
@pytest.mark.parametrize(("heads", "kv_heads", "dim"), [(4, 2, 32), (8, 1, 24), (3, 3, 72)])
def test_paged_attention(lengths: list[tuple[int, int]], heads: int, kv_heads: int, dim: int, attend: str) -> None:
    generator = torch.Generator().manual_seed(len(lengths) + dim)
    group, query, cache, contents = make_step(lengths, heads, kv_heads, dim, generator)
    scale = dim**-0.5
    if attend == "reference":
        out = paged_attention_reference(query, cache, group, scale)
    else:
        out = paged_attention(query, cache, [group], scale)
    torch.testing.assert_close(out.double(), definition(query, lengths, contents, scale), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("attend", ["chosen", "reference"])
@pytest.mark.parametrize("spoiled", [(0,), (1,), (0, 1)], ids=["keys", "values", "both"])
def test_a_neighbour_that_is_not_a_number_stays_alone(attend: str, spoiled: tuple[int, ...]) -> None:
    """A short sequence's table is padded with a block of its long neighbour, whose numbers have overflowed."""
    generator = torch.Generator().manual_seed(1)
    lengths = [(1, 18), (1, 3)]
    group, query, cache, contents = make_step(lengths, 4, 2, 16, generator)
    group.block_tables[1, 1:] = group.block_tables[0, 0]
    for number in spoiled:
        (cache.keys, cache.values)[number][group.block_tables[0]] = torch.nan
    if attend == "reference":
        out = paged_attention_reference(query, cache, group, 0.25)
    else:
        out = paged_attention(query, cache, [group], 0.25)
    assert out[0].isnan().all()
    expected = definition(query, lengths, contents, 0.25)
    torch.testing.assert_close(out[1].double(), expected[1], rtol=1e-5, atol=1e-5)


def test_groups_follow_each_other_in_the_flat_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    decode, prefill = [(1, 7), (1, 3)], [(4, 9)]
    first, query_a, cache_a, _ = make_step(decode, 4, 2, 16, generator)
    second, query_b, cache_b, _ = make_step(prefill, 4, 2, 16, generator)
    offset = len(cache_a.keys)
    cache = LayerCache(torch.cat([cache_a.keys, cache_b.keys]), torch.cat([cache_a.values, cache_b.values]))
    second.block_tables += offset
    second.first_token = first.num_tokens
    out = paged_attention(torch.cat([query_a, query_b]), cache, [first, second], 0.25)
    torch.testing.assert_close(out[:2], paged_attention(query_a, cache, [first], 0.25))
    second.first_token = 0
    torch.testing.assert_close(out[2:], paged_attention(query_b, cache, [second], 0.25))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.int8], ids=["f32", "bf16", "int8"])
@pytest.mark.parametrize("lengths", [[1], [9, 4, 17], [3000, 1, 700]], ids=["first", "some", "long"])
@pytest.mark.parametrize(("heads", "kv_heads", "dim"), [(4, 2, 32), (16, 8, 128), (8, 1, 48), (40, 2, 16)])
def test_compiled_decode_reads_what_was_written(
    lengths: list[int], heads: int, kv_heads: int, dim: int, stored: torch.dtype, level: Level
) -> None:
    """Norm, turn, write and attention in compiled code against the torch path over a cache of the same kind."""
    generator = torch.Generator().manual_seed(sum(lengths) + dim)
    widths = [-(-length // BLOCK) for length in lengths]
    order = torch.randperm(sum(widths) + 2, generator=generator)
    tables = torch.zeros(len(lengths), max(widths), dtype=torch.long)
    first = 0
    for row, width in enumerate(widths):
        tables[row, :width] = order[first : first + width]
        first += width
    slots = torch.cat(
        [tables[row, torch.arange(n) // BLOCK] * BLOCK + torch.arange(n) % BLOCK for row, n in enumerate(lengths)]
    )
    qkv = torch.randn(len(slots), (heads + 2 * kv_heads) * dim, generator=generator)
    norms = [Norm(torch.rand(dim, generator=generator) + 0.5, 1e-6) for _ in range(2)]
    angles = torch.rand(len(slots), 1, dim // 2, generator=generator) * 6
    group = AttentionGroup(
        0, len(lengths), torch.arange(len(lengths) + 1), torch.tensor(lengths), tables, 1, max(lengths)
    )
    last = torch.tensor(lengths).cumsum(0) - 1
    outs, caches = [], []
    for chosen in (level, Level.NONE):
        cache = empty_cache(len(order), kv_heads, dim, stored)
        queries = heads_to_cache(qkv, *norms, angles.cos(), angles.sin(), cache, slots, level=chosen)
        outs.append(paged_attention(queries[last], cache, [group], dim**-0.5, level=chosen))
        caches.append(cache)
    ours, theirs = (cache.read(tables[-1, : widths[-1]], torch.float32) for cache in caches)
    for mine, other in zip(ours, theirs, strict=True):  # the last bit of a norm may turn a rounding
        held = mine[:, : lengths[-1]], other[:, : lengths[-1]]
        torch.testing.assert_close(*held, rtol=2**-7, atol=0.02)
        assert (held[0] - held[1]).norm() < 2e-3 * held[1].norm()
    assert (outs[0] - outs[1]).norm() < 2e-3 * outs[1].norm()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("spoiled", ["keys", "values"])
def test_compiled_decode_says_what_is_not_a_number(spoiled: str, level: Level) -> None:
    """To the sequence that has it, whose request then ends; its neighbour reads on."""
    generator = torch.Generator().manual_seed(2)
    cache = empty_cache(3, 2, 32, torch.bfloat16)
    cache.write(*(torch.randn(12, 2, 32, generator=generator) for _ in range(2)), torch.arange(12))
    group = AttentionGroup(
        0, 2, torch.arange(3), torch.tensor([7, 3]), torch.tensor([[0, 1], [2, 0]]), max_queries=1, max_context=7
    )
    query = torch.randn(2, 4, 32, generator=generator)
    whole = paged_attention(query, cache, [group], 0.2, level=level)
    getattr(cache, spoiled)[1, :, 1] = torch.nan
    out = paged_attention(query, cache, [group], 0.2, level=level)
    assert out[0].isnan().all()
    assert torch.equal(out[1], whole[1])


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.int8], ids=["bf16", "int8"])
def test_small_caches_lose_little(stored: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(5)
    key, value = (torch.randn(20, 2, 32, generator=generator) for _ in range(2))
    cache = empty_cache(5, 2, 32, stored)
    cache.write(key, value, torch.arange(20))
    for read, written in zip(cache.read(torch.arange(5), torch.float32), (key, value), strict=True):
        assert (read.transpose(0, 1) - written).norm() < 0.01 * written.norm()


def empty_cache(blocks: int, kv_heads: int, dim: int, stored: torch.dtype) -> LayerCache:
    shape = (blocks, kv_heads, BLOCK, dim)
    data = [torch.zeros(shape, dtype=stored) for _ in range(2)]
    scales = [torch.zeros(shape[:-1]) for _ in range(2)] if stored == torch.int8 else []
    return LayerCache(*data, *scales)


@pytest.mark.parametrize("level", [*LEVELS, Level.NONE])
@pytest.mark.parametrize("stored", [torch.bfloat16, torch.int8], ids=["bf16", "int8"])
def test_a_value_that_is_no_number_is_not_lost_on_its_way_into_the_cache(stored: torch.dtype, level: Level) -> None:
    generator = torch.Generator().manual_seed(2)
    qkv = torch.randn(3, (4 + 2 * 2) * 32, generator=generator)
    qkv[1, (4 + 2) * 32 + 5] = torch.nan
    norms = [Norm(torch.ones(32), 1e-6) for _ in range(2)]
    angles = torch.rand(3, 1, 16, generator=generator)
    cache = empty_cache(1, 2, 32, stored)
    heads_to_cache(qkv, *norms, angles.cos(), angles.sin(), cache, torch.arange(3), level=level)
    _, values = cache.read(torch.tensor([0]), torch.float32)
    assert values[0, 1].isnan().any()
    assert values[:, [0, 2]].isfinite().all()
