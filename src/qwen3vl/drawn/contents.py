"""Bodies of screens that show something: lists, cards, tables, tiles, figures, a sheet to draw on.

Each body draws into an area and returns the y below what it drew.
"""

from __future__ import annotations

from qwen3vl.drawn import interface
from qwen3vl.drawn.canvas import Box
from qwen3vl.drawn.glyphs import draw_glyph
from qwen3vl.drawn.reading import links
from qwen3vl.drawn.themes import mix, tone
from qwen3vl.drawn.widgets import AROUND_TEXT, NARROWEST, Screen


def rows(screen: Screen, area: Box) -> int:
    """A list: each row with its text, perhaps a second line, an arrow or a value at the right."""
    rng, look, theme, canvas = screen.scene.rng, screen.look, screen.theme, screen.canvas
    side = rng.choice((0, look.margin))
    x, y, right, bottom = area[0] + side, area[1] + rng.randint(0, look.gap), area[2] - side, area[3] - 2
    second = rng.random() < 0.3
    height = screen.row + rng.randint(0, 10) + (screen.small.height if second else 0)
    ending = rng.choice(("", "", "arrow", "value"))
    for i in range(rng.randint(2, 9)):
        if y + height > bottom or screen.full:
            break
        box = (x, y, right, y + height)
        if look.rows == "boxed":
            canvas.rectangle(box, theme.inset, theme.line, radius=min(look.radius, 10))
        elif look.rows == "zebra" and i % 2:
            canvas.rectangle(box, theme.band)
        elif look.rows == "lines":
            canvas.draw.line((x, y + height - 1, right - 1, y + height - 1), theme.line)
        text = screen.label(interface.PLACES, right - x - (64 if ending else 36))
        under = screen.fitting(screen.phrase, screen.small, right - x - 70) if second else ""
        screen.item(box, text, second=under)
        if ending == "arrow":
            draw_glyph(canvas.draw, "forward", right - 18, (y + y + height) // 2 - 5, 10, theme.muted, 1)
        elif ending == "value":
            value = screen.fitting(screen.scene.words.number, screen.small, 30)
            canvas.text(right - 7 - screen.small.width(value), y + look.pad, value, screen.small, theme.muted)
        y += height + (look.gap if look.rows == "boxed" else 0)
    return y


def cards(screen: Screen, area: Box) -> int:
    """Cards in one to four columns: perhaps a picture, a heading, a note, and a button or a link.

    Where all cards have a button with the same text, the card's heading tells them apart.
    """
    rng, look = screen.scene.rng, screen.look
    x, y, right, bottom = area[0] + look.margin, area[1] + look.gap, area[2] - look.margin, area[3] - 2
    gap = look.gap + 2
    columns = max(1, min(rng.randint(1, 4), (right - x + gap) // 104))
    width = (right - x - (columns - 1) * gap) // columns
    picture = rng.choice((0, 0, rng.randint(20, 60)))
    ending = rng.choice(("button", "button", "link", "none"))
    notes = rng.randint(0, 2)
    height = picture + 12 + screen.font.height + notes * (screen.small.height + 2)
    height += {"button": screen.row + 6, "link": screen.small.height + 8, "none": 0}[ending]
    shared = screen.label(interface.BUTTONS, width - 30) if ending != "none" and rng.random() < 0.4 else ""
    for _ in range(rng.randint(1, 3)):
        if y + height > bottom or screen.full:
            break
        for column in range(columns):
            left = x + column * (width + gap)
            _card(screen, (left, y, left + width, y + height), picture, notes, ending, shared)
        y += height + gap
    return y


def _card(screen: Screen, box: Box, picture: int, notes: int, ending: str, shared: str) -> None:
    theme, look = screen.theme, screen.look
    screen.canvas.rectangle(box, theme.inset, theme.line, radius=min(look.radius, 12))
    x, right = box[0] + 8, box[2] - 8
    y = box[1] + 5
    if picture:
        photo(screen, (box[0] + 1, box[1] + 1, box[2] - 1, box[1] + picture))
        y += picture
    if ending == "none":
        text = screen.label(interface.PLACES, right - x)
        screen.canvas.text(x, y, text, screen.font, theme.ink)
        screen.add("item", text, box)
    else:
        name = screen.label(interface.PLACES, right - x)
        screen.canvas.text(x, y, name, screen.font, theme.ink)
    y += screen.font.height + 2
    for _ in range(notes):
        y = screen.note(x, y, right - x)
    within = ("card", name) if ending != "none" and shared else None
    if ending == "button":
        text = shared or screen.label(interface.BUTTONS, right - x - 16)
        screen.button((x, box[3] - screen.row - 6, right, box[3] - 6), text, within=within)
    elif ending == "link":
        text = shared or screen.label(interface.BUTTONS, right - x - 6)
        screen.link(x + AROUND_TEXT, box[3] - screen.small.height - 7, text, screen.small, within=within)


def photo(screen: Screen, box: Box) -> None:
    """Something like a picture: a sky, a sun, a hill, or a plain area with a cross."""
    rng, canvas = screen.scene.rng, screen.canvas
    sky = tone(rng.random(), rng.uniform(0.3, 0.85), rng.uniform(0.1, 0.7))
    canvas.rectangle(box, sky)
    width, height = box[2] - box[0], box[3] - box[1]
    if rng.random() < 0.5:
        hill = [(box[0], box[3] - 1), (box[0] + rng.randint(0, width), box[1] + height // 3), (box[2] - 1, box[3] - 1)]
        canvas.draw.polygon(hill, tone(rng.random(), rng.uniform(0.2, 0.6), rng.uniform(0.1, 0.7)))
        sun, size = box[0] + rng.randint(0, max(0, width - 12)), max(3, min(12, height // 2))
        canvas.draw.ellipse((sun, box[1] + 2, sun + size, box[1] + 2 + size), mix(sky, (255, 240, 200), 0.7))


def table(screen: Screen, area: Box) -> int:
    """Rows of a table, at the end of each something to click; the row's name tells equal ones apart."""
    rng, look, theme, canvas = screen.scene.rng, screen.look, screen.theme, screen.canvas
    x, y, right, bottom = area[0] + look.margin, area[1] + look.gap, area[2] - look.margin, area[3] - 2
    ending = rng.choice(("button", "link", "name", "tick"))
    end = 0 if ending in ("name", "tick") else min(90, (right - x) // 3)
    name = min(130, (right - x - end) // 2)
    values = (right - x - end - name) // 70
    height = screen.row + rng.randint(2, 6)
    shared = screen.label(interface.BUTTONS, end - 16) if end and rng.random() < 0.7 else ""
    for i in range(rng.randint(3, 8)):
        if y + height > bottom or screen.full:
            break
        if look.rows == "zebra" and i % 2:
            canvas.rectangle((x, y, right, y + height), theme.band)
        else:
            canvas.draw.line((x, y + height - 1, right - 1, y + height - 1), theme.line)
        middle = y + (height - screen.font.height) // 2
        if i == 0:
            heads = [
                screen.fitting(lambda: rng.choice(interface.COLUMNS)[screen.chinese], screen.font, 66)
                for _ in range(values + 1)
            ]
            for j, head in enumerate(heads):
                canvas.text(x + 4 + (name + (j - 1) * 70 if j else 0), middle, head, screen.font, theme.muted)
        else:
            _table_row(screen, (x, y, right, y + height), middle, name, values, ending, shared)
        y += height
    if look.rows == "boxed":
        canvas.rectangle((x - 2, area[1] + look.gap - 1, right + 2, y + 1), None, theme.line)
    return y


def _table_row(screen: Screen, box: Box, y: int, name: int, values: int, ending: str, shared: str) -> None:
    words, theme, font = screen.scene.words, screen.theme, screen.font
    x, right = box[0] + 4, box[2]
    text = screen.label(interface.PLACES, name - 26)
    if ending == "tick":
        screen.tick("checkbox", x, (box[1] + box[3] - screen.row) // 2, text, on=screen.scene.rng.random() < 0.5)
    elif ending == "name":
        screen.link(x, y, text, font)
    else:
        screen.canvas.text(x, y, text, font, theme.ink)
    for j in range(values):
        value = screen.fitting(screen.scene.rng.choice((words.number, words.price, words.clock)), font, 62)
        screen.canvas.text(x + name + j * 70, y, value, font, theme.ink)
    end = min(90, (right - box[0]) // 3)
    within = ("row", text) if shared else None
    if ending == "button":
        label = shared or screen.label(interface.BUTTONS, end - 16)
        left = right - min(end, screen.button_width(label, 8)) - 2
        screen.button((left, box[1] + 2, right - 2, box[3] - 2), label, within=within)
    elif ending == "link":
        label = shared or screen.label(interface.BUTTONS, end - 16)
        screen.link(right - font.width(label) - 4, y, label, font, within=within)


def tiles(screen: Screen, area: Box) -> int:
    """A grid of pictures with words below, as on a phone's first page or in a launcher."""
    rng, look, theme = screen.scene.rng, screen.look, screen.theme
    x, y, right, bottom = area[0] + look.margin, area[1] + look.gap, area[2] - look.margin, area[3] - 2
    side, font = rng.randint(26, 46), screen.small
    columns = max(2, min(rng.randint(2, 5), (right - x) // (NARROWEST + 20)))
    step, height = (right - x) // columns, side + font.height + 6
    framed = rng.random() < 0.5
    for i in range(rng.randint(2, 12)):
        column, top = i % columns, y + i // columns * (height + look.gap)
        if top + height > bottom or screen.full:
            return top
        cell = (x + column * step + 2, top, x + (column + 1) * step - 2, top + height)
        text = screen.label(interface.PLACES, step - 14)
        left = (cell[0] + cell[2] - side) // 2
        ground = tone(rng.random(), rng.uniform(0.3, 0.8), rng.uniform(0.2, 0.9))
        screen.canvas.rectangle(
            (left, top + 2, left + side, top + 2 + side), ground, radius=min(side // 2, look.radius)
        )
        screen.decoration(left + side // 4, top + 2 + side // 4, side // 2, (255, 255, 255))
        start = (cell[0] + cell[2] - font.width(text)) // 2
        screen.canvas.text(start, top + side + 4, text, font, theme.ink)
        if framed:
            screen.canvas.rectangle(cell, None, theme.line, radius=min(look.radius, 8))
            screen.add("tile", text, cell)
        else:
            reach = max(side, font.width(text)) // 2 + AROUND_TEXT
            middle = (cell[0] + cell[2]) // 2
            screen.add("tile", text, (middle - reach, cell[1], middle + reach, cell[3]))
    return top + height


def dashboard(screen: Screen, area: Box) -> int:
    """Figures in boxes, bars of a chart, then a list or links."""
    rng, look, theme, canvas, words = screen.scene.rng, screen.look, screen.theme, screen.canvas, screen.scene.words
    x, y, right, bottom = area[0] + look.margin, area[1] + look.gap, area[2] - look.margin, area[3] - 2
    columns = max(1, min(rng.randint(2, 4), (right - x) // 74))
    width = (right - x + look.gap) // columns - look.gap
    height = screen.bold.height + screen.small.height + 12
    if y + height < bottom:
        for i in range(columns):
            left = x + i * (width + look.gap)
            canvas.rectangle((left, y, left + width, y + height), theme.band, radius=min(look.radius, 12))
            figure = screen.fitting(rng.choice((words.number, words.price)), screen.bold, width - 12)
            canvas.text(left + 6, y + 4, figure, screen.bold, ink := theme.ink)
            screen.note(left + 6, y + screen.bold.height + 4, width - 12)
        y += height + look.gap
    if rng.random() < 0.5 and bottom - y > 110:
        tall = rng.randint(36, 60)
        for i in range(count := rng.randint(4, 12)):
            left = x + i * (right - x) // count
            top = y + rng.randint(0, tall - 6)
            canvas.rectangle((left, top, left + (right - x) // count - 3, y + tall), mix(theme.accent, ink, 0.1))
        y += tall + look.gap
    return rng.choice((rows, links))(screen, (area[0], y, area[2], area[3]))


def drawing(screen: Screen, area: Box) -> int:
    """Tools in a row and a sheet with something drawn or written on it."""
    rng, theme, canvas = screen.scene.rng, screen.theme, screen.canvas
    x, y, right, bottom = area[0] + 4, area[1] + 3, area[2] - 4, area[3] - 3
    left = x
    for _ in range(rng.randint(1, 5)):
        if right - left < NARROWEST + 16 or y + screen.row > bottom:
            break
        text = screen.label(interface.BUTTONS, min(90, right - left - 14))
        width = screen.button_width(text, 7)
        screen.button((left, y, left + width, y + screen.row), text)
        left += width + rng.randint(2, 8)
    box = (x + rng.randint(0, 10), y + screen.row + 5, right - rng.randint(0, 10), bottom)
    canvas.rectangle(box, mix(theme.panel, (255, 255, 255), 0.8), theme.line)
    if box[3] - box[1] < 40:
        return box[3]
    for _ in range(rng.randint(1, 4)):
        u, v = rng.randint(box[0] + 4, box[2] - 34), rng.randint(box[1] + 4, box[3] - 24)
        inner = (u, v, min(box[2] - 4, u + rng.randint(20, 90)), min(box[3] - 4, v + rng.randint(15, 60)))
        if rng.random() < 0.4:
            photo(screen, inner)
        else:
            canvas.rectangle(inner, tone(rng.random(), 0.6, 0.6), theme.line, radius=rng.choice((0, 0, 8)))
    return bottom
