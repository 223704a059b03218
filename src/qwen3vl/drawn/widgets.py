"""The controls of a drawn screen, each with the exact box that can be clicked.

The box is what the eye takes for the control: a button's or a field's rectangle, a row from side to side, and for
bare text (links, tabs, menus, a box to tick with its words) its extent with a few pixels around. No two controls of a
screen have the same text, unless each says in which row or card it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from qwen3vl.drawn import interface
from qwen3vl.drawn.canvas import Box, Canvas, Color
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.glyphs import DECORATIONS, draw_glyph
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.themes import WHITE, Look, Theme, fade, mix

LONGEST_LABEL = 18
MOST_WIDGETS = 16
NARROWEST = 44  # pixels that the shortest labels need
AROUND_TEXT = 3
ICON = 22  # the side of the square in which a picture alone can be clicked

Stock = Sequence[tuple[str, str]]


class NoRoom(Exception):
    """A control is narrower than any word: this picture is too small for what was planned."""


@dataclass(frozen=True)
class Widget:
    kind: str  # button, field, dropdown, checkbox, switch, radio, tab, menu, item, link, tile, icon
    text: str
    box: Box
    on: bool = False  # ticked, chosen, or a field that has the focus
    value: str = ""  # what stands in a field
    within: tuple[str, str] | None = None  # ("row" or "card", its name), where the text alone does not tell it


@dataclass
class Screen:
    """A screen while it is drawn: the canvas, the look, and the widgets so far."""

    scene: Scene
    canvas: Canvas
    theme: Theme
    look: Look
    chinese: bool
    tool: str  # computer_use or mobile_use
    font: Font
    small: Font
    bold: Font
    title: str = ""
    widgets: list[Widget] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    @property
    def row(self) -> int:
        """Height of a control of one line."""
        return self.font.height + 2 * self.look.pad

    @property
    def full(self) -> bool:
        """Whether it has as many controls as it should."""
        return len(self.widgets) >= MOST_WIDGETS

    # --- text ---

    def label(self, stock: Stock, room: int) -> str:
        """Words not yet on this screen that fit `room` pixels, from `stock` or, as often, of any kind."""
        scene, words = self.scene, self.scene.words
        for attempt in range(40):
            if scene.rng.random() < 0.5 and attempt < 20:
                text = scene.rng.choice(stock)[self.chinese]
            elif self.chinese:
                text = words.zh(2, 5 if attempt < 10 else 2)
            else:
                text = words.phrase(1, 2) if attempt < 10 else words.short(4 if attempt > 20 else 9).capitalize()
            if text.lower() not in self.used and len(text) <= LONGEST_LABEL and self.font.width(text) <= room:
                self.used.add(text.lower())
                return text
        raise NoRoom(f"no label fits {room} pixels")

    def fitting(self, make: Callable[[], str], font: Font, room: int) -> str:
        """A text for reading only that fits; empty if a few attempts find none."""
        for _ in range(5):
            text = make()
            if font.width(text) <= room and text.lower() not in self.used:
                self.used.add(text.lower())
                return text
        return ""

    def phrase(self) -> str:
        words = self.scene.words
        return words.zh(2, 6) if self.chinese else words.phrase(1, 3)

    def heading(self, x: int, y: int, room: int, color: Color | None = None, *, centred: bool = False) -> int:
        """A line of heavier text; the first on a screen is its title. Returns the y below, or `y` if none fits."""
        text = self.fitting(self.phrase, self.bold, room)
        if not text:
            return y
        self.title = self.title or text
        left = x + (room - self.bold.width(text)) // 2 if centred else x
        self.canvas.text(left, y, text, self.bold, color or self.theme.ink)
        return y + self.bold.height + self.look.gap

    def note(self, x: int, y: int, room: int) -> int:
        """A line of lesser text. Returns the y below."""
        if text := self.fitting(self.phrase, self.small, room):
            self.canvas.text(x, y, text, self.small, self.theme.muted)
        return y + self.small.height + 2

    # --- what is clicked ---

    def add(
        self,
        kind: str,
        text: str,
        box: Box,
        *,
        on: bool = False,
        value: str = "",
        within: tuple[str, str] | None = None,
    ) -> None:
        self.widgets.append(Widget(kind, text, box, on, value, within))
        self.canvas.mark(box, f"widget:{kind}")

    def icon(self, name: str, x: int, y: int, color: Color) -> bool:
        """A picture that can be clicked, at the left top of its square; False where the screen has its like."""
        if not self.claim(name):
            return False
        side = max(11, min(15, self.font.size - 1))
        inset = (ICON - side) // 2
        draw_glyph(self.canvas.draw, name, x + inset, y + inset, side, color)
        self.add_icon(name, (x, y, x + ICON, y + ICON))
        return True

    def claim(self, name: str) -> bool:
        """Whether no control so far is called as the icon `name` is; from now on one is."""
        names = interface.ICONS[name]
        free = not self.used & set(names)
        self.used.update(names)
        return free

    def add_icon(self, name: str, box: Box) -> None:
        self.add("icon", self.scene.say(*interface.ICONS[name]), box)

    def button(self, box: Box, text: str, *, main: bool = False, within: tuple[str, str] | None = None) -> None:
        theme, look, style = self.theme, self.look, self.look.buttons
        ink = theme.ink
        radius = min(look.radius, (box[3] - box[1]) // 2)
        if style == "raised":
            fade(self.canvas, box, mix(theme.panel, WHITE, 0.4), mix(theme.panel, theme.ink, 0.12))
            self.canvas.rectangle(box, None, theme.accent if main else mix(theme.line, theme.ink, 0.3), 1 + main)
        elif main and style != "text":
            self.canvas.rectangle(box, theme.accent, radius=radius)
            ink = theme.accent_ink
        elif style == "text":
            self.canvas.rectangle(box, mix(theme.panel, theme.accent, 0.2 if main else 0.1), radius=radius)
        elif style == "outlined":
            self.canvas.rectangle(box, None, theme.line, radius=radius)
        else:
            fill = theme.band if style == "soft" else mix(theme.panel, theme.ink, 0.18)
            self.canvas.rectangle(box, fill, radius=radius)
        self._text_with_glyph(box, text, ink)
        self.add("button", text, box, within=within)

    def button_width(self, text: str, padding: int) -> int:
        return self.font.width(text) + 2 * padding

    def _text_with_glyph(self, box: Box, text: str, ink: Color) -> None:
        """The text in the middle, a small picture before it if this look has them and there is room."""
        width, side = self.font.width(text), self.font.size - 3
        if box[2] - box[0] - width < side + 12 or self.scene.rng.random() >= self.look.icons:
            self.canvas.text_middle(box, text, self.font, ink)
            return
        left, middle = (box[0] + box[2] - width - side - 5) // 2, (box[1] + box[3]) // 2
        self.decoration(left, middle - side // 2, side, ink)
        self.canvas.text(left + side + 5, middle - self.font.height // 2, text, self.font, ink)

    def decoration(self, x: int, y: int, side: int, color: Color) -> None:
        draw_glyph(self.canvas.draw, self.scene.rng.choice(DECORATIONS), x, y, side, color, 2 if side > 12 else 1)

    def tick(self, kind: str, x: int, y: int, text: str, *, on: bool) -> int:
        """A box to tick (checkbox) or a ring to choose (radio), with its words; returns the x right of it."""
        theme, draw = self.theme, self.canvas.draw
        side = self.font.size + 1
        top = y + (self.row - side) // 2
        square = (x, top, x + side - 1, top + side - 1)
        if kind == "radio":
            draw.ellipse(square, theme.inset, theme.accent if on else theme.ink, 1)
            if on:
                draw.ellipse((x + 4, top + 4, x + side - 5, top + side - 5), theme.accent)
        else:
            draw.rounded_rectangle(square, min(3, self.look.radius), theme.accent if on else theme.inset, theme.ink)
            if on:
                draw_glyph(draw, "tick", x + 3, top + 3, side - 6, theme.accent_ink)
        self.canvas.text(x + side + 6, y + self.look.pad, text, self.font, theme.ink)
        right = x + side + 6 + self.font.width(text) + AROUND_TEXT
        self.add(kind, text, (x - AROUND_TEXT, y, right, y + self.row), on=on)
        return right

    def switch(self, x: int, y: int, right: int, height: int, text: str, *, on: bool) -> None:
        """Words at the left and a switch at the right of one row; the row is what is clicked."""
        theme = self.theme
        top = y + (height - 14) // 2
        self.canvas.text(x, y + (height - self.font.height) // 2, text, self.font, theme.ink)
        off = mix(theme.panel, theme.ink, 0.35)
        self.canvas.rectangle((right - 27, top, right, top + 14), theme.accent if on else off, radius=7)
        knob = right - 13 if on else right - 26
        self.canvas.draw.ellipse((knob, top + 1, knob + 11, top + 12), WHITE)
        self.add("switch", text, (x - AROUND_TEXT, y, right + AROUND_TEXT, y + height), on=on)

    def link(
        self, x: int, y: int, text: str, font: Font, kind: str = "link", color: Color | None = None,
        within: tuple[str, str] | None = None,
    ) -> int:  # fmt: skip
        """Bare text that can be clicked; links in a text's colour are underlined. Returns the x right of it."""
        right = x + font.width(text)
        self.canvas.text(x, y, text, font, color or self.theme.link)
        if kind == "link" and (self.look.underlined or color is not None):
            under = y + font.ascent + 2
            self.canvas.draw.line((x, under, right, under), color or self.theme.link)
        box = (x - AROUND_TEXT, y - 2, right + AROUND_TEXT, y + font.height + 2)
        self.add(kind, text, box, within=within)
        return right

    def item(
        self, box: Box, text: str, *, chosen: bool = False, ink: Color | None = None, second: str = ""
    ) -> None:  # fmt: skip
        """A row with its text, and a second line if it has one; the caller has framed it. A chosen one is lit."""
        color, lesser = ink or self.theme.ink, self.theme.muted
        if chosen:
            self.canvas.rectangle(box, self.theme.accent, radius=min(self.look.radius, 6))
            color = lesser = self.theme.accent_ink
        x, side = box[0] + 7, self.font.size - 2
        middle = (box[1] + box[3]) // 2
        if self.look.icons and box[2] - box[0] > self.font.width(text) + side + 20:
            self.decoration(x, middle - side // 2, side, color)
            x += side + 6
        y = middle - (self.font.height + (self.small.height if second else 0)) // 2
        self.canvas.text(x, y, text, self.font, color)
        self.canvas.text(x, y + self.font.height, second, self.small, lesser)
        self.add("item", text, box, on=chosen)
