"""Where a screen's buttons stand: one to three of them in a row, full width, or on top of each other."""

from __future__ import annotations

from qwen3vl.drawn import interface
from qwen3vl.drawn.canvas import Box
from qwen3vl.drawn.widgets import NARROWEST, Screen

BUTTON_PLACES = ("none", "bottom left", "bottom right", "bottom centre", "wide", "stacked", "top right", "below")
LEAST_BODY = 3  # rows that buttons leave to the body


def place_buttons(screen: Screen, area: Box, place: str) -> Box:
    """Draws the buttons at an edge of `area` and returns the rest; those "below" the body come after it."""
    height, gap, margin = screen.row, screen.look.gap, screen.look.margin
    if place in ("none", "below") or area[3] - area[1] < height * (LEAST_BODY + 1) + gap:
        return area
    left, right = area[0] + margin, area[2] - margin
    if place == "top right":
        top = area[1] + gap
        start = _row(screen, left + (right - left) // 3, top, right, 1.0)
        screen.heading(left, top, start - left - gap)
        return (area[0], top + max(height, screen.bold.height) + gap, area[2], area[3])
    bottom = area[3] - margin // 2 - 2
    if place in ("wide", "stacked"):
        most = (area[3] - area[1]) // (2 * (height + gap)) if place == "stacked" else 1
        count = max(1, min(screen.scene.rng.randint(2, 3), most))
        top = bottom - count * height - (count - 1) * gap
        for i in range(count):
            y = top + i * (height + gap)
            text = screen.label(interface.BUTTONS, right - left - 16)
            screen.button((left, y, right, y + height), text, main=i == 0)
        return (area[0], area[1], area[2], top - gap)
    share = {"bottom left": 0.0, "bottom centre": 0.5, "bottom right": 1.0}[place]
    _row(screen, left, bottom - height, right, share)
    return (area[0], area[1], area[2], bottom - height - gap)


def buttons_below(screen: Screen, area: Box) -> None:
    """A row of buttons right under the body, where there is room."""
    if area[1] + screen.row < area[3] - 2:
        _row(screen, area[0] + screen.look.margin, area[1], area[2] - screen.look.margin, 0.0)


def _row(screen: Screen, left: int, y: int, right: int, share: float) -> int:
    """One to three buttons side by side, `share` of the free room at their left. Returns the x where they begin."""
    rng, gap = screen.scene.rng, screen.look.gap + 2
    padding = rng.randint(6, 16)
    count = max(1, min(rng.randint(1, 3), (right - left + gap) // (NARROWEST + 2 * padding + gap)))
    room = (right - left - (count - 1) * gap) // count - 2 * padding
    texts = [screen.label(interface.BUTTONS, max(NARROWEST, room)) for _ in range(count)]
    glyph = screen.font.size + 14 if screen.look.icons else 0
    widths = [min(room + 2 * padding, screen.button_width(text, padding) + glyph) for text in texts]
    if rng.random() < 0.4:
        widths = [max(widths)] * count
    start = x = left + round((right - left - sum(widths) - (count - 1) * gap) * share)
    main = rng.choice((0, count - 1))
    for i, (text, width) in enumerate(zip(texts, widths, strict=True)):
        screen.button((x, y, x + width, y + screen.row), text, main=i == main)
        x += width + gap
    return start
