"""Family `screens`: desktop windows, phones and web sites made of `widgets`. What is asked stands in `actions`."""

from __future__ import annotations

from collections.abc import Callable

from qwen3vl.drawn import interface
from qwen3vl.drawn.actions import ask_about
from qwen3vl.drawn.canvas import Box
from qwen3vl.drawn.fonts import Style
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.widgets import Screen

CHINESE_SCREENS = 0.35


def screens(scene: Scene) -> None:
    rng = scene.rng
    chinese = rng.random() < CHINESE_SCREENS
    theme = scene.pick(interface.THEMES, interface.HELD_OUT_THEMES)
    size = rng.randint(15, 17) if chinese else rng.randint(12, 15)
    style: Style | None = "sans" if rng.random() < 0.85 else None
    font = scene.font(size, chinese=chinese, style=style, bold=False)
    bold = scene.font(size + rng.randint(0, 3), chinese=chinese, style=style, bold=True)
    layout = scene.pick((_window, _window, _phone, _web), (_dialog, _tablet, _web_side))
    tool = "mobile_use" if layout in (_phone, _tablet) else "computer_use"
    screen = Screen(scene, scene.canvas(theme.ground), theme, chinese, tool, font, bold)
    layout(screen)
    scene.keep(screen.canvas)
    ask_about(screen)


def _heading(screen: Screen, x: int, y: int, room: int) -> int:
    """A line of larger text that nobody can click. Returns the y below."""
    words = screen.scene.words
    text = words.zh(2, 6) if screen.chinese else words.phrase(1, 2)
    if screen.bold.width(text) <= room:
        screen.canvas.text(x, y, text, screen.bold, screen.theme.ink)
        return y + screen.bold.height + 4
    return y


