"""The fields of forms: boxes to type into and lists to open, with their labels in one of four places."""

from __future__ import annotations

from qwen3vl.drawn import interface
from qwen3vl.drawn.canvas import Box
from qwen3vl.drawn.glyphs import draw_glyph
from qwen3vl.drawn.themes import mix
from qwen3vl.drawn.widgets import Screen


def field_height(screen: Screen) -> int:
    """Pixels that one field needs with its label."""
    if screen.look.labels == "above":
        return screen.font.height + 2 + screen.row
    return screen.row + (screen.small.height if screen.look.labels == "floating" else 0)


def draw_field(screen: Screen, x: int, y: int, right: int, beside: int, *, focus: bool = False) -> int:
    """A labelled field or drop-down list from `x` to `right`; returns the y below it.

    `beside` is the room for labels at the left, where this look puts them there. A field that has the focus has a
    thick border in the accent's colour and a caret.
    """
    rng, look, theme, font = screen.scene.rng, screen.look, screen.theme, screen.font
    dropdown = not focus and look.labels != "inside" and rng.random() < 0.2
    if look.labels == "left":
        text = screen.label(interface.FIELDS, beside - 6)
        screen.canvas.text(x, y + look.pad, text, font, theme.ink)
        x += beside
    else:
        text = screen.label(interface.FIELDS, right - x - 16)
    if look.labels == "above":
        screen.canvas.text(x, y, text, font, theme.ink)
        y += font.height + 2
    box = (x, y, right, y + screen.row + (screen.small.height if look.labels == "floating" else 0))
    _frame(screen, box, focus)
    left, value = x + 6, ""
    if look.labels == "floating":
        screen.canvas.text(left, y + 2, text, screen.small, theme.muted)
    if look.labels == "inside":
        screen.canvas.text(left, y + look.pad, text, font, theme.muted)
    elif dropdown or rng.random() < 0.5:
        value = _value(screen, right - left - (28 if dropdown else 10))
        screen.canvas.text(left, box[3] - look.pad - font.height, value, font, theme.ink)
    if dropdown:
        side = max(8, font.size - 5)
        draw_glyph(screen.canvas.draw, "down", right - side - 7, (box[1] + box[3] - side) // 2, side, theme.ink)
    if focus:
        caret = left + 1 + font.width(value)
        screen.canvas.draw.line((caret, box[3] - look.pad - font.height, caret, box[3] - look.pad - 1), theme.ink)
    screen.add("dropdown" if dropdown else "field", text, box, on=focus, value=value)
    return box[3]


def _frame(screen: Screen, box: Box, focus: bool) -> None:
    look, theme = screen.look, screen.theme
    line, width = (theme.accent, 2) if focus else (mix(theme.line, theme.ink, 0.15), 1)
    if look.fields == "box":
        screen.canvas.rectangle(box, theme.inset, line, width, min(6, look.radius))
        return
    fill = mix(theme.panel, theme.ink, 0.09) if look.fields == "filled" else None
    screen.canvas.rectangle(box, fill)
    screen.canvas.rectangle((box[0], box[3] - width, box[2], box[3]), line)


def _value(screen: Screen, room: int) -> str:
    """Something typed that fits, or nothing."""
    words = screen.scene.words
    make = screen.scene.rng.choice((words.cased, words.code, words.name))
    value = words.zh(2, 4) if screen.chinese and screen.scene.rng.random() < 0.7 else make()
    return value if screen.font.width(value) <= room else ""
