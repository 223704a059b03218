"""Coloured shapes: their names in both languages, their outlines, and drawing them in whole pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qwen3vl.drawn.canvas import Box, Canvas, Color
from qwen3vl.drawn.paper import BLACK, blend
from qwen3vl.drawn.sample import Language
from qwen3vl.drawn.scene import Scene

SHAPES = {
    "circle": ("circle", "circles", "圆形"),
    "square": ("square", "squares", "正方形"),
    "rectangle": ("rectangle", "rectangles", "长方形"),
    "triangle": ("triangle", "triangles", "三角形"),
    "star": ("star", "stars", "星形"),
    "diamond": ("diamond", "diamonds", "菱形"),
    "cross": ("cross", "crosses", "十字形"),
    "hexagon": ("hexagon", "hexagons", "六边形"),
}
COLORS: dict[str, tuple[Color, str]] = {
    "red": ((214, 40, 40), "红色"),
    "green": ((40, 160, 60), "绿色"),
    "blue": ((40, 80, 220), "蓝色"),
    "yellow": ((240, 212, 40), "黄色"),
    "orange": ((245, 135, 30), "橙色"),
    "purple": ((135, 50, 170), "紫色"),
    "pink": ((245, 130, 185), "粉色"),
    "brown": ((125, 75, 40), "棕色"),
    "black": ((24, 24, 24), "黑色"),
    "cyan": ((50, 205, 220), "青色"),
    "white": ((246, 246, 246), "白色"),
}
LEAST_RADIUS = {"rectangle": 16, "diamond": 13}  # so that the short side of every shape has 18 pixels
SMALLEST_RADIUS = 11  # of all others
LINES = ("filled", "filled", "filled", "outlined", "ringed")
FROM_GROUND = 125  # least distance of a shape's colour from what it stands on, in RGB


@dataclass(frozen=True)
class Thing:
    shape: str
    color: str
    box: Box

    def name(self, language: Language) -> str:
        return thing_name(self.color, self.shape, language)


def thing_name(color: str, shape: str, language: Language) -> str:
    return f"{color} {shape}" if language == "en" else f"{COLORS[color][1]}{SHAPES[shape][2]}"


def outline(shape: str, x: float, y: float, radius: float, turned: bool = False) -> list[tuple[float, float]]:
    """The corners of a shape that has corners, its box around (x, y) and nowhere more than `radius` away.

    `turned`: laid on its side, a triangle on its tip.
    """
    down = -1 if turned else 1
    if shape == "square":
        side = radius * 0.86
        return [(x - side, y - side), (x + side, y - side), (x + side, y + side), (x - side, y + side)]
    if shape == "rectangle":
        across, along = (radius * 0.57, radius) if turned else (radius, radius * 0.57)
        return [(x - across, y - along), (x + across, y - along), (x + across, y + along), (x - across, y + along)]
    if shape == "triangle":
        base = y + down * radius * 0.92
        return [(x, y - down * radius * 0.92), (x + radius, base), (x - radius, base)]
    if shape == "diamond":
        across, along = (radius, radius * 0.72) if turned else (radius * 0.72, radius)
        return [(x, y - along), (x + across, y), (x, y + along), (x - across, y)]
    if shape == "hexagon":
        return [(x + radius * math.cos(i * math.pi / 3), y + radius * math.sin(i * math.pi / 3)) for i in range(6)]
    if shape == "cross":
        arm = radius * 0.34
        quarter = [(arm, -radius), (arm, -arm), (radius, -arm)]  # and turned by a right angle, three times
        quarters = [
            quarter,
            *([(-b, a) for a, b in quarter], [(-a, -b) for a, b in quarter], [(b, -a) for a, b in quarter]),
        ]
        return [(x + a, y + b) for corners in quarters for a, b in corners]
    lengths, y = (radius, radius * 0.42), y + radius * 0.1  # down a little, so that its box is around (x, y)
    turns = [(-math.pi / 2 + i * math.pi / 5, lengths[i % 2]) for i in range(10)]
    return [(x + length * math.cos(turn), y + length * math.sin(turn)) for turn, length in turns]


def draw_shape(
    canvas: Canvas,
    shape: str,
    x: int,
    y: int,
    radius: int,
    color: str,
    fill: Color,
    line: str = "filled",
    turned: bool = False,
) -> Thing:
    """Draws a shape in whole pixels; the box of the result is exactly its ink.

    `line` is one of `LINES`: a ringed shape is hollow, its line thick; what is too thin to be hollow is filled.
    """
    border: Color | None = None
    inner, width = fill, 1
    if line == "outlined":
        border, width = blend(fill, BLACK, 0.55), 1 + (radius > 16)
    elif line == "ringed" and radius >= 16 and shape not in ("cross", "star"):
        border, inner, width = fill, canvas.background, max(4, radius // 4)
    if shape == "circle":
        box = (x - radius, y - radius, x + radius + 1, y + radius + 1)
        canvas.draw.ellipse((x - radius, y - radius, x + radius, y + radius), inner, border, width)
    else:
        corners = [(round(px), round(py)) for px, py in outline(shape, x, y, radius, turned)]
        canvas.draw.polygon(corners, inner, border, width)
        xs, ys = [px for px, _ in corners], [py for _, py in corners]
        box = (min(xs), min(ys), max(xs) + 1, max(ys) + 1)
    canvas.mark(box, f"shape:{shape}")
    canvas.mark(box, f"color:{color}")
    return Thing(shape, color, box)


def shade(scene: Scene, color: Color, by: int = 18) -> Color:
    """The colour, moved a little each way."""
    r, g, b = (min(255, max(0, value + scene.rng.randint(-by, by))) for value in color)
    return r, g, b


def seen_on(ground: Color) -> list[str]:
    """The colours that are told well from what they stand on."""
    return [name for name, (color, _) in COLORS.items() if math.dist(color, ground) > FROM_GROUND]