def _bar(screen: Screen, box: Box) -> None:
    """A title bar with its text."""
    words, theme = screen.scene.words, screen.theme
    screen.canvas.rectangle(box, theme.bar)
    screen.title = words.zh(2, 5) if screen.chinese else words.phrase(1, 2)
    while screen.bold.width(screen.title) > box[2] - box[0] - 90:
        screen.title = words.zh(2, 2) if screen.chinese else words.short(9).capitalize()
    left = box[0] + (62 if theme.round_close else 8)
    screen.canvas.text(left, (box[1] + box[3] - screen.bold.height) // 2, screen.title, screen.bold, theme.bar_ink)


def _body(screen: Screen, x: int, y: int, right: int, bottom: int) -> None:
    """Headings, fields, checkboxes and at last a row of buttons, as many as there is room for."""
    rng, last = screen.scene.rng, bottom - screen.row - 8
    y = _heading(screen, x, y, right - x) if rng.random() < 0.4 else y
    beside = min(110, (right - x) // 2) if rng.random() < 0.5 else 0
    focus = rng.randrange(4)
    pieces = [rng.choice(("field", "field", "check")) for _ in range(7)]
    for i, piece in enumerate(pieces):
        needed = screen.row + (screen.font.height + 2 if piece == "field" and not beside else 0)
        if y + needed > last - 2:
            break
        if piece == "field":
            y = screen.field(x, y, right, label_left=beside, focus=i == focus) + rng.randint(4, 10)
        else:
            y = screen.check(x, y) + rng.randint(1, 8)
    if y <= last:
        left = x
        for i in range(rng.randint(1, 3)):
            if right - left < 70:
                break
            left = screen.button(left, last, main=i == 0, width=min(right - left, rng.choice((70, 84, 96)))).box[2] + 8


def _window(screen: Screen) -> None:
    """A desktop window on its ground: title, perhaps menus or tabs, perhaps a list at the left."""
    rng, canvas, theme = screen.scene.rng, screen.canvas, screen.theme
    x, y = rng.randint(0, 20), rng.randint(0, 16)
    box = (x, y, canvas.width - rng.randint(0, 20), canvas.height - rng.randint(0, 16))
    canvas.rectangle(box, theme.panel, theme.faint)
    bar = (x, y, box[2], y + screen.bold.height + 8)
    _bar(screen, bar)
    screen.close_button(bar)
    y = bar[3] + 2
    if rng.random() < 0.6:
        kind, stock = rng.choice((("menu", interface.MENUS), ("tab", interface.PLACES)))
        screen.links(kind, x + 10, y, box[2] - 6, theme.ink, stock, rng.randint(2, 5))
        y += screen.row + 4
    left = x + 10
    if box[2] - x > 260 and rng.random() < 0.5:
        side = x + rng.randint(96, 124)
        screen.items(x + 1, y, side, box[3] - 4, rng.randint(2, 6))
        canvas.draw.line((side, y, side, box[3] - 2), theme.faint)
        left = side + 10
    _body(screen, left, y + 4, box[2] - 10, box[3])


def _dialog(screen: Screen) -> None:
    """Held-out layout: a dialog with the list at the right and buttons above it."""
    rng, canvas, theme = screen.scene.rng, screen.canvas, screen.theme
    box = (
        rng.randint(2, 12),
        rng.randint(2, 12),
        canvas.width - rng.randint(2, 12),
        canvas.height - rng.randint(2, 12),
    )
    canvas.rectangle(box, theme.panel, theme.accent, width=2)
    bar = (box[0] + 2, box[1] + 2, box[2] - 2, box[1] + screen.bold.height + 12)
    _bar(screen, bar)
    screen.close_button(bar)
    right = box[2] - 10
    if box[2] - box[0] > 260:
        right = box[2] - rng.randint(100, 126)
        top = bar[3] + 8
        screen.button(right + 6, top, main=True, width=box[2] - right - 14)
        screen.items(right + 6, top + screen.row + 4, box[2] - 8, box[3] - 6, rng.randint(2, 5))
        right -= 6
    _body(screen, box[0] + 12, bar[3] + 6, right, box[3] - 2)


def _phone(screen: Screen) -> None:
    """A phone: clock, app bar, a list with switches or a form, and places at the bottom."""
    rng, canvas, theme = screen.scene.rng, screen.canvas, screen.theme
    canvas.rectangle((0, 0, canvas.width, canvas.height), theme.panel)
    small = screen.font
    canvas.text(8, 2, screen.scene.words.clock(), small, theme.ink)
    battery = (canvas.width - 30, 6, canvas.width - 8, 16)
    canvas.rectangle(battery, None, theme.ink)
    canvas.rectangle((battery[0] + 2, 8, battery[0] + rng.randint(5, 20), 14), theme.ink)
    top = small.height + 4
    _bar(screen, (0, top, canvas.width, top + screen.bold.height + 12))
    _phone_body(screen, top + screen.bold.height + 18, canvas.height - screen.row - 6)
    _bottom_places(screen, canvas.height - screen.row - 2)


def _tablet(screen: Screen) -> None:
    """Held-out layout: no clock, places under the bar, the bar at the bottom."""
    rng, canvas, theme = screen.scene.rng, screen.canvas, screen.theme
    canvas.rectangle((0, 0, canvas.width, canvas.height), theme.panel)
    height = screen.bold.height + 12
    _bar(screen, (0, canvas.height - height, canvas.width, canvas.height))
    _bottom_places(screen, rng.randint(2, 8))
    _phone_body(screen, screen.row + 14, canvas.height - height - 4)


def _phone_body(screen: Screen, y: int, bottom: int) -> None:
    rng, canvas = screen.scene.rng, screen.canvas
    if rng.random() < 0.4:
        _body(screen, 12, y, canvas.width - 12, bottom)
        return
    while y + screen.row + 6 < bottom:
        if rng.random() < 0.5:
            y = screen.check(12, y, canvas.width - 12) + rng.randint(2, 8)
        else:
            y = screen.items(6, y, canvas.width - 6, bottom, rng.randint(1, 2)) + rng.randint(0, 6)
        if len(screen.widgets) > 9:
            return


def _bottom_places(screen: Screen, y: int) -> None:
    canvas, count = screen.canvas, 3 if screen.canvas.width < 330 else 4
    step = canvas.width // count
    canvas.draw.line((0, y, canvas.width, y), screen.theme.faint)
    for i in range(count):
        text = screen.label(interface.PLACES, step - 12)
        box = (i * step + 2, y + 1, (i + 1) * step - 2, y + screen.row)
        canvas.text_middle(box, text, screen.font, screen.theme.accent if i == 0 else screen.theme.ink)
        screen.add("tab", text, box)


def _browser(screen: Screen) -> int:
    """Address bar of a browser, most of the time. Returns the y below."""
    words, canvas = screen.scene.words, screen.canvas
    canvas.rectangle((0, 0, canvas.width, canvas.height), screen.theme.panel)
    if screen.scene.rng.random() < 0.35:
        return 0
    height = screen.row + 8
    canvas.rectangle((0, 0, canvas.width, height), (222, 225, 230))
    canvas.rectangle((30, 4, canvas.width - 30, height - 4), interface.WHITE, radius=9)
    for x, d in ((10, 1), (22, -1)):
        canvas.draw.line(
            ((x + 3 * d, height // 2 - 4), (x - 2 * d, height // 2), (x + 3 * d, height // 2 + 4)), (90, 90, 90)
        )
    address = f"{words.word()}.{screen.scene.rng.choice(('com', 'org', 'net', 'io'))}"
    if screen.font.width(address) < canvas.width - 90:
        canvas.text(40, 8, address, screen.font, (50, 50, 50))
    return height


def _web(screen: Screen) -> None:
    """A site: browser bar, navigation, a headline, cards or a form."""
    rng, canvas, theme = screen.scene.rng, screen.canvas, screen.theme
    y = _browser(screen)
    canvas.rectangle((0, y, canvas.width, y + screen.row + 4), theme.bar)
    screen.links("link", 10, y + 2, canvas.width - 6, theme.bar_ink, interface.PLACES, rng.randint(2, 5))
    y = _heading(screen, rng.randint(10, 24), y + screen.row + 12, canvas.width - 36)
    draw: Callable[[Screen, int], None] = rng.choice((_cards, _site_form))
    draw(screen, y + 4)


def _site_form(screen: Screen, y: int) -> None:
    _body(screen, 14, y, min(screen.canvas.width - 14, 300), screen.canvas.height - 4)


def _cards(screen: Screen, y: int) -> None:
    """Cards with a heading and a button, two or three a row."""
    rng, canvas, theme = screen.scene.rng, screen.canvas, screen.theme
    columns = 2 if canvas.width < 340 else 3
    width, height = (canvas.width - 12) // columns - 8, screen.row + screen.bold.height + 22
    while y + height < canvas.height - 2 and len(screen.widgets) < 12:
        for column in range(columns):
            x = 10 + column * (width + 8)
            canvas.rectangle((x, y, x + width, y + height), None, theme.faint, radius=theme.radius)
            _heading(screen, x + 7, y + 5, width - 14)
            screen.button(x + 7, y + height - screen.row - 6, main=rng.random() < 0.5, width=width - 14)
        y += height + rng.randint(6, 12)


def _web_side(screen: Screen) -> None:
    """Held-out layout: navigation in a column at the right, the form left of it."""
    rng, canvas, theme = screen.scene.rng, screen.canvas, screen.theme
    y, right = _browser(screen), canvas.width - rng.randint(92, 112)
    canvas.draw.line((right, y, right, canvas.height), theme.faint)
    screen.items(right + 2, y + 6, canvas.width - 2, canvas.height - 8, rng.randint(2, 5))
    top = _heading(screen, 12, y + 8, right - 24)
    _body(screen, 12, top + 4, right - 10, canvas.height - 4)
