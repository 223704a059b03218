"""How alike pictures are: against the plain definition, and in order."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image, ImageDraw

from qwen3vl.tasks.similarity import similarity


def page(*texts: str, ground: str = "white", ink: str = "black", size: tuple[int, int] = (256, 256)) -> Image.Image:
    picture = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(picture)
    for row, text in enumerate(texts):
        draw.text((10, 10 + 30 * row), text, ink, font_size=20)
    return picture


def by_definition(a: Image.Image, b: Image.Image) -> float:
    """Window by window, as the paper and the docstring say."""
    pixels = (np.asarray(picture.convert("L"), dtype=np.float64) for picture in (a, b))
    u, v = (sliding_window_view(part, (8, 8)).reshape(-1, 64) for part in pixels)
    covariance = ((u - u.mean(1)[:, None]) * (v - v.mean(1)[:, None])).mean(1)
    light = (2 * u.mean(1) * v.mean(1) + 6.5025) / (u.mean(1) ** 2 + v.mean(1) ** 2 + 6.5025)
    structure = (2 * covariance + 58.5225) / (u.var(1) + v.var(1) + 58.5225)
    return float(np.average(light * structure, weights=1 + u.std(1) + v.std(1)))


def test_as_it_is_defined() -> None:
    a, b = page("Seven pears", "Harvest"), page("Seven bears")
    assert similarity(a, b) == pytest.approx(by_definition(a, b), abs=1e-6)


def test_order_and_ends() -> None:
    a = page("Seven pears", "Harvest")
    assert similarity(a, a) == pytest.approx(1)
    typo, half, other = page("Seven bears", "Harvest"), page("Seven pears"), page("", "", "", "Welcome home")
    blank, inverse = page(), page("Seven pears", "Harvest", ground="black", ink="white")
    figures = [similarity(a, each) for each in (typo, half, other, inverse)]
    assert figures == sorted(figures, reverse=True)
    assert figures[0] > 0.8
    assert figures[2] < 0.2
    assert figures[3] == 0
    assert similarity(a, blank) < 0.2  # although most of both is white
    assert similarity(a, other) == pytest.approx(similarity(other, a))
    assert similarity(blank, page(ground="black")) < 0.01


def test_pictures_of_any_size() -> None:
    small, large = page("Seven pears"), page("Seven pears").resize((512, 512), Image.Resampling.BICUBIC)
    assert similarity(small, large) > 0.9
    assert similarity(page("a", size=(1, 1)), page("b", size=(900, 20))) <= 1
