"""Grounding: from an answer's text to boxes and points in pixels, and onto a picture.

Reads what the models write: a list of objects with `bbox_2d` or `point_2d`, or a single such object, fenced or bare,
alone or amid prose, whole or still being written. Coordinates in the text are 0..1000 of the picture's width and
height; they are turned into pixels here, once, and nowhere else. Knows nothing of how the answer was made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from qwen3vl.tasks.loose_json import objects_in

SCALE = 1000  # the models' coordinates run from 0 to this
LONGEST_ITEM = 1024  # characters; looking no further keeps the time linear, whatever the answer holds

PALETTE = ("#e11d48", "#2563eb", "#16a34a", "#d97706", "#9333ea", "#0891b2", "#db2777", "#4d7c0f")


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, x1 <= x2 and y1 <= y2, inside the picture."""

    x1: float
    y1: float
    x2: float
    y2: float
    label: str = ""


@dataclass(frozen=True)
class Point:
    """A position in pixels, inside the picture."""

    x: float
    y: float
    label: str = ""


Mark = Box | Point


def parse_marks(text: str, width: int, height: int) -> list[Mark]:
    """The boxes and points that `text` holds for a picture of `width` x `height` pixels, in the order written.

    An item that is not finished, or not a box or point, is passed over, so a growing answer gives the items so far.
    The label is the item's `label`, else its `text` (what a click answer calls the widget).
    """
    return [mark for mark, _ in parse_numbered_marks(text, width, height)]


def parse_numbered_marks(text: str, width: int, height: int) -> list[tuple[Mark, int | None]]:
    """Like `parse_marks`, each with the number of the picture or page that its item names, if it names one."""
    items = (item for value in _json_values(text) for item in objects_in(value))
    return [(mark, _number(item)) for item in items if (mark := _mark(item, width, height)) is not None]


def colour_of(mark: Mark, marks: Sequence[Mark]) -> str:
    """The colour in which `mark`, one of `marks`, is drawn: one for each label, in order of appearance."""
    labels = list(dict.fromkeys(other.label for other in marks))
    return PALETTE[labels.index(mark.label) % len(PALETTE)]


def draw_boxes(image: Image.Image, marks: Sequence[Mark]) -> Image.Image:
    """A copy of `image` in RGB with each box outlined, each point dotted, and their labels on the same colour."""
    canvas = image.convert("RGB")
    draw = ImageDraw.Draw(canvas)
    line = max(2, round(max(canvas.size) / 400))
    font = ImageFont.load_default(size=max(11, round(max(canvas.size) / 60)))
    for mark in marks:
        colour = colour_of(mark, marks)
        if isinstance(mark, Box):
            draw.rectangle((mark.x1, mark.y1, mark.x2, mark.y2), outline=colour, width=line)
            anchor = (mark.x1, mark.y1)
        else:
            draw.circle((mark.x, mark.y), 3 * line, fill=colour, outline="white", width=max(1, line // 2))
            anchor = (mark.x + 3 * line, mark.y - 3 * line)
        if mark.label:
            _draw_label(draw, mark.label, anchor, colour, font, canvas.size)
    return canvas


def _draw_label(
    draw: ImageDraw.ImageDraw,
    label: str,
    anchor: tuple[float, float],
    colour: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    size: tuple[int, int],
) -> None:
    """Writes `label` on top of `anchor`, moved inwards where it would leave the picture."""
    left, top, right, bottom = draw.textbbox((0, 0), label, font=font)
    width, height = right - left + 6, bottom - top + 6
    x = max(0.0, min(anchor[0], size[0] - width))
    y = max(0.0, min(anchor[1] - height, size[1] - height))
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    draw.text((x + 3 - left, y + 3 - top), label, fill="white", font=font)


def _json_values(text: str) -> Iterator[Any]:
    """Each outermost complete JSON object of `text`. One that is cut off, or very long, yields those inside it."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            value, length = decoder.raw_decode(text[start : start + LONGEST_ITEM])
        except (ValueError, RecursionError):
            length = 1
        else:
            yield value
        start = text.find("{", start + length)


def box_of(value: Any, width: int, height: int, label: str = "") -> Box | None:
    """Four numbers in 0..1000, whichever corner comes first, as a box in pixels; None for anything else."""
    if (box := _numbers(value, 4)) is None:
        return None
    (x1, x2), (y1, y2) = sorted((box[0], box[2])), sorted((box[1], box[3]))
    return Box(_pixels(x1, width), _pixels(y1, height), _pixels(x2, width), _pixels(y2, height), label)


def point_of(value: Any, width: int, height: int, label: str = "") -> Point | None:
    """Two numbers in 0..1000 as a point in pixels; None for anything else."""
    if (point := _numbers(value, 2)) is None:
        return None
    return Point(_pixels(point[0], width), _pixels(point[1], height), label)


def _mark(item: dict[str, Any], width: int, height: int) -> Mark | None:
    label = item.get("label", item.get("text", ""))
    label = label if isinstance(label, str) else ""
    box = box_of(item.get("bbox_2d"), width, height, label)
    return box or point_of(item.get("point_2d"), width, height, label)


def _number(item: dict[str, Any]) -> int | None:
    value = next((item[key] for key in ("picture", "image", "page") if key in item), None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _numbers(value: Any, count: int) -> list[float] | None:
    """`value` as `count` numbers within 0..SCALE, or None if it is anything else."""
    if not isinstance(value, list) or len(value) != count:
        return None
    if any(isinstance(v, bool) or not isinstance(v, int | float) or v != v for v in value):
        return None
    return [float(min(max(v, 0), SCALE)) for v in value]


def _pixels(relative: float, size: int) -> float:
    return relative * size / SCALE
