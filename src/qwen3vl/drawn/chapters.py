"""The chapters of a video: stretches of equal frames, each with a caption of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from dataclasses import dataclass

from qwen3vl.drawn.canvas import Canvas, Color
from qwen3vl.drawn.paper import CHINESE_PAPERS, accent, text_on, tint
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.things import COLORS, SHAPES, draw_shape, seen_on

APART = 90  # least distance of the grounds of two chapters, in RGB
SHORTEST = 2  # frames
RADIUS = 16  # of a shape beside a caption


@dataclass(frozen=True)
class Chapter:
    """A caption that is shown in the frames [first, last), all of which are this canvas."""

    caption: str
    first: int
    last: int
    canvas: Canvas


def make_chapters(scene: Scene, frames: int) -> list[Chapter]:
    """Two to four chapters, drawn."""
    rng = scene.rng
    chosen = scene.combine(
        "chapters",
        place=("left", "middle", "right"),
        height=("top", "middle", "bottom", "any"),
        ground=("own", "own", "same", "band"),
        extra=("none", "none", "shape", "rule"),
    )
    count = rng.randint(2, 4 if frames >= 16 else 3)
    cuts = _cuts(scene, frames, count)
    chinese = rng.random() < CHINESE_PAPERS
    grounds = _grounds(scene, count)
    size = rng.randint(15, 24)
    chapters: list[Chapter] = []
    for i, (first, last) in enumerate(zip([0, *cuts], [*cuts, frames], strict=True)):
        canvas = scene.canvas(grounds[i] if chosen["ground"] == "own" else grounds[0])
        font = scene.font(size, chinese=chinese)
        caption = _caption(scene, chinese, {chapter.caption for chapter in chapters}, font.width, canvas.width - 12)
        free = canvas.width - font.width(caption)
        x = {"left": 6, "middle": free // 2, "right": free - 6}[chosen["place"]]
        room = canvas.height - font.height
        y = {"top": 6, "middle": room // 2, "bottom": room - 6, "any": rng.randint(4, room - 4)}[chosen["height"]]
        ink = text_on(canvas.background)
        if chosen["ground"] == "band":
            fill = accent(scene, canvas.background)
            canvas.rectangle((0, y - 4, canvas.width, y + font.height + 4), fill)
            ink = text_on(fill)
        if chosen["extra"] == "rule":
            canvas.rectangle((x, y + font.height + 1, x + font.width(caption), y + font.height + 3), ink)
        elif chosen["extra"] == "shape" and (spot := _free_spot(canvas, y, y + font.height)):
            color, at = rng.choice(seen_on(canvas.background)), rng.randint(20, canvas.width - 21)
            draw_shape(canvas, rng.choice(list(SHAPES)), at, spot, RADIUS, color, COLORS[color][0])
        canvas.text(x, y, caption, font, ink)
        chapters.append(Chapter(caption, first, last, canvas))
    return chapters


def _cuts(scene: Scene, frames: int, count: int) -> list[int]:
    """The first frame of each chapter but the first."""
    while True:
        cuts = sorted(scene.rng.sample(range(SHORTEST, frames - SHORTEST + 1), count - 1))
        if min(b - a for a, b in zip([0, *cuts], [*cuts, frames], strict=True)) >= SHORTEST:
            return cuts


def _grounds(scene: Scene, count: int) -> list[Color]:
    """Colours of any kind, each clearly another than the one before."""
    made: list[Color] = []
    while len(made) < count:
        dark = scene.rng.random() < 0.5
        color = tint(scene.rng, (0.1, 0.8), (0.1, 0.45)) if dark else tint(scene.rng, (0.0, 0.5), (0.75, 1.0))
        if not made or math.dist(color, made[-1]) >= APART:
            made.append(color)
    return made


def _caption(scene: Scene, chinese: bool, taken: Container[str], width: Callable[[str], int], room: int) -> str:
    """A caption that no other chapter has."""
    words = scene.words
    while True:
        text = words.zh(2, 5) if chinese else words.phrase(1, 2)
        if width(text) > room:
            text = words.zh(2, 3) if chinese else words.short(6).capitalize()
        if width(text) <= room and text not in taken:
            return text


def _free_spot(canvas: Canvas, top: int, bottom: int) -> int | None:
    """The y of a shape above or below a caption, if there is room for one."""
    need = 2 * RADIUS + 16
    if top >= need:
        return top // 2
    return (bottom + canvas.height) // 2 if canvas.height - bottom >= need else None
