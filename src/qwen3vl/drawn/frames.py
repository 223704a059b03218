"""What surrounds a screen's body: windows, browsers and phones; menus, tabs and lists of places.

Each part draws itself at the edge of an area and returns what is left of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qwen3vl.drawn.canvas import Box, Color
from qwen3vl.drawn.glyphs import draw_glyph
from qwen3vl.drawn.interface import MENUS, PLACES
from qwen3vl.drawn.themes import WHITE, fade, ink_on, mix
from qwen3vl.drawn.widgets import AROUND_TEXT, ICON, NARROWEST, Screen, Stock

TRAFFIC_LIGHTS: tuple[Color, ...] = ((255, 95, 87), (254, 188, 46), (40, 200, 64))

Part = Callable[[Screen, Box], Box]


# --- chrome ---


def _bare(screen: Screen) -> Box:
    """All of the picture, or a panel on a ground."""
    rng, canvas = screen.scene.rng, screen.canvas
    whole = (0, 0, canvas.width, canvas.height)
    if rng.random() < 0.6:
        return whole
    fade(canvas, whole, screen.theme.ground, mix(screen.theme.ground, screen.theme.panel, rng.choice((0.0, 0.3))))
    box = _inset(screen, 14)
    canvas.rectangle(box, screen.theme.panel, screen.theme.line, radius=screen.look.radius)
    return box


def _inset(screen: Screen, most: int) -> Box:
    rng, canvas = screen.scene.rng, screen.canvas
    return (
        rng.randint(1, most),
        rng.randint(1, most),
        canvas.width - rng.randint(1, most),
        canvas.height - rng.randint(1, most),
    )


def _window(screen: Screen) -> Box:
    """A program's window on a desktop: a title, and crosses or dots that close it."""
    rng, canvas, theme = screen.scene.rng, screen.canvas, screen.theme
    canvas.rectangle((0, 0, canvas.width, canvas.height), theme.ground)
    box = _inset(screen, rng.choice((3, 24)))
    canvas.rectangle(box, theme.panel, theme.line)
    bottom = box[1] + max(ICON, screen.font.height) + rng.randint(4, 12)
    bar = (box[0] + 1, box[1] + 1, box[2] - 1, bottom)
    fade(canvas, bar, theme.bar, theme.bar_end)
    middle, dots = (bar[1] + bar[3]) // 2, rng.random() < 0.3
    left, right = bar[0] + 8, bar[2] - 8
    if dots and screen.claim("close"):
        for i, color in enumerate(TRAFFIC_LIGHTS):
            canvas.draw.ellipse((left + i * 20, middle - 6, left + i * 20 + 12, middle + 6), color)
        screen.add_icon("close", (left - 3, middle - 9, left + 16, middle + 10))
        left += 66
    elif rng.random() < 0.85 and screen.icon("close", bar[2] - ICON - 3, middle - ICON // 2, theme.bar_ink):
        right -= ICON + 4
        for name in ("square", "bars")[: rng.randint(0, 1)]:
            right -= ICON
            draw_glyph(canvas.draw, name, right, middle - 5, 10, theme.bar_ink, 1)
    title = screen.fitting(screen.phrase, screen.font, right - left)
    x = left if rng.random() < 0.6 else left + (right - left - screen.font.width(title)) // 2
    canvas.text(x, middle - screen.font.height // 2, title, screen.font, theme.bar_ink)
    screen.title = title
    return (box[0] + 1, bar[3] + 1, box[2] - 1, box[3] - 1)


def _browser(screen: Screen) -> Box:
    """A bar with arrows and an address."""
    rng, canvas, words = screen.scene.rng, screen.canvas, screen.scene.words
    shade = rng.choice(((222, 225, 230), (240, 240, 242), (50, 52, 58), screen.theme.bar))
    ink, height = ink_on(shade), max(ICON, screen.small.height) + rng.randint(4, 12)
    canvas.rectangle((0, 0, canvas.width, height), shade)
    left = 4
    if screen.icon("back", left, (height - ICON) // 2, ink):
        left += ICON
    draw_glyph(canvas.draw, "forward", left + 4, height // 2 - 6, 12, mix(ink, shade, 0.5))
    left += ICON + rng.randint(0, 8)
    right = canvas.width - rng.randint(6, 60)
    canvas.rectangle((left, 4, right, height - 4), mix(shade, WHITE, 0.7), radius=rng.choice((0, 4, 9)))
    address = f"{words.word()}.{rng.choice(('com', 'org', 'net', 'io'))}{rng.choice(('', '', '/' + words.short(6)))}"
    if screen.small.width(address) < right - left - 16:
        ink = ink_on(mix(shade, WHITE, 0.7))
        canvas.text(left + 8, (height - screen.small.height) // 2, address, screen.small, ink)
    if canvas.width - right > ICON + 2:
        screen.icon("more", canvas.width - ICON - 2, (height - ICON) // 2, ink_on(shade))
    return (0, height, canvas.width, canvas.height)


def _phone(screen: Screen) -> Box:
    """The line at the top of every phone: the time, how well it receives, its battery."""
    rng, canvas, theme, font = screen.scene.rng, screen.canvas, screen.theme, screen.small
    height, shade = font.height + rng.randint(2, 6), rng.choice((theme.panel, theme.bar))
    ink, middle = ink_on(shade), (font.height + 4) // 2
    canvas.rectangle((0, 0, canvas.width, height), shade)
    clock = screen.scene.words.clock()
    canvas.text(rng.choice((8, 16, (canvas.width - font.width(clock)) // 2)), 2, clock, font, ink)
    battery = (canvas.width - 30, middle - 5, canvas.width - 8, middle + 5)
    canvas.rectangle(battery, None, ink, radius=rng.choice((0, 2)))
    canvas.rectangle((battery[0] + 2, battery[1] + 2, battery[0] + rng.randint(5, 20), battery[3] - 2), ink)
    for i in range(rng.randint(0, 4)):
        x = battery[0] - 24 + 4 * i
        canvas.rectangle((x, middle + 3 - 2 * i, x + 3, middle + 5), ink)
    return (0, height, canvas.width, canvas.height)


CHROMES: Mapping[str, Callable[[Screen], Box]] = {
    "none": _bare,
    "window": _window,
    "browser": _browser,
    "phone": _phone,
}


# --- ways to get about ---


def _nowhere(screen: Screen, area: Box) -> Box:
    return area


def _menu(screen: Screen, area: Box) -> Box:
    """A bar with words: the menus of a program, or a site's name and its pages."""
    rng, theme = screen.scene.rng, screen.theme
    bottom = area[1] + screen.row + rng.randint(0, 10)
    kind, stock = rng.choice((("menu", MENUS), ("link", PLACES)))
    shade, ink = rng.choice(((theme.bar, theme.bar_ink), (theme.panel, theme.ink)))
    box = (area[0], area[1], area[2], bottom)
    fade(screen.canvas, box, shade, theme.bar_end if shade == theme.bar else shade)
    left = area[0] + rng.randint(6, 16)
    y = (area[1] + bottom - screen.font.height) // 2
    if kind == "link" and area[2] - left > 240 and rng.random() < 0.6:
        brand = screen.fitting(screen.phrase, screen.bold, 100) if screen.bold.height <= bottom - area[1] else ""
        screen.canvas.text(left, (area[1] + bottom - screen.bold.height) // 2, brand, screen.bold, ink)
        screen.title = screen.title or brand
        left += screen.bold.width(brand) + rng.randint(10, 40)
    _words_in_a_row(screen, kind, stock, left, y, area[2] - 6, ink)
    if shade == theme.panel:
        screen.canvas.draw.line((area[0], bottom - 1, area[2] - 1, bottom - 1), theme.line)
    return (area[0], bottom, area[2], area[3])


def _words_in_a_row(screen: Screen, kind: str, stock: Stock, x: int, y: int, right: int, ink: Color) -> None:
    """Two to six words side by side, as many as there is room for."""
    rng = screen.scene.rng
    space = rng.randint(10, 24)
    underlined = ink if kind == "link" and rng.random() < 0.25 else None
    for _ in range(rng.randint(2, 6)):
        if right - x < NARROWEST:
            return
        text = screen.label(stock, min(110, right - x))
        if underlined:
            x = screen.link(x, y, text, screen.font, color=underlined) + space
            continue
        screen.canvas.text(x, y, text, screen.font, ink)
        end = x + screen.font.width(text)
        screen.add(kind, text, (x - AROUND_TEXT, y - 2, end + AROUND_TEXT, y + screen.font.height + 2))
        x = end + space


def _tabs(screen: Screen, area: Box) -> Box:
    """Two to four tabs: one is open, which a line, a frame or a filled pill shows."""
    rng, theme, canvas, style = screen.scene.rng, screen.theme, screen.canvas, screen.look.tabs
    top, height = area[1] + rng.randint(2, 8), screen.row + rng.randint(0, 4)
    left, right = area[0] + rng.randint(4, 12), area[2] - 6
    count = max(2, min(rng.randint(2, 5), (right - left) // (NARROWEST + 26)))
    step = (right - left) // count
    wide, chosen = rng.random() < 0.4, rng.randrange(count)
    if style != "pill":
        canvas.draw.line((area[0], top + height, area[2] - 1, top + height), theme.line)
    for i in range(count):
        text = screen.label(PLACES, step - 14)
        width = step if wide else screen.font.width(text) + 14
        box = (left, top, left + width, top + height)
        ink = theme.ink
        if style == "boxed":
            canvas.rectangle(box, theme.panel if i == chosen else theme.band, theme.line)
        elif i == chosen and style == "underline":
            canvas.rectangle((box[0], box[3] - 3, box[2], box[3]), theme.accent)
        elif i == chosen:
            canvas.rectangle(box, theme.accent, radius=min(screen.look.radius, height // 2))
            ink = theme.accent_ink
        canvas.text_middle(box, text, screen.font, ink)
        screen.add("tab", text, box, on=i == chosen)
        left += width
    return (area[0], top + height + 1, area[2], area[3])


def _rail(screen: Screen, area: Box, *, at_right: bool) -> Box:
    """Places in a column at one side."""
    rng, theme, canvas = screen.scene.rng, screen.theme, screen.canvas
    width = max(NARROWEST + 26, round((area[2] - area[0]) * rng.uniform(0.24, 0.38)))
    box = (area[2] - width, area[1], area[2], area[3]) if at_right else (area[0], area[1], area[0] + width, area[3])
    shade, ink = rng.choice(((theme.panel, theme.ink), (theme.band, theme.ink), (theme.bar, theme.bar_ink)))
    canvas.rectangle(box, shade)
    border = box[0] if at_right else box[2] - 1
    canvas.draw.line((border, box[1], border, box[3] - 1), theme.line)
    ink = ink if shade != theme.band else ink_on(shade)
    y, height, lines = box[1] + rng.randint(2, 14), screen.row + rng.randint(0, 8), rng.random() < 0.4
    count, chosen = rng.randint(2, 7), rng.randrange(-3, 4)
    side = rng.randint(1, 6)
    for i in range(count):
        if y + height > box[3] - 4:
            break
        text = screen.label(PLACES, width - 2 * side - 14)
        screen.item((box[0] + side, y, box[2] - side, y + height), text, chosen=i == chosen, ink=ink)
        y += height
        if lines:
            canvas.draw.line((box[0] + side, y, box[2] - side - 1, y), mix(shade, ink, 0.25))
            y += 1
    return (area[0], area[1], box[0], area[3]) if at_right else (box[2], area[1], area[2], area[3])


def _bottom(screen: Screen, area: Box) -> Box:
    """Three to five places side by side at the bottom, perhaps with pictures above the words."""
    rng, theme, canvas, font = screen.scene.rng, screen.theme, screen.canvas, screen.small
    pictured = rng.random() < 0.5
    height = font.height + rng.randint(6, 14) + (16 if pictured else 0)
    top, width = area[3] - height, area[2] - area[0]
    count = max(2, min(rng.randint(3, 5), width // (NARROWEST + 20)))
    step, chosen = width // count, rng.randrange(count)
    shade = rng.choice((theme.panel, theme.band, theme.bar))
    canvas.rectangle((area[0], top, area[2], area[3]), shade)
    canvas.draw.line((area[0], top, area[2] - 1, top), theme.line)
    for i in range(count):
        text = screen.label(PLACES, step - 12)
        left = area[0] + i * step
        ink = ink_on(shade)
        if i == chosen:
            canvas.rectangle((left + 4, top + 1, left + step - 4, top + 4), ink)
        if pictured:
            screen.decoration(left + step // 2 - 7, top + 6, 14, ink)
        canvas.text(left + (step - font.width(text)) // 2, area[3] - font.height - 3, text, font, ink)
        screen.add("tab", text, (left + 2, top + 1, left + step - 2, area[3]), on=i == chosen)
    return (area[0], area[1], area[2], top)


def _app_bar(screen: Screen, area: Box) -> Box:
    """A bar with a title and pictures to click: three lines or an arrow at the left, others at the right."""
    rng, theme = screen.scene.rng, screen.theme
    bottom = area[1] + max(ICON, screen.font.height) + rng.randint(6, 18)
    box = (area[0], area[1], area[2], bottom)
    fade(screen.canvas, box, theme.bar, theme.bar_end)
    middle, left, right = (area[1] + bottom) // 2, area[0] + 6, area[2] - 6
    name = rng.choice(("menu", "back", ""))
    if name and screen.icon(name, left, middle - ICON // 2, theme.bar_ink):
        left += ICON + 6
    for name in rng.sample(("search", "more", "add"), rng.randint(0, 2)):
        if screen.icon(name, right - ICON, middle - ICON // 2, theme.bar_ink):
            right -= ICON + 6
    text = screen.fitting(screen.phrase, screen.font, right - left)
    screen.title = screen.title or text
    x = left if rng.random() < 0.7 else left + (right - left - screen.font.width(text)) // 2
    screen.canvas.text(x, middle - screen.font.height // 2, text, screen.font, theme.bar_ink)
    return (area[0], bottom, area[2], area[3])


NAVIGATIONS: Mapping[str, Part] = {
    "none": _nowhere,
    "menu": _menu,
    "tabs": _tabs,
    "left rail": lambda screen, area: _rail(screen, area, at_right=False),
    "right rail": lambda screen, area: _rail(screen, area, at_right=True),
    "bottom": _bottom,
    "app bar": _app_bar,
}
