"""Answers in the forms that the models' authors recorded, whole, broken and hostile, and the picture drawn of them."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from qwen3vl.tasks.grounding import PALETTE, Box, Mark, Point, colour_of, draw_boxes, parse_marks

# On a picture of 200 x 100, so that 1000 becomes 200 or 100.
SAVE = Box(20, 20, 60, 40, "Save")
PLACE = Point(100, 25, "door")

READ: dict[str, tuple[str, list[Mark]]] = {
    "fenced list": (
        'There they are:\n```json\n[\n\t{"bbox_2d": [100, 200, 300, 400], "label": "Save"},\n'
        '\t{"point_2d": [500, 250], "label": "door"}\n]\n```\nAnything else?',
        [SAVE, PLACE],
    ),
    "fence left open": ('```json\n[{"bbox_2d": [100, 200, 300, 400], "label": "Save"}, {"bbox_2d": [1, 2', [SAVE]),
    "bare list": ('[{"bbox_2d": [100, 200, 300, 400], "label": "Save"}]', [SAVE]),
    "single object": ('{"bbox_2d": [100, 200, 300, 400], "label": "Save"}', [SAVE]),
    "click": ('{"action": "click", "text": "Save", "bbox_2d": [100, 200, 300, 400]}', [SAVE]),
    "type": ('{"action": "type", "text": "Save", "value": "x", "bbox_2d": [100, 200, 300, 400]}', [SAVE]),
    "lines": ('{"bbox_2d": [100,200,300,400],"label": "Save"}\n{"point_2d": [500,250],"label": "door"}', [SAVE, PLACE]),
    "nested": ('{"objects": [{"bbox_2d": [100, 200, 300, 400], "label": "Save"}]}', [SAVE]),
    "nested, cut off": ('{"objects": [{"bbox_2d": [100, 200, 300, 400], "label": "Save"}, {"bb', [SAVE]),
    "no label": ('{"bbox_2d": [100, 200, 300, 400]}', [Box(20, 20, 60, 40)]),
    "label of another type": ('{"bbox_2d": [100, 200, 300, 400], "label": 7}', [Box(20, 20, 60, 40)]),
    "swapped corners": ('{"bbox_2d": [300, 400, 100, 200], "label": "Save"}', [SAVE]),
    "outside": ('{"bbox_2d": [-50, 0, 1200, 5000], "label": "all"}', [Box(0, 0, 200, 100, "all")]),
    "fractions": ('{"bbox_2d": [100.0, 200.0, 300.0, 400.0], "label": "Save"}', [SAVE]),
    "huge": ('{"bbox_2d": [0, 0, 1' + "0" * 400 + ', 1e999], "label": "all"}', [Box(0, 0, 200, 100, "all")]),
    "braces in a label": ('{"bbox_2d": [100, 200, 300, 400], "label": "a } { b"}', [Box(20, 20, 60, 40, "a } { b")]),
    "prose": ("Nothing of the kind is in the picture.", []),
    "empty": ("", []),
    "three numbers": ('{"bbox_2d": [1, 2, 3], "label": "x"}', []),
    "words for numbers": ('{"bbox_2d": ["1", 2, 3, 4], "label": "x"}', []),
    "truth for numbers": ('{"bbox_2d": [true, 2, 3, 4], "label": "x"}', []),
    "not numbers": ('{"bbox_2d": [NaN, 2, 3, 4], "label": "x"}', []),
    "a bad item among good ones": (
        '[{"bbox_2d": [1], "label": "x"}, {"bbox_2d": [100, 200, 300, 400], "label": "Save"}]',
        [SAVE],
    ),
}


@pytest.mark.parametrize("name", READ)
def test_parse(name: str) -> None:
    text, marks = READ[name]
    assert parse_marks(text, 200, 100) == marks


def test_a_growing_answer_never_loses_a_mark() -> None:
    text = READ["fenced list"][0]
    counts = [len(parse_marks(text[:end], 200, 100)) for end in range(len(text) + 1)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 2)
    assert counts[text.index("}") + 1] == 1  # as soon as it is closed


@pytest.mark.parametrize("text", ['{"a":' * 20_000, "{" * 100_000, '[{"bbox_2d": [' * 20_000])
def test_hostile_answers_end_soon(text: str) -> None:
    started = time.process_time()
    assert parse_marks(text, 10, 10) == []
    assert time.process_time() - started < 2


def test_a_very_long_list_in_an_object() -> None:
    items = ", ".join(['{"bbox_2d": [100, 200, 300, 400], "label": "Save"}'] * 500)
    assert parse_marks(f'{{"objects": [{items}]}}', 200, 100) == [SAVE] * 500


def test_draw_boxes_draws_where_it_says() -> None:
    grey = Image.new("RGB", (200, 100), (128, 128, 128))
    marks: list[Mark] = [SAVE, PLACE]
    drawn = draw_boxes(grey, marks)
    assert drawn is not grey
    assert grey.getcolors() == [(200 * 100, (128, 128, 128))]  # the original is left alone
    changed = np.any(np.asarray(drawn) != 128, axis=2)
    for x, y in ((20, 30), (60, 30), (40, 20), (40, 40)):  # the middle of each side
        assert changed[y, x]
    assert not changed[26:36, 26:54].any()  # nothing inside
    assert drawn.getpixel((100, 25)) == _rgb(colour_of(PLACE, marks))
    assert not changed[60:, :].any()


def test_labels_stay_inside_the_picture() -> None:
    corners: list[Mark] = [Box(0, 0, 10, 10, "top left"), Box(190, 90, 200, 100, "bottom right")]
    drawn = np.asarray(draw_boxes(Image.new("RGB", (200, 100)), corners))
    for box in corners:
        colour = _rgb(colour_of(box, corners))
        xs = np.nonzero((drawn == colour).all(axis=2))[1]
        assert xs.max() - xs.min() > 40  # the label's ground, wider than the box, is all there


def test_one_colour_a_label() -> None:
    marks: list[Mark] = [Box(0, 0, 1, 1, "a"), Box(2, 2, 3, 3, "b"), Point(4, 4, "a")]
    assert [colour_of(mark, marks) for mark in marks] == [PALETTE[0], PALETTE[1], PALETTE[0]]


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_pictures_of_any_mode(mode: str) -> None:
    assert draw_boxes(Image.new(mode, (200, 100)), [SAVE]).mode == "RGB"


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
