"""Boxes against the pixels: what is drawn on a plain ground is measured again."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from qwen3vl.drawn import fonts, shapes
from qwen3vl.drawn.canvas import Box, Canvas, around, relative
from qwen3vl.drawn.words import Words

GROUND = (240, 240, 240)


def ink(image: Image.Image, ground: tuple[int, int, int] = GROUND) -> Box:
    """The box of all pixels that are not the ground, ends exclusive."""
    ys, xs = np.nonzero((np.asarray(image) != ground).any(axis=2))
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


@pytest.mark.parametrize("face", fonts.FACES, ids=lambda face: face.file)
def test_the_box_of_a_text_is_its_ink(face: fonts.Face) -> None:
    rng = random.Random(face.file)
    words = Words(rng, "train")
    for size in (12, 15, 21, 30):
        font = fonts.font(face, size)
        text = f"{words.zh(3, 5)}，{words.price()}" if face.chinese else f"{words.cased()} {words.code()}"
        canvas = Canvas(900, 120, GROUND)
        x, y = rng.randint(5, 60), rng.randint(5, 40)
        canvas.text(x, y, text, font, (0, 0, 0))
        assert font.ink(x, y, text) == ink(canvas.image), text
        assert len(canvas.marks) == len(text.replace(" ", ""))


@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_the_box_of_a_shape_is_its_ink(shape: str) -> None:
    for radius in (11, 16, 23, 40):
        canvas = Canvas(128, 128, GROUND)
        thing = shapes.draw_shape(canvas, shape, 61, 58, radius, "blue", (40, 80, 220))
        assert thing.box == ink(canvas.image)


def test_relative_boxes_are_clamped_to_the_scale() -> None:
    assert relative((0, 0, 320, 240), (320, 240)) == [0, 0, 1000, 1000]
    assert relative((80, 60), (320, 240)) == [250, 250]
    assert relative((-3, 0, 330, 100), (320, 240)) == [0, 0, 1000, 417]


def test_around_holds_all_boxes() -> None:
    assert around([(1, 5, 3, 6), (2, 1, 9, 4)]) == (1, 1, 9, 6)


def test_an_empty_box_has_no_pixels() -> None:
    """A bar of a chart may round to nothing."""
    canvas = Canvas(20, 20, GROUND)
    canvas.rectangle((5, 10, 12, 10), (0, 0, 0))
    canvas.rectangle((5, 10, 5, 15), (0, 0, 0), (9, 9, 9))
    assert (np.asarray(canvas.image) == GROUND).all()
