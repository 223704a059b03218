"""How a receipt is printed: columns of the items, rules, emphasis of the total, paper. Knows nothing of arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qwen3vl.drawn.canvas import Canvas, Color
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.paper import lightness, tint
from qwen3vl.drawn.scene import Scene

HEADINGS = (("Item", "商品"), ("Qty", "数量"), ("Price", "单价"), ("Amount", "金额"))
COLUMN_GAP = 9


@dataclass(frozen=True)
class Printed:
    """The texts of a receipt. An item is its name, quantity, price of one, amount."""

    shop: str
    head: Mapping[str, str]
    items: Sequence[tuple[str, int, str, str]]
    sums: Sequence[tuple[str, str]]
    total: tuple[str, str]
    tail: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Look:
    items: str
    head: str
    sums: str
    tail: str
    total: str
    rules: str
    paper: str


def new_look(scene: Scene) -> Look:
    return Look(
        **scene.combine(
            "receipt",
            items=("name amount", "name amount", "quantity first", "quantity behind", "columns", "two lines"),
            head=("none", "date", "date", "date time", "code date", "code", "code date time"),
            sums=("none", "tax", "sub", "sub tax", "sub discount", "discount", "sub discount tax"),
            tail=("none", "none", "tax", "cash", "thanks"),
            total=("plain", "bold", "large", "boxed", "double"),
            rules=("dash", "line", "dots", "none"),
            paper=("strip", "full", "plain"),
        )
    )


def print_lines(
    scene: Scene, canvas: Canvas, printed: Printed, font: Font, bold: Font, look: Look, chinese: bool
) -> bool:
    """Draws the receipt; False, and nothing of use on the canvas, if it does not fit."""
    rng, space = scene.rng, scene.rng.randint(0, 3)
    rows = _rows(printed, look, chinese)
    width = _width(rows, printed, font, bold)
    spare = canvas.height - 14 - _height(rows, printed, font, bold, space)
    if width > canvas.width - 20 or spare < 0:
        return False
    width = rng.randint(width, max(width, min(canvas.width - 20, rng.randint(180, 420))))
    left = 10 + rng.choice((0, (canvas.width - 20 - width) // 2, canvas.width - 20 - width))
    ink = _paper(scene, canvas, left, width, look.paper)
    printer = _Printer(canvas, left, left + width, 5 + rng.choice((0, 3, rng.randint(0, spare))), font, ink, space)
    printer.middle(printed.shop, bold if rng.random() < 0.6 else font, rng.random() < 0.75)
    for label, value in printed.head.items():
        printer.row(label, value, font)
    printer.rule(look.rules)
    widths = _column_widths(rows, font)
    for row in rows:
        printer.columns(row, widths)
    printer.rule(look.rules)
    for label, value in printed.sums:
        printer.row(label, value, font)
    _total(printer, printed.total, font if look.total in ("plain", "double") else bold, look.total)
    for label, value in printed.tail:
        printer.row(label, value, font)
    if look.tail == "thanks" and printer.y + 2 * font.height < canvas.height:
        printer.y += 4
        printer.middle(scene.words.zh(2, 6) if chinese else scene.words.phrase(1, 2), font, True)
    return True


def _total(printer: _Printer, total: tuple[str, str], font: Font, style: str) -> None:
    if style in ("double", "boxed"):
        printer.y += 3
    top = printer.y
    if style == "double":
        for y in (top - 4, top - 2):
            printer.canvas.draw.line((printer.left, y, printer.right - 1, y), printer.ink)
    printer.row(*total, font)
    if style == "boxed":
        printer.canvas.rectangle((printer.left - 4, top - 2, printer.right + 4, printer.y + 2), None, printer.ink)
        printer.y += 4


def _rows(printed: Printed, look: Look, chinese: bool) -> list[list[str]]:
    """The lines of the items, each as texts of columns, the first at the left and all others at the right."""
    heads = [pair[chinese] for pair in HEADINGS]
    rows: list[list[str]] = []
    if look.items == "columns":
        rows.append(heads)
    elif look.items == "quantity behind":
        rows.append([heads[0], heads[1], heads[3]])
    for name, quantity, price, amount in printed.items:
        if look.items == "columns":
            rows.append([name, str(quantity), price, amount])
        elif look.items == "quantity behind":
            rows.append([name, str(quantity), amount])
        elif look.items == "quantity first":
            rows.append([f"{quantity} x {name}", amount])
        elif look.items == "two lines" and quantity > 1:
            rows += [[name, ""], [f"  {quantity} x {price}", amount]]
        else:
            rows.append([name, amount])
    return rows


def _column_widths(rows: Sequence[Sequence[str]], font: Font) -> list[int]:
    return [max(map(font.width, column)) for column in zip(*rows, strict=True)]


def _width(rows: list[list[str]], printed: Printed, font: Font, bold: Font) -> int:
    """The least width that holds everything."""
    needed = _column_widths(rows, font)
    lines = [*printed.head.items(), *printed.sums, *printed.tail]
    return max(
        sum(needed) + COLUMN_GAP * (len(needed) - 1),
        bold.width(printed.shop),
        bold.width(printed.total[0]) + bold.width(printed.total[1]) + 2 * COLUMN_GAP,
        *(font.width(label) + font.width(value) + COLUMN_GAP for label, value in lines),
    )


def _height(rows: list[list[str]], printed: Printed, font: Font, bold: Font, space: int) -> int:
    lines = len(rows) + len(printed.head) + len(printed.sums) + len(printed.tail)
    return lines * (font.height + space) + 2 * (bold.height + space) + 24


def _paper(scene: Scene, canvas: Canvas, left: int, width: int, paper: str) -> Color:
    """Draws the paper; returns the colour of the print."""
    rng = scene.rng
    if paper != "plain":
        sides = (left - 8, left + width + 8) if paper == "strip" else (3, canvas.width - 3)
        canvas.background = tint(rng, (0.0, 0.06), (0.9, 1.0))
        canvas.rectangle((sides[0], 2, sides[1], canvas.height - 2), canvas.background)
    elif lightness(canvas.background) < 190:
        canvas.restart(tint(rng, (0.0, 0.1), (0.9, 1.0)))
    return tint(rng, (0.0, 0.5), (0.05, 0.3))


@dataclass
class _Printer:
    """Prints lines one below the other, between x `left` and `right`."""

    canvas: Canvas
    left: int
    right: int
    y: int
    font: Font
    ink: Color
    space: int

    def middle(self, text: str, font: Font, centred: bool) -> None:
        x = (self.left + self.right - font.width(text)) // 2 if centred else self.left
        self.canvas.text(x, self.y, text, font, self.ink)
        self.y += font.height + self.space

    def row(self, label: str, value: str, font: Font) -> None:
        self.canvas.text(self.left, self.y, label, font, self.ink)
        self.canvas.text(self.right - font.width(value), self.y, value, font, self.ink)
        self.y += font.height + self.space

    def columns(self, row: Sequence[str], widths: Sequence[int]) -> None:
        """Texts of a line, the first at the left, each other one ending where its column does."""
        edge = self.right - sum(widths[1:]) - COLUMN_GAP * (len(widths) - 2)
        self.canvas.text(self.left, self.y, row[0], self.font, self.ink)
        for text, width in zip(row[1:], widths[1:], strict=True):
            edge += width
            self.canvas.text(edge - self.font.width(text), self.y, text, self.font, self.ink)
            edge += COLUMN_GAP
        self.y += self.font.height + self.space

    def rule(self, style: str) -> None:
        """A line across, or a little space in its place."""
        self.y += 3
        if style != "none":
            step, dash = {"line": (self.right, self.right), "dash": (7, 4), "dots": (4, 1)}[style]
            for x in range(self.left, self.right, step):
                self.canvas.draw.line((x, self.y, min(x + dash, self.right) - 1, self.y), self.ink)
        self.y += 3
