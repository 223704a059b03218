"""The widgets of a drawn screen: buttons, fields, checkboxes, links, lists. Each notes its exact box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from qwen3vl.drawn import interface
from qwen3vl.drawn.canvas import Box, Canvas, Color
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.interface import Theme
from qwen3vl.drawn.sample import Language
from qwen3vl.drawn.scene import Scene

CLOSE = {"en": "close", "zh": "关闭按钮"}  # what the cross that closes a window is called
LONGEST_LABEL = 18


@dataclass(frozen=True)
class Widget:
    kind: str  # button, field, checkbox, tab, item, link, close
    text: str
    box: Box
    on: bool = False  # a checkbox that is ticked, a field that has the focus
    value: str = ""  # what stands in a field


@dataclass
class Screen:
    """A screen while it is drawn: the canvas, the look, and the widgets so far."""

    scene: Scene
    canvas: Canvas
    theme: Theme
    chinese: bool
    tool: str  # computer_use or mobile_use
    font: Font
    bold: Font
    title: str = ""
    widgets: list[Widget] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    @property
    def row(self) -> int:
        """Height of one line with its padding."""
        return self.font.height + 8

    @property
    def language(self) -> Language:
        """That of the text on the screen."""
        return "zh" if self.chinese else "en"

    def label(self, stock: Sequence[tuple[str, str]], room: int) -> str:
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
        raise ValueError(f"no label fits {room} pixels")

    def add(self, kind: str, text: str, box: Box, *, on: bool = False, value: str = "") -> Widget:
        widget = Widget(kind, text, box, on, value)
        self.widgets.append(widget)
        self.canvas.mark(box, f"widget:{kind}")
        return widget

    # --- pieces ---

    def button(self, x: int, y: int, *, main: bool = False, width: int = 0) -> Widget:
        text = self.label(interface.BUTTONS, (width or self.canvas.width - x - 24) - 14)
        box = (x, y, x + (width or self.font.width(text) + 18), y + self.row)
        theme = self.theme
        if main:
            self.canvas.rectangle(box, theme.accent, radius=theme.radius)
        else:
            self.canvas.rectangle(box, None, theme.faint, radius=theme.radius)
        self.canvas.text_middle(box, text, self.font, theme.accent_ink if main else theme.ink)
        return self.add("button", text, box)

    def field(self, x: int, y: int, right: int, *, label_left: int = 0, focus: bool = False) -> int:
        """A labelled field; the label stands above, or left in `label_left` pixels. Returns the y below it."""
        rng, words, theme = self.scene.rng, self.scene.words, self.theme
        text = self.label(interface.FIELDS, (label_left or right - x) - 6)
        if label_left:
            self.canvas.text(x, y + 4, text, self.font, theme.ink)
            x += label_left
        else:
            self.canvas.text(x, y, text, self.font, theme.ink)
            y += self.font.height + 2
        box = (x, y, right, y + self.row)
        self.canvas.rectangle(
            box, None, theme.accent if focus else theme.faint, width=2 if focus else 1, radius=min(4, theme.radius)
        )
        value = ""
        if rng.random() < 0.5:
            value = words.zh(2, 4) if self.chinese else rng.choice((words.cased, words.code, words.name))()
            value = value if self.font.width(value) <= right - x - 14 else ""
            if value:
                self.canvas.text(x + 6, y + 4, value, self.font, theme.ink)
        if focus:
            caret = x + 7 + self.font.width(value)
            self.canvas.draw.line((caret, y + 4, caret, y + self.row - 5), theme.ink)
        self.add("field", text, box, on=focus, value=value)
        return y + self.row

    def check(self, x: int, y: int, right: int = 0) -> int:
        """A checkbox with its text, or a switch at `right`; the widget is both together. Returns the y below."""
        theme, on = self.theme, self.scene.rng.random() < 0.5
        side = self.font.size + 1
        room = (right - x - 40) if right else self.canvas.width - x - side - 30
        text = self.label(interface.CHECKS, room)
        if right:
            self.canvas.text(x, y + 4, text, self.font, theme.ink)
            switch = (right - 28, y + 5, right, y + 19)
            self.canvas.rectangle(switch, theme.accent if on else theme.faint, radius=7)
            knob = right - 13 if on else right - 27
            self.canvas.draw.ellipse((knob, y + 6, knob + 11, y + 17), interface.WHITE)
            self.add("checkbox", text, (x, y, right, y + self.row), on=on)
        else:
            top = y + (self.row - side) // 2
            self.canvas.rectangle((x, top, x + side, top + side), theme.accent if on else None, theme.ink)
            if on:
                points = [(x + 3, top + side // 2), (x + side // 2 - 1, top + side - 4), (x + side - 3, top + 3)]
                self.canvas.draw.line(points, theme.accent_ink, 2)
            self.canvas.text(x + side + 7, y + 4, text, self.font, theme.ink)
            self.add("checkbox", text, (x, y, x + side + 8 + self.font.width(text), y + self.row), on=on)
        return y + self.row

    def links(
        self, kind: str, x: int, y: int, right: int, color: Color, stock: Sequence[tuple[str, str]], count: int
    ) -> None:
        """Up to `count` words side by side, as tabs, menus or links; an open tab is underlined."""
        chosen = self.scene.rng.randrange(count)
        for i in range(count):
            if right - x < 60:
                return
            text = self.label(stock, 90)
            width = self.font.width(text)
            if x + width + 8 > right:
                return
            self.canvas.text(x, y + 4, text, self.font, color)
            if kind == "tab" and i == chosen:
                self.canvas.draw.line((x, y + self.row - 1, x + width, y + self.row - 1), self.theme.accent, 2)
            self.add(kind, text, (x - 3, y, x + width + 3, y + self.row))
            x += width + self.scene.rng.randint(10, 18)

    def items(self, x: int, y: int, right: int, bottom: int, count: int) -> int:
        """Rows of a list with thin lines between. Returns the y below."""
        height = self.row + self.scene.rng.randint(0, 6)
        for _ in range(count):
            if y + height > bottom:
                break
            text = self.label(interface.PLACES, right - x - 20)
            self.canvas.text(x + 6, y + (height - self.font.height) // 2, text, self.font, self.theme.ink)
            self.canvas.draw.line((x, y + height - 1, right - 1, y + height - 1), self.theme.faint)
            self.add("item", text, (x, y, right, y + height))
            y += height
        return y

    def close_button(self, box: Box) -> None:
        """The window's cross at the right of its bar, or the red dot at the left."""
        x, y = box[2] - 20, (box[1] + box[3]) // 2 - 7
        if self.theme.round_close:
            x = box[0] + 8
            for i, color in enumerate(((255, 95, 87), (254, 188, 46), (40, 200, 64))):
                self.canvas.draw.ellipse((x + i * 16, y + 1, x + i * 16 + 11, y + 12), color)
            self.add("close", CLOSE[self.language], (x, y + 1, x + 12, y + 13))
            return
        ink = self.theme.bar_ink
        self.canvas.draw.line((x + 2, y + 2, x + 11, y + 11), ink, 2)
        self.canvas.draw.line((x + 2, y + 11, x + 11, y + 2), ink, 2)
        self.add("close", CLOSE[self.language], (x, y, x + 14, y + 14))
