"""Attention of prompts in compiled code against the definition, over keys and values as the cache gives them back."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from qwen3vl.kernels.attention import AttentionGroup, LayerCache, paged_attention
from qwen3vl.kernels.cpu.library import Level, multiplies_bfloat16
from tests.support.cpu import LEVELS

BLOCK = 16


def make(
    lengths: list[tuple[int, int]], kv_heads: int, dim: int, stored: torch.dtype
) -> tuple[AttentionGroup, LayerCache]:
    """Sequences of (queries, keys), whose blocks lie in random order; what nobody holds is not a number, or wild."""
    generator = torch.Generator().manual_seed(dim)
    widths = [-(-keys // BLOCK) for _, keys in lengths]
    order = torch.randperm(sum(widths) + 2, generator=generator)
    tables = torch.zeros(len(lengths), max(widths), dtype=torch.long)
    shape = (len(order), kv_heads, BLOCK, dim)
    unheld = 127 if stored == torch.int8 else torch.nan
    data = [torch.full(shape, unheld, dtype=stored) for _ in range(2)]
    scales = [torch.full(shape[:-1], torch.nan) for _ in range(2)] if stored == torch.int8 else []
    cache, first = LayerCache(*data, *scales), 0
    for row, ((_, keys), width) in enumerate(zip(lengths, widths, strict=True)):
        tables[row, :width] = order[first : first + width]
        first += width
        slots = tables[row, torch.arange(keys) // BLOCK] * BLOCK + torch.arange(keys) % BLOCK
        cache.write(*(torch.randn(keys, kv_heads, dim, generator=generator) * 2 for _ in range(2)), slots)
    starts = torch.tensor([0, *(queries for queries, _ in lengths)]).cumsum(0)
    keys = torch.tensor([keys for _, keys in lengths])
    most = max(queries for queries, _ in lengths)
    return AttentionGroup(0, int(starts[-1]), starts, keys, tables, most, int(keys.max())), cache


def in_bfloat16(cache: LayerCache, level: Level) -> bool:
    """Whether queries and weights are rounded to bfloat16; no key or value has more bits."""
    return cache.keys.dtype != torch.float32 and multiplies_bfloat16(level)


def definition(
    query: torch.Tensor, group: AttentionGroup, cache: LayerCache, scale: float, *, rounded: bool = False
) -> torch.Tensor:
    if rounded:
        query, scale = (query * scale).bfloat16().float(), 1.0
    out = torch.empty_like(query, dtype=torch.float64)
    starts = group.query_starts.tolist()
    for row, (first, last) in enumerate(pairwise(starts)):
        length = int(group.context_lengths[row])
        blocks = group.block_tables[row, : -(-length // BLOCK)]
        keys, values = (part[:, :length].transpose(0, 1).double() for part in cache.read(blocks, torch.float32))
        shared = query.shape[1] // keys.shape[1]
        keys, values = (part.repeat_interleave(shared, dim=1) for part in (keys, values))
        scores = torch.einsum("qhd,khd->hqk", query[first:last].double(), keys) * scale
        seen = torch.arange(length) <= torch.arange(length - (last - first), length)[:, None]
        weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
        out[first:last] = torch.einsum("hqk,khd->qhd", weights, values)
    return out


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.int8], ids=["f32", "bf16", "int8"])
@pytest.mark.parametrize(
    "lengths",
    [[(2, 2)], [(200, 200)], [(40, 300), (1, 77), (33, 33)], [(64, 128), (65, 129)]],
    ids=["two", "prompt", "chunks", "whole tiles"],
)
@pytest.mark.parametrize(("heads", "kv_heads", "dim"), [(4, 2, 128), (8, 1, 48), (6, 2, 16), (34, 2, 32), (3, 3, 80)])
def test_prompts_equal_the_definition(
    lengths: list[tuple[int, int]], heads: int, kv_heads: int, dim: int, stored: torch.dtype, level: Level, threads: int
) -> None:
    group, cache = make(lengths, kv_heads, dim, stored)
    query = torch.randn(group.num_tokens, heads, dim, generator=torch.Generator().manual_seed(1))
    out = paged_attention(query, cache, [group], dim**-0.5, level=level)
    rounded = in_bfloat16(cache, level)
    expected = definition(query, group, cache, dim**-0.5, rounded=rounded)
    if rounded:  # then weights are too, each to 8 bits
        assert (out - expected).norm() < 2e-3 * expected.norm()
        scales = [each[..., None] for each in (cache.key_scales, cache.value_scales) if each is not None]
        keys, values = (part.float() for part in (cache.keys, cache.values))
        floats = LayerCache(keys * scales[0], values * scales[1]) if scales else LayerCache(keys, values)
        assert not torch.equal(out, paged_attention(query, floats, [group], dim**-0.5, level=level))
    torch.testing.assert_close(out.double(), expected, rtol=4e-3 if rounded else 1e-4, atol=1.5e-2 if rounded else 1e-5)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("spoiled", ["keys", "values"])
def test_what_is_not_a_number_is_not_hidden_and_stays_in_its_sequence(spoiled: str, level: Level) -> None:
    group, cache = make([(70, 90), (20, 20)], 2, 32, torch.bfloat16)
    query = torch.randn(90, 4, 32, generator=torch.Generator().manual_seed(1))
    whole = paged_attention(query, cache, [group], 0.2, level=level)
    getattr(cache, spoiled)[group.block_tables[0, 0], :, 3] = torch.nan
    out = paged_attention(query, cache, [group], 0.2, level=level)
    assert out[:70].isnan().all()
    assert torch.equal(out[70:], whole[70:])


@pytest.mark.parametrize("level", LEVELS)
def test_large_scores_do_not_overflow(level: Level) -> None:
    group, cache = make([(130, 130)], 1, 16, torch.bfloat16)
    query = torch.randn(130, 2, 16, generator=torch.Generator().manual_seed(1)) * 300
    out = paged_attention(query, cache, [group], 1.0, level=level)
    expected = definition(query, group, cache, 1.0, rounded=in_bfloat16(cache, level))
    torch.testing.assert_close(out.double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("level", LEVELS)
def test_keys_without_weight_change_nothing_however_many_there_are(level: Level) -> None:
    group, cache = make([(33, 9000)], 1, 16, torch.bfloat16)
    cache.keys.zero_()
    cache.values.fill_(1.0)
    cache.keys[group.block_tables[0, 0], :, 0] = 4.5
    query = torch.linspace(4, 5, 33)[:, None, None].expand(33, 2, 16).contiguous()
    out = paged_attention(query, cache, [group], 1.0, level=level)
    torch.testing.assert_close(out, torch.ones_like(out), rtol=0, atol=3e-4)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dim", [16, 48, 80])
def test_what_memory_held_before_is_not_seen(dim: int, level: Level) -> None:
    group, cache = make([(5, 37)], 1, dim, torch.bfloat16)
    query = torch.randn(5, 2, dim, generator=torch.Generator().manual_seed(1))
    first = paged_attention(query, cache, [group], 0.2, level=level)
    larger, spoiled = make([(80, 80)], 1, 128, torch.bfloat16)
    spoiled.keys.fill_(torch.nan)
    spoiled.values.fill_(torch.nan)
    paged_attention(torch.full((80, 2, 128), torch.nan), spoiled, [larger], 0.2, level=level)
    assert torch.equal(paged_attention(query, cache, [group], 0.2, level=level), first)
