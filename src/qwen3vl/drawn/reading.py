"""Bodies of screens that are read: columns of links, and articles with links in the text.

Each body draws into an area and returns the y below what it drew.
"""

from __future__ import annotations

from qwen3vl.drawn import flow, interface
from qwen3vl.drawn.canvas import Box
from qwen3vl.drawn.widgets import AROUND_TEXT, Screen


def links(screen: Screen, area: Box) -> int:
    """Links below each other, with dots or without, in one or two columns, as on plain pages."""
    rng, look, font = screen.scene.rng, screen.look, screen.font
    x, y, right, bottom = area[0] + look.margin, area[1] + look.gap, area[2] - look.margin, area[3] - 2
    if y + screen.bold.height < bottom and rng.random() < 0.6:
        y = screen.heading(x, y, right - x)
    dots, pitch, top = rng.random() < 0.5, font.height + rng.randint(4, 12), y
    x += rng.choice((8, 24)) if dots else AROUND_TEXT
    columns = 2 if right - x > 220 and rng.random() < 0.35 else 1
    for i in range(rng.randint(2, 8)):
        row, column = divmod(i, columns)
        y, left = top + row * pitch, x + column * ((right - x) // columns)
        if y + pitch > bottom or screen.full:
            return y
        if dots:
            middle = y + font.height // 2
            screen.canvas.draw.ellipse((left - 8, middle - 2, left - 4, middle + 2), screen.theme.ink)
        text = screen.label(interface.PLACES, (right - x) // columns - 16)
        screen.link(left + dots * AROUND_TEXT, y + 2, text, font)
    return y + pitch


def article(screen: Screen, area: Box) -> int:
    """Headings and paragraphs of running text with links in it."""
    rng, words, look, font = screen.scene.rng, screen.scene.words, screen.look, screen.font
    x, y, right, bottom = area[0] + look.margin, area[1] + look.gap, area[2] - look.margin, area[3] - 2
    pitch, space = font.height + rng.randint(0, 5), 0 if screen.chinese else font.width(" ")
    for i in range(rng.randint(1, 4)):
        if (i == 0 or rng.random() < 0.4) and y + screen.bold.height < bottom:
            y = screen.heading(x, y, right - x)
        text = words.zh_sentence(10, 30) if screen.chinese else words.sentence(5, 14)
        parts = flow.pieces(text, chinese=screen.chinese)
        if rng.random() < 0.75 and not screen.full:
            label = screen.label(interface.PLACES, min(160, right - x))
            parts = flow.with_tag(rng, parts, "a", label)
        lines = flow.lines(parts, right - x, lambda piece: font.width(piece.text), space)
        if y + pitch * len(lines) > bottom:
            return y
        for line in lines:
            for placed in line:
                if placed.piece.tag:
                    screen.link(x + placed.x, y, placed.piece.text, font)
                else:
                    screen.canvas.text(x + placed.x, y, placed.piece.text, font, screen.theme.ink)
            y += pitch
        y += look.gap + 3
    return y
