"""Bodies of screens that ask for something: forms, settings, boxes to log in, dialogs, assistants of several steps.

Each body draws into an area and returns the y below what it drew. `BODIES` has these and those of
`contents` and `reading`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qwen3vl.drawn import contents, interface, reading
from qwen3vl.drawn.canvas import Box
from qwen3vl.drawn.fields import draw_field, field_height
from qwen3vl.drawn.themes import BLACK, mix
from qwen3vl.drawn.widgets import AROUND_TEXT, ICON, NARROWEST, Screen

SIDE_BY_SIDE = 240  # pixels that two columns need

Body = Callable[[Screen, Box], int]


def _inside(screen: Screen, area: Box) -> Box:
    margin = screen.look.margin
    return (area[0] + margin, area[1] + screen.look.gap, area[2] - margin, area[3] - 3)


def _form(screen: Screen, area: Box) -> int:
    """Perhaps a heading, then fields, boxes to tick and choices from top to bottom."""
    rng = screen.scene.rng
    x, y, right, bottom = _inside(screen, area)
    if rng.random() < 0.4 and y + screen.bold.height < bottom:
        y = screen.heading(x, y, right - x, centred=rng.random() < 0.2)
    if rng.random() < 0.3:
        right -= round((right - x) * rng.uniform(0.0, 0.35))
    return _pieces(screen, (x, y, right, bottom), ("field", "field", "field", "check", "switch", "choice"), 7)


def _pieces(screen: Screen, area: Box, kinds: tuple[str, ...], most: int) -> int:
    rng, look = screen.scene.rng, screen.look
    x, y, right, bottom = area
    beside = max(NARROWEST + 6, round((right - x) * rng.uniform(0.25, 0.45)))
    focus = rng.randrange(5)
    for i in range(most):
        kind = rng.choice(kinds)
        height = field_height(screen) if kind == "field" else screen.row
        if y + height > bottom or screen.full:
            break
        if kind == "field":
            draw_field(screen, x, y, right, beside, focus=i == focus)
        elif kind == "check":
            text = screen.label(interface.CHECKS, right - x - screen.font.size - 10)
            screen.tick("checkbox", x + AROUND_TEXT, y, text, on=rng.random() < 0.5)
        elif kind == "switch":
            text = screen.label(interface.CHECKS, right - x - 40)
            screen.switch(x + AROUND_TEXT, y, right - AROUND_TEXT, height, text, on=rng.random() < 0.5)
        else:
            _choices(screen, x + AROUND_TEXT, y, right)
        y += height + look.gap
    return y - look.gap


def _choices(screen: Screen, x: int, y: int, right: int) -> None:
    """Two or three rings side by side, at most one of them chosen."""
    chosen = screen.scene.rng.randrange(4)
    for i in range(screen.scene.rng.randint(2, 3)):
        room = right - x - screen.font.size - 10
        if room < NARROWEST:
            return
        x = screen.tick("radio", x, y, screen.label(interface.PLACES, min(room, 100)), on=i == chosen) + 12


def _two_columns(screen: Screen, area: Box) -> int:
    """Two bodies side by side, or where there is no room for that below each other."""
    rng, look = screen.scene.rng, screen.look
    halves = [rng.choice((_form, _settings, contents.rows, reading.links)) for _ in range(2)]
    if area[2] - area[0] < SIDE_BY_SIDE:
        middle = (area[1] + area[3]) // 2
        halves[0](screen, (area[0], area[1], area[2], middle - 2))
        return halves[1](screen, (area[0], middle, area[2], area[3]))
    middle = area[0] + round((area[2] - area[0]) * rng.uniform(0.42, 0.58))
    if rng.random() < 0.5:
        screen.canvas.draw.line((middle, area[1] + look.gap, middle, area[3] - look.gap), screen.theme.line)
    first = halves[0](screen, (area[0], area[1], middle, area[3]))
    return max(first, halves[1](screen, (middle + 1, area[1], area[2], area[3])))


def _settings(screen: Screen, area: Box) -> int:
    """Rows with a switch, or a box to tick, in groups with a small heading."""
    rng, look, theme = screen.scene.rng, screen.look, screen.theme
    x, y, right, bottom = _inside(screen, area)
    height, count = screen.row + rng.randint(0, 8), rng.randint(2, 7)
    for i in range(count):
        if rng.random() < 0.25 and y + screen.small.height + 2 + height <= bottom:
            y = screen.note(x, y, right - x)
        if y + height > bottom or screen.full:
            break
        if look.rows == "boxed":
            screen.canvas.rectangle((x - 4, y, right + 4, y + height), theme.band, radius=min(look.radius, 8))
        elif look.rows == "zebra" and i % 2:
            screen.canvas.rectangle((x - 4, y, right + 4, y + height), theme.band)
        elif look.rows == "lines":
            screen.canvas.draw.line((x, y + height, right - 1, y + height), theme.line)
        if look.switches:
            text = screen.label(interface.CHECKS, right - x - 46)
            screen.switch(x + AROUND_TEXT, y, right - AROUND_TEXT, height, text, on=rng.random() < 0.5)
        else:
            text = screen.label(interface.CHECKS, right - x - screen.font.size - 16)
            screen.tick("checkbox", x + AROUND_TEXT, y + (height - screen.row) // 2, text, on=rng.random() < 0.5)
        y += height + (look.gap if look.rows == "boxed" else 1)
    return y


def _login(screen: Screen, area: Box) -> int:
    """A heading, two or three fields, something to tick, a link."""
    rng = screen.scene.rng
    x, y, right, bottom = _inside(screen, area)
    if y + screen.bold.height + field_height(screen) < bottom:
        y = screen.heading(x, y, right - x, centred=rng.random() < 0.6)
    y = _pieces(screen, (x, y, right, bottom), ("field",), rng.randint(2, 3)) + screen.look.gap
    if rng.random() < 0.6:
        y = _pieces(screen, (x, y, right, bottom), ("check",), 1) + screen.look.gap
    if y + screen.small.height + 4 <= bottom and rng.random() < 0.7:
        text = screen.label(interface.BUTTONS, right - x - 6)
        left = rng.choice((x + AROUND_TEXT, (x + right - screen.small.width(text)) // 2))
        screen.link(left, y + 2, text, screen.small)
        y += screen.small.height + 4
    return y


def _assistant(screen: Screen, area: Box) -> int:
    """Steps with numbers, of which one is lit, then what this step asks."""
    rng, theme, canvas = screen.scene.rng, screen.theme, screen.canvas
    x, y, right, bottom = _inside(screen, area)
    count, side = rng.randint(3, 5), screen.small.height + 4
    current = rng.randrange(count)
    step = (right - x - side) // (count - 1)
    canvas.draw.line((x, y + side // 2, right - 1, y + side // 2), theme.line)
    for i in range(count):
        box = (x + i * step, y, x + i * step + side, y + side)
        canvas.rectangle(box, theme.accent if i == current else theme.panel, theme.line, radius=side // 2)
        canvas.text_middle(box, str(i + 1), screen.small, theme.accent_ink if i == current else theme.ink)
    y += side + screen.look.gap
    if y + screen.bold.height + screen.row < bottom:
        y = screen.heading(x, y, right - x)
    if rng.random() < 0.5:
        return _pieces(screen, (x, y, right, bottom), ("field", "field", "check"), 4)
    chosen = rng.randrange(5)
    for i in range(rng.randint(2, 6)):
        if y + screen.row > bottom or screen.full:
            break
        text = screen.label(interface.PLACES, right - x - screen.font.size - 12)
        screen.tick("radio", x + AROUND_TEXT, y, text, on=i == chosen)
        y += screen.row + screen.look.gap // 2
    return y


def _message(screen: Screen, area: Box) -> int:
    """What a dialog says: a heading and lines of text, or a short form."""
    rng = screen.scene.rng
    x, y, right, bottom = _inside(screen, area)
    if y + screen.bold.height < bottom:
        y = screen.heading(x, y, right - x)
    for _ in range(rng.randint(0, 3)):
        if y + screen.small.height < bottom:
            y = screen.note(x, y, right - x)
    y += screen.look.gap
    return _pieces(screen, (x, y, right, bottom), ("field", "check"), rng.randint(0, 2))


# --- bodies that stand in a box of their own ---


def _dialog_box(screen: Screen, area: Box) -> Box:
    """A page that nobody can use now, and a dialog over it."""
    rng, canvas, theme = screen.scene.rng, screen.canvas, screen.theme
    shade = mix(theme.panel, BLACK, rng.uniform(0.1, 0.55))
    canvas.rectangle(area, shade)
    y = area[1] + 10
    while y < area[3] - 12:
        width = round((area[2] - area[0] - 20) * rng.uniform(0.3, 1.0))
        canvas.rectangle((area[0] + 10, y, area[0] + 10 + width, y + 7), mix(shade, theme.line, 0.5))
        y += rng.randint(13, 26)
    width = round((area[2] - area[0]) * rng.uniform(0.74, 0.96))
    height = round((area[3] - area[1]) * rng.uniform(0.66, 0.95))
    left = (area[0] + area[2] - width) // 2 + rng.randint(-4, 4)
    top = (area[1] + area[3] - height) // 2
    box = (left, top, left + width, top + height)
    canvas.rectangle(
        (box[0] + 3, box[1] + 4, box[2] + 3, box[3] + 4), mix(shade, BLACK, 0.3), radius=screen.look.radius
    )
    canvas.rectangle(box, theme.panel, theme.line, radius=screen.look.radius)
    top = box[1] + 4
    if rng.random() < 0.6 and screen.icon("close", box[2] - ICON - 4, top, theme.ink):
        if rng.random() < 0.7:
            screen.heading(box[0] + screen.look.margin, top, width - ICON - 4 - 2 * screen.look.margin)
        top += max(ICON, screen.bold.height)
    return (box[0] + 1, top, box[2] - 1, box[3] - 1)


def _narrow_box(screen: Screen, area: Box) -> Box:
    """A column in the middle of the area, mostly framed."""
    rng, theme = screen.scene.rng, screen.theme
    width = min(area[2] - area[0] - 8, rng.randint(170, 300))
    space = (area[3] - area[1]) * rng.uniform(0.01, 0.12)
    left = (area[0] + area[2] - width) // 2
    box = (left, area[1] + round(space), left + width, area[3] - round(space))
    if rng.random() < 0.7:
        if rng.random() < 0.5:
            screen.canvas.rectangle(area, mix(theme.panel, theme.band, 0.6))
        screen.canvas.rectangle(box, theme.panel, theme.line, radius=screen.look.radius)
    return (box[0] + 1, box[1] + 1, box[2] - 1, box[3] - 1)


BOXED: Mapping[str, Callable[[Screen, Box], Box]] = {"dialog": _dialog_box, "login": _narrow_box}
BODIES: Mapping[str, Body] = {
    "form": _form,
    "two columns": _two_columns,
    "settings": _settings,
    "login": _login,
    "assistant": _assistant,
    "dialog": _message,
    "list": contents.rows,
    "cards": contents.cards,
    "table": contents.table,
    "tiles": contents.tiles,
    "links": reading.links,
    "article": reading.article,
    "dashboard": contents.dashboard,
    "drawing": contents.drawing,
}
