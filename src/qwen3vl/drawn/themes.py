"""How a drawn screen looks: its colours, drawn at random with contrast enough to read, and its habits.

A `Theme` has the colours. A `Look` has what its toolkit does alike everywhere: where labels stand, what buttons, rows
and tabs are like, how much room things have. Knows nothing of widgets.
"""

from __future__ import annotations

import colorsys
import math
import random
from dataclasses import dataclass
from functools import cache

from PIL import Image

from qwen3vl.drawn.canvas import Box, Canvas, Color
from qwen3vl.drawn.scene import Scene

WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)
BROWSER_LINKS: tuple[Color, ...] = ((0, 0, 238), (26, 13, 171), (13, 110, 253), (0, 102, 204))
DARK = 0.28  # how many themes are light on dark

LABELS = ("left", "above", "inside", "floating")
FIELDS = ("box", "underline", "filled")
BUTTONS = ("filled", "outlined", "raised", "text", "soft")
ROWS = ("lines", "zebra", "boxed")
TABS = ("underline", "boxed", "pill")


@dataclass(frozen=True)
class Theme:
    """Colours of one screen."""

    ground: Color  # behind windows and cards
    panel: Color  # what most things stand on
    bar: Color
    bar_end: Color  # another colour where the bar fades into one
    ink: Color
    bar_ink: Color
    muted: Color  # text of less weight
    line: Color  # borders
    band: Color  # every other row, chosen places, soft buttons
    accent: Color
    accent_ink: Color
    link: Color
    inset: Color  # inside fields


@dataclass(frozen=True)
class Look:
    """Habits of one screen; lengths in pixels."""

    labels: str
    fields: str
    buttons: str
    rows: str
    tabs: str
    pad: int  # above and below the text of a control
    gap: int  # between two controls
    margin: int
    radius: int
    icons: float  # how many buttons and places have a small picture
    underlined: bool  # links
    switches: bool  # instead of checkboxes, where they stand in rows


def contrast(a: Color, b: Color) -> float:
    """From 1 for equal colours to 21 for black on white, as web accessibility counts it."""
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: Color) -> float:
    r, g, b = (math.pow(value / 255, 2.2) for value in color)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def mix(a: Color, b: Color, share: float) -> Color:
    """`a` with `share` of `b`."""
    r, g, blue = (round(u + (v - u) * share) for u, v in zip(a, b, strict=True))
    return r, g, blue


def tone(hue: float, lightness: float, saturation: float) -> Color:
    r, g, b = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(r * 255), round(g * 255), round(b * 255)


def ink_on(ground: Color) -> Color:
    """Black or white, whichever reads better; white where both do."""
    return WHITE if contrast(WHITE, ground) >= 4 else (15, 15, 18)


def new_theme(rng: random.Random) -> Theme:
    dark, hue = rng.random() < DARK, rng.random()
    tint = rng.choice((0.0, 0.0, rng.uniform(0.0, 0.25), rng.uniform(0.2, 0.7)))
    if dark:
        panel = tone(hue, rng.uniform(0.04, 0.2), tint * 0.7)
        ground = tone(hue, rng.uniform(0.02, 0.28), tint)
        ink = tone(hue, rng.uniform(0.84, 1.0), tint)
    else:
        panel = WHITE if rng.random() < 0.5 else tone(hue, rng.uniform(0.9, 1.0), tint)
        ground = tone(rng.random(), rng.uniform(0.35, 0.97), rng.choice((tint, rng.uniform(0, 0.7))))
        ink = tone(hue, rng.uniform(0.0, 0.2), tint)
    accent = _accent(rng, panel)
    bar = _bar(rng, panel, ink, accent, hue)
    link = rng.choice(BROWSER_LINKS)
    while contrast(link, panel) < 3.5:
        link = mix(link, ink, 0.3)
    muted = mix(ink, panel, rng.uniform(0.25, 0.45))
    return Theme(
        ground=ground,
        panel=panel,
        bar=bar,
        bar_end=mix(bar, rng.choice((WHITE, BLACK)), rng.uniform(0.08, 0.2)) if rng.random() < 0.2 else bar,
        ink=ink,
        bar_ink=ink_on(bar),
        muted=muted if contrast(muted, panel) >= 3.5 else mix(ink, panel, 0.15),
        line=mix(panel, ink, rng.uniform(0.18, 0.55)),
        band=mix(panel, rng.choice((ink, accent)), rng.uniform(0.08, 0.16)),
        accent=accent,
        accent_ink=ink_on(accent),
        link=link,
        inset=rng.choice((panel, mix(panel, ink, 0.04), panel if dark else WHITE)),
    )


def _accent(rng: random.Random, panel: Color) -> Color:
    while True:
        accent = tone(rng.random(), rng.uniform(0.25, 0.7), rng.uniform(0.4, 1.0))
        if contrast(accent, panel) >= 2.5:
            return accent


def _bar(rng: random.Random, panel: Color, ink: Color, accent: Color, hue: float) -> Color:
    return rng.choice(
        (
            mix(panel, ink, rng.uniform(0.03, 0.14)),
            accent,
            tone(hue, rng.uniform(0.08, 0.3), rng.uniform(0, 0.5)),
            panel,
            tone(rng.random(), rng.uniform(0.2, 0.9), rng.uniform(0, 0.8)),
        )
    )


def new_look(scene: Scene) -> Look:
    rng = scene.rng
    chosen = scene.combine("look", labels=LABELS, fields=FIELDS, buttons=BUTTONS, rows=ROWS, tabs=TABS)
    density = rng.random()
    return Look(
        **chosen,
        pad=round(2 + 6 * density + rng.random()),
        gap=round(3 + 7 * density + 3 * rng.random()),
        margin=rng.randint(5, 12 + round(10 * density)),
        radius=rng.choice((0, 0, rng.randint(2, 5), rng.randint(2, 5), rng.randint(6, 12), 20)),
        icons=rng.choice((0.0, 0.0, 0.4, 1.0)),
        underlined=rng.random() < 0.5,
        switches=rng.random() < 0.6,
    )


def fade(canvas: Canvas, box: Box, start: Color, end: Color) -> None:
    """Fills `box` from `start` at its top to `end` at its bottom."""
    canvas.rectangle(box, start)
    width, height = box[2] - box[0], box[3] - box[1]
    if start != end and width > 0 and height > 0:
        canvas.image.paste(end, (box[0], box[1]), _ramp(height).resize((width, height), Image.Resampling.NEAREST))


@cache
def _ramp(height: int) -> Image.Image:
    """A column of `height` pixels from 0 to 255."""
    return Image.linear_gradient("L").resize((1, height), Image.Resampling.BILINEAR)
