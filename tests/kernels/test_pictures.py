"""Attention within pictures against the definition in float64, in torch and in compiled code."""

from __future__ import annotations

import pytest
import torch

from qwen3vl.kernels import pictures
from qwen3vl.kernels.cpu.library import Level, multiplies_bfloat16
from qwen3vl.kernels.pictures import Segments, picture_attention
from qwen3vl.kernels.rotary import apply_rotary

SHAPES = [(3, 24), (2, 64), (1, 72), (2, 80), (1, 6)]  # heads and their size
PICTURES: list[Segments] = [[(1, 1)], [(2, 6), (1, 4), (3, 5)], [(1, 64), (1, 300)], [(2, 130)]]

LEVELS = [
    pytest.param(
        level, id=level.name.lower(), marks=pytest.mark.skipif(not multiplies_bfloat16(level), reason="not here")
    )
    for level in (Level.AVX512, Level.AMX)
]


def make(segments: Segments, heads: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(size)
    tokens = sum(count * length for count, length in segments)
    angles = torch.rand(tokens, 1, size // 2, generator=generator) * 6
    return torch.randn(tokens, 3, heads, size, generator=generator), angles.cos(), angles.sin()


def definition(
    qkv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, segments: Segments, scale: float
) -> torch.Tensor:
    query, key = (apply_rotary(each, cos, sin).double() for each in qkv[:, :2].unbind(1))
    value, expected, first = qkv[:, 2].double(), [], 0
    for length in (length for count, length in segments for _ in range(count)):
        part = slice(first, first + length)
        scores = torch.einsum("qhd,khd->hqk", query[part], key[part]) * scale
        expected.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), value[part]))
        first += length
    return torch.cat(expected)


@pytest.mark.parametrize("segments", PICTURES, ids=str)
@pytest.mark.parametrize(("heads", "size"), SHAPES)
def test_pictures_do_not_see_each_other(segments: Segments, heads: int, size: int) -> None:
    qkv, *angles = make(segments, heads, size)
    out = picture_attention(qkv, *angles, segments, 0.2)
    torch.testing.assert_close(out.double(), definition(qkv, *angles, segments, 0.2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("segments", PICTURES, ids=str)
@pytest.mark.parametrize(("heads", "size"), SHAPES)
def test_the_kernel_is_as_exact_as_its_type(
    segments: Segments, heads: int, size: int, level: Level, threads: int
) -> None:
    """Scores large enough that a few keys have most of the weight."""
    qkv, *angles = make(segments, heads, size)
    qkv = (2 * qkv).bfloat16()
    out = picture_attention(qkv, *angles, segments, 0.3, level=level)
    expected = definition(qkv, *angles, segments, 0.3)
    assert out.dtype == torch.bfloat16
    assert (out.double() - expected).norm() < 0.01 * expected.norm()
    assert (out.double() - expected).abs().max() < 0.06 * expected.abs().max()


@pytest.mark.parametrize("level", LEVELS)
def test_scores_that_grow_from_tile_to_tile_and_large_ones_do_not_overflow(level: Level) -> None:
    qkv, *angles = make([(1, 400)], 2, 64)
    qkv[:, 1] *= torch.linspace(0, 40, 400)[:, None, None]
    qkv = qkv.bfloat16()
    out = picture_attention(qkv, *angles, [(1, 400)], 1.0, level=level)
    expected = definition(qkv, *angles, [(1, 400)], 1.0)
    assert (out.double() - expected).norm() < 0.03 * expected.norm()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("part", [0, 1, 2], ids=["query", "key", "value"])
def test_what_is_not_a_number_stays_in_its_picture(part: int, level: Level) -> None:
    segments: Segments = [(2, 37)]
    qkv, *angles = make(segments, 2, 32)
    qkv = qkv.bfloat16()
    whole = picture_attention(qkv, *angles, segments, 0.2, level=level)
    qkv[5, part, 1] = torch.nan
    out = picture_attention(qkv, *angles, segments, 0.2, level=level)
    assert torch.equal(out[37:], whole[37:])
    assert torch.equal(out[:, 0], whole[:, 0])
    assert out[5, 1].isnan().any()
    assert out[:37, 1].isnan().any(-1).all() == (part > 0)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", [24, 48, 72, 80, 6])
def test_what_memory_held_before_is_not_seen(size: int, level: Level) -> None:
    qkv, *angles = make([(1, 37)], 2, size)
    first = picture_attention(qkv.bfloat16(), *angles, [(1, 37)], 0.2, level=level)
    larger, *others = make([(1, 300)], 4, 128)
    picture_attention(torch.full_like(larger, torch.nan).bfloat16(), *others, [(1, 300)], 0.2, level=level)
    assert torch.equal(picture_attention(qkv.bfloat16(), *angles, [(1, 37)], 0.2, level=level), first)


def test_float32_and_processors_without_its_products_take_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[torch.dtype] = []
    reference = pictures.picture_attention_reference
    monkeypatch.setattr(
        pictures, "picture_attention_reference", lambda *given: taken.append(given[0].dtype) or reference(*given)
    )
    qkv, *angles = make([(1, 20)], 2, 32)
    picture_attention(qkv, *angles, [(1, 20)], 0.2)
    picture_attention(qkv.bfloat16(), *angles, [(1, 20)], 0.2, level=Level.AVX2)
    assert taken == [torch.float32, torch.bfloat16]
