"""Small pictures on controls: crosses, arrows, houses, gears. Each fills a square of 10 pixels or more.

`draw_glyph` draws one by its name. The names in `DECORATIONS` mean nothing that a question could ask for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from PIL.ImageDraw import ImageDraw

from qwen3vl.drawn.canvas import Color

Pen = Callable[[ImageDraw, int, int, int, Color, int], None]  # paper, left, top, side, colour, thickness


def _lines(*strokes: tuple[tuple[float, float], ...]) -> Pen:
    """A glyph of straight strokes, their points as shares of the square's side."""

    def pen(paper: ImageDraw, x: int, y: int, side: int, color: Color, width: int) -> None:
        for stroke in strokes:
            paper.line([(x + round(u * (side - 1)), y + round(v * (side - 1))) for u, v in stroke], color, width)

    return pen


def _disc(paper: ImageDraw, x: int, y: int, side: int, color: Color, width: int) -> None:
    paper.ellipse((x + 1, y + 1, x + side - 2, y + side - 2), None, color, width)


def _square(paper: ImageDraw, x: int, y: int, side: int, color: Color, width: int) -> None:
    paper.rounded_rectangle((x + 1, y + 1, x + side - 2, y + side - 2), side // 5, None, color, width)


def _full(paper: ImageDraw, x: int, y: int, side: int, color: Color, width: int) -> None:
    paper.ellipse((x + 1, y + 1, x + side - 2, y + side - 2), color)


def _search(paper: ImageDraw, x: int, y: int, side: int, color: Color, width: int) -> None:
    lens = round(side * 0.68)
    paper.ellipse((x, y, x + lens, y + lens), None, color, width)
    paper.line((x + round(lens * 0.85), y + round(lens * 0.85), x + side - 1, y + side - 1), color, width)


def _more(paper: ImageDraw, x: int, y: int, side: int, color: Color, width: int) -> None:
    dot = max(2, side // 6)
    for share in (0.0, 0.5, 1.0):
        top = y + round(share * (side - 1 - dot))
        paper.ellipse((x + side // 2 - dot // 2, top, x + side // 2 - dot // 2 + dot, top + dot), color)


def _gear(paper: ImageDraw, x: int, y: int, side: int, color: Color, width: int) -> None:
    middle, reach = (x + (side - 1) / 2, y + (side - 1) / 2), (side - 1) / 2
    for i in range(4):
        u, v = math.cos(i * math.pi / 4) * reach, math.sin(i * math.pi / 4) * reach
        paper.line((middle[0] - u, middle[1] - v, middle[0] + u, middle[1] + v), color, width)
    paper.ellipse(
        (x + side // 4, y + side // 4, x + side - 1 - side // 4, y + side - 1 - side // 4), None, color, width
    )


def _person(paper: ImageDraw, x: int, y: int, side: int, color: Color, width: int) -> None:
    paper.ellipse((x + side // 4, y, x + side - 1 - side // 4, y + side // 2), None, color, width)
    paper.arc((x, y + side // 2, x + side - 1, y + side + side // 2), 180, 360, color, width)


_PENS: Mapping[str, Pen] = {
    "close": _lines(((0.1, 0.1), (0.9, 0.9)), ((0.1, 0.9), (0.9, 0.1))),
    "menu": _lines(((0, 0.15), (1, 0.15)), ((0, 0.5), (1, 0.5)), ((0, 0.85), (1, 0.85))),
    "back": _lines(((0.65, 0.05), (0.2, 0.5), (0.65, 0.95))),
    "forward": _lines(((0.35, 0.05), (0.8, 0.5), (0.35, 0.95))),
    "down": _lines(((0.1, 0.35), (0.5, 0.7), (0.9, 0.35))),
    "add": _lines(((0.5, 0), (0.5, 1)), ((0, 0.5), (1, 0.5))),
    "search": _search,
    "more": _more,
    "disc": _disc,
    "square": _square,
    "full": _full,
    "gear": _gear,
    "person": _person,
    "house": _lines(((0, 0.5), (0.5, 0.05), (1, 0.5)), ((0.15, 0.45), (0.15, 1), (0.85, 1), (0.85, 0.45))),
    "mail": _lines(((0, 0.15), (1, 0.15), (1, 0.85), (0, 0.85), (0, 0.15), (0.5, 0.55), (1, 0.15))),
    "flag": _lines(((0.15, 1), (0.15, 0), (0.9, 0.25), (0.15, 0.55))),
    "diamond": _lines(((0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5), (0.5, 0))),
    "bars": _lines(((0.1, 1), (0.1, 0.5)), ((0.5, 1), (0.5, 0)), ((0.9, 1), (0.9, 0.3))),
    "page": _lines(((0.15, 0), (0.85, 0), (0.85, 1), (0.15, 1), (0.15, 0)), ((0.35, 0.5), (0.65, 0.5))),
    "tick": _lines(((0.05, 0.55), (0.4, 0.9), (0.95, 0.1))),
}
DECORATIONS = ("disc", "square", "full", "gear", "person", "house", "mail", "flag", "diamond", "bars", "page")


def draw_glyph(paper: ImageDraw, name: str, x: int, y: int, side: int, color: Color, width: int = 2) -> None:
    """Draws the glyph `name` in the square of `side` pixels whose top left corner is (x, y)."""
    _PENS[name](paper, x, y, side, color, width)
