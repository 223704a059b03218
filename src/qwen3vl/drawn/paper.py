"""What text stands on: two colours that can be read on each other, and a sheet with its quiet surroundings."""

from __future__ import annotations

import colorsys
import random

from qwen3vl.drawn.canvas import Box, Canvas, Color
from qwen3vl.drawn.scene import Scene

CHINESE_PAPERS = 0.35
SMALLEST, SMALLEST_CHINESE = 12, 15  # font sizes: below these a 16-pixel patch holds too little of a glyph
APART = 105  # least difference in lightness, of 255, between ink and ground
WHITE, BLACK = (250, 250, 250), (18, 18, 20)


def blend(a: Color, b: Color, share: float) -> Color:
    """The colour that lies `share` of the way from `a` to `b`."""
    red, green, blue = (round(u + (v - u) * share) for u, v in zip(a, b, strict=True))
    return red, green, blue


def lightness(color: Color) -> float:
    """How light a colour looks, 0 to 255."""
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def tint(rng: random.Random, saturation: tuple[float, float], value: tuple[float, float]) -> Color:
    """A colour of any hue."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return round(red * 255), round(green * 255), round(blue * 255)


def text_on(fill: Color) -> Color:
    """Black or white, whichever is easier to read on `fill`."""
    return BLACK if lightness(fill) > 128 else WHITE


def ink_and_ground(scene: Scene) -> tuple[Color, Color]:
    """Two colours that text and what is behind it may have: dark on light, light on dark, or on a strong colour."""
    rng = scene.rng
    while True:
        luck = rng.random()
        if luck < 0.5:
            ink, ground = tint(rng, (0.0, 0.4), (0.0, 0.25)), tint(rng, (0.0, 0.05), (0.93, 1.0))
        elif luck < 0.7:
            ink, ground = tint(rng, (0.4, 1.0), (0.2, 0.55)), tint(rng, (0.02, 0.2), (0.88, 1.0))
        elif luck < 0.86:
            ink, ground = tint(rng, (0.0, 0.25), (0.85, 1.0)), tint(rng, (0.0, 0.6), (0.06, 0.3))
        else:
            ground = tint(rng, (0.3, 0.9), (0.35, 0.95))
            ink = text_on(ground)
        if abs(lightness(ink) - lightness(ground)) >= APART:
            return ink, ground


def accent(scene: Scene, ground: Color) -> Color:
    """A strong colour that stands out from `ground`: for bands, headings' grounds and marks."""
    while True:
        color = tint(scene.rng, (0.35, 0.95), (0.3, 0.9))
        if abs(lightness(color) - lightness(ground)) >= 60:
            return color


def sheet(scene: Scene, canvas: Canvas, ink: Color) -> Box:
    """Draws what surrounds a text or lies softly behind it; returns the box that is left to write in.

    Nothing that it draws can be taken for text, and all of what is written stays readable.
    """
    rng, (width, height) = scene.rng, canvas.size
    box = (0, 0, width, height)
    luck = rng.random()
    if luck < 0.5:
        return box
    if luck < 0.62:
        _blocks(scene, canvas)
    elif luck < 0.7:
        _gradient(scene, canvas)
    elif luck < 0.82:
        return _on_a_desk(scene, canvas)
    elif luck < 0.91:
        margin, line = rng.randint(2, 7), rng.choice((1, 1, 2))
        inner = (margin, margin, width - margin, height - margin)
        canvas.rectangle(inner, None, blend(canvas.background, ink, rng.uniform(0.3, 1.0)), line, rng.choice((0, 0, 8)))
        return margin + line, margin + line, width - margin - line, height - margin - line
    else:
        thick, color = rng.randint(4, 18), accent(scene, canvas.background)
        if rng.random() < 0.5:
            canvas.rectangle((0, 0, thick, height), color)
            return thick, 0, width, height
        canvas.rectangle((0, 0, width, thick), color)
        return 0, thick, width, height
    return box


def _blocks(scene: Scene, canvas: Canvas) -> None:
    rng = scene.rng
    for _ in range(rng.randint(1, 4)):
        x, y = rng.randrange(canvas.width), rng.randrange(canvas.height)
        red, green, blue = (min(255, max(0, value + rng.randint(-12, 12))) for value in canvas.background)
        canvas.draw.rectangle((x, y, x + rng.randint(10, 160), y + rng.randint(10, 160)), (red, green, blue))


def _gradient(scene: Scene, canvas: Canvas) -> None:
    """From the ground to a little lighter or darker, in bands too fine to see."""
    end = blend(canvas.background, scene.rng.choice((WHITE, BLACK)), scene.rng.uniform(0.05, 0.12))
    for y in range(0, canvas.height, 8):
        canvas.rectangle((0, y, canvas.width, y + 8), blend(canvas.background, end, y / canvas.height))


def _on_a_desk(scene: Scene, canvas: Canvas) -> Box:
    rng, paper = scene.rng, canvas.background
    left, top, right, bottom = (rng.randint(2, 14) for _ in range(4))
    box = (left, top, canvas.width - right, canvas.height - bottom)
    canvas.restart(tint(rng, (0.0, 0.5), (0.2, 0.8)))
    shadow = rng.randint(0, 3)
    canvas.rectangle(
        (box[0] + shadow, box[1] + shadow, box[2] + shadow, box[3] + shadow), blend(canvas.background, BLACK, 0.4)
    )
    canvas.rectangle(box, paper)
    canvas.background = paper
    return box
