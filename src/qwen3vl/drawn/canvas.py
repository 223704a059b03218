"""A picture being drawn, in exact whole pixels. Boxes are (x1, y1, x2, y2) in pixels with the ends exclusive."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.sample import Mark

Box = tuple[int, int, int, int]
Color = tuple[int, int, int]

SCALE = 1000  # coordinates in answers run from 0 to this


def relative(box: Sequence[float], size: tuple[int, int]) -> list[int]:
    """A box or a point in pixels as integers 0..1000 of the picture's width and height, x and y by turns."""
    return [min(SCALE, max(0, round(value * SCALE / size[i % 2]))) for i, value in enumerate(box)]


def centre(box: Box) -> tuple[int, int]:
    return (box[0] + box[2]) // 2, (box[1] + box[3]) // 2


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all of `boxes`."""
    return min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)


class Canvas:
    """Draws on one frame and notes where glyphs and things were put."""

    def __init__(self, width: int, height: int, background: Color, frame: int = 0) -> None:
        self.width, self.height = self.size = (width, height)
        self.frame = frame
        self.marks: list[Mark] = []
        self.restart(background)

    def restart(self, background: Color) -> None:
        self.background = background
        self.image = Image.new("RGB", self.size, background)
        self.draw = ImageDraw.Draw(self.image)

    def text(self, x: int, y: int, text: str, font: Font, color: Color) -> None:
        """Writes `text` with the left end of its ascender line at (x, y)."""
        pen, middle = float(x), y + int(font.ascent * 0.62)
        for character in text:
            mask, left, top, advance = font.glyph(character)
            if mask is not None:
                self.draw.bitmap((round(pen) + left, y + top), mask, color)
                self.marks.append(Mark(self.frame, int(pen + advance / 2), middle, character))
            pen += advance

    def text_middle(self, box: Box, text: str, font: Font, color: Color) -> None:
        """Writes `text` in the middle of `box`."""
        x = (box[0] + box[2] - font.width(text)) // 2
        self.text(x, (box[1] + box[3] - font.height) // 2, text, font, color)

    def rectangle(
        self, box: Box, fill: Color | None = None, line: Color | None = None, width: int = 1, radius: int = 0
    ) -> None:
        """Fills and outlines exactly the pixels of `box`; an empty box has none."""
        inner = (box[0], box[1], box[2] - 1, box[3] - 1)
        if inner[2] < inner[0] or inner[3] < inner[1]:
            return
        if radius:
            self.draw.rounded_rectangle(inner, radius, fill, line, width)
        else:
            self.draw.rectangle(inner, fill, line, width)

    def mark(self, box: Box, what: str) -> None:
        self.marks.append(Mark(self.frame, *centre(box), what))
