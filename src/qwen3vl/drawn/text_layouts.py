"""How the lines of a text are arranged: pages, lists, letters, signs, cards, columns, posters, bubbles."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from qwen3vl.drawn.canvas import Box, Canvas, Color
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.paper import SMALLEST, SMALLEST_CHINESE, accent, blend, text_on
from qwen3vl.drawn.scene import Scene

MOST_LINES, MOST_CHARACTERS = 10, 330
OTHER_SCRIPT = 0.08  # lines in English among Chinese ones

_SIGNS = re.compile(r".[，。！？]?")  # a sign and what may not begin a line


@dataclass(frozen=True)
class Line:
    """The box is that of its ink, the size that of its font."""

    text: str
    box: Box
    size: int


@dataclass(frozen=True)
class Written:
    """Lines in reading order. With `rows` each stands below the one before: nobody would doubt its number."""

    lines: list[Line]
    rows: bool = True


@dataclass
class Pen:
    """Writes lines in one style and notes them."""

    scene: Scene
    canvas: Canvas
    area: Box
    ink: Color
    chinese: bool
    align: str
    spacing: str
    mark: str
    lines: list[Line] = field(default_factory=list)

    def font(self, low: int, high: int, bold: bool | None = None) -> Font:
        size = max(self.scene.rng.randint(low, high), SMALLEST_CHINESE if self.chinese else SMALLEST)
        return self.scene.font(size, chinese=self.chinese, bold=bold)

    def gap(self, font: Font) -> int:
        """Pixels between two lines."""
        low, high = {"tight": (0, 2), "normal": (3, 7), "wide": (8, 18)}[self.spacing]
        return self.scene.rng.randint(low, high) if font.size < 26 else self.scene.rng.randint(0, high)

    @property
    def full(self) -> bool:
        return len(self.lines) == MOST_LINES or sum(len(line.text) for line in self.lines) > MOST_CHARACTERS

    def put(self, x: int, y: int, text: str, font: Font, color: Color | None = None) -> None:
        self.canvas.text(x, y, text, font, color or self.ink)
        self.lines.append(Line(text, font.ink(x, y, text), font.size))

    def left(self, text: str, font: Font, box: Box) -> int:
        """Where a line in `box` starts."""
        free = box[2] - box[0] - font.width(text)
        if self.align == "indented":
            return box[0] + self.scene.rng.choice((0, 0, min(20, free), min(40, free)))
        return box[0] + {"left": 0, "centre": free // 2, "right": free}[self.align]

    def margins(self, most: int = 30) -> Box:
        """The area less random margins."""
        rng, (left, top, right, bottom) = self.scene.rng, self.area
        across = min(most, (right - left) // 8)
        return left + rng.randint(4, 4 + across), top + rng.randint(2, 4 + most), right - rng.randint(5, 12), bottom - 2

    def written(self, font: Font, width: int) -> str:
        """A line that fits `width` pixels: words, codes, or Chinese with now and then a number."""
        rng, words = self.scene.rng, self.scene.words
        if not self.chinese or rng.random() < OTHER_SCRIPT:
            line = words.sentence(2, 6) if rng.random() < 0.2 else words.token()
            for _ in range(rng.choice((0, 0, 1, 2, 3, 4)) if " " not in line else 0):
                line += f" {words.token()}"
            while font.width(line) > width:
                line = line.rpartition(" ")[0] or words.cased()
            return line
        room = max(1, min(width // (font.size + 1), rng.choice((3, 5, 8, 12, 20))))
        line = words.zh_sentence(room, room) if room > 5 and rng.random() < 0.4 else words.zh(room, room)
        end = rng.choice((words.number, words.price, words.date, words.serial))() if rng.random() < 0.2 else ""
        line = line + end if font.width(line + end) <= width else line
        while font.width(line) > width:
            line = line[:-1]
        return line

    def wrapped(self, font: Font, width: int, most: int) -> list[str]:
        """Running text, broken into lines of `width` pixels."""
        rng, words = self.scene.rng, self.scene.words
        pieces: list[str] = []
        for _ in range(rng.randint(1, 2)):
            text = words.zh_sentence(10, 36) if self.chinese else words.sentence(4, 14)
            pieces += _SIGNS.findall(text) if self.chinese else text.split()
        between, lines = "" if self.chinese else " ", [""]
        for piece in pieces:
            longer = f"{lines[-1]}{between}{piece}" if lines[-1] else piece
            if font.width(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(piece)
        return [line for line in lines[:most] if line and font.width(line) <= width]


def _big(pen: Pen) -> Written:
    """One to three large lines."""
    rng, box = pen.scene.rng, pen.margins()
    y = rng.randint(box[1], (box[1] + box[3]) // 2)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        font = pen.font(17, 40)
        if pen.lines and y + font.height > box[3]:
            break
        while y + font.height > box[3]:
            y -= 8
        text = pen.written(font, box[2] - box[0])
        pen.put(pen.left(text, font, box), y, text, font)
        y += font.height + pen.gap(font)
    return Written(pen.lines)


def _lines(pen: Pen, box: Box, font: Font, count: int) -> None:
    """Lines of their own, one below the other, perhaps behind bullets or numbers."""
    rng = pen.scene.rng
    y, gap, numbered = box[1], pen.gap(font), pen.mark == "number"
    indent = font.size if pen.mark == "bullet" else 0
    numbers = rng.choice(("{}. ", "{}) ", "({}) "))
    for i in range(count):
        if pen.full or y + font.height > box[3]:
            return
        number = numbers.format(i + 1) if numbered else ""
        text = number + pen.written(font, box[2] - box[0] - indent - font.width(number))
        x = pen.left(text, font, (box[0] + indent, *box[1:]))
        if indent:
            middle, radius = y + font.height // 2, 2 + font.size // 12
            spot = (x - font.size + 2, middle - radius, x - font.size + 2 + 2 * radius, middle + radius)
            pen.canvas.draw.ellipse(spot, pen.ink)
        pen.put(x, y, text, font)
        y += font.height + gap


def _list(pen: Pen) -> Written:
    _lines(pen, pen.margins(), pen.font(12, 20), pen.scene.rng.randint(2, 10))
    return Written(pen.lines)


def _headed(pen: Pen) -> Written:
    """A heading above lines, marked by a rule below or a bar beside it."""
    box, large = pen.margins(), pen.font(18, 28, bold=True)
    text = pen.written(large, box[2] - box[0] - 10)
    bar = 8 if pen.mark == "bar" else 0
    if bar:
        pen.canvas.rectangle(
            (box[0], box[1], box[0] + 4, box[1] + large.height), accent(pen.scene, pen.canvas.background)
        )
    pen.put(pen.left(text, large, (box[0] + bar, *box[1:])), box[1], text, large)
    y = box[1] + large.height + 2
    if pen.mark == "rule":
        pen.canvas.rectangle((box[0], y, box[2], y + 2), blend(pen.canvas.background, pen.ink, 0.6))
    y += 4 + pen.gap(large)
    _lines(pen, (box[0], y, *box[2:]), pen.font(12, 16), pen.scene.rng.randint(1, 8))
    return Written(pen.lines)


def _paragraph(pen: Pen) -> Written:
    """Running text, the lines of one or two paragraphs."""
    box, font = pen.margins(), pen.font(12, 20)
    y, gap = box[1], pen.gap(font)
    for _ in range(pen.scene.rng.randint(1, 2)):
        for text in pen.wrapped(font, box[2] - box[0], MOST_LINES):
            if pen.full or y + font.height > box[3]:
                break
            pen.put(pen.left(text, font, box) if pen.align != "indented" else box[0], y, text, font)
            y += font.height + gap
        y += font.height // 2
    return Written(pen.lines) if pen.lines else _big(pen)


def _letter(pen: Pen) -> Written:
    """A date at the right, a greeting, a paragraph, a name at the end."""
    box, font = pen.margins(16), pen.font(12, 16)
    scene, words = pen.scene, pen.scene.words
    date = words.date()
    y, gap = box[1], pen.gap(font)
    pen.put(box[2] - font.width(date), y, date, font)
    y += 2 * font.height
    name = words.zh(2, 3) if pen.chinese else words.short(7).capitalize()
    opening = (
        f"{name}{scene.rng.choice(('您好', '你好'))}："
        if pen.chinese
        else f"{scene.rng.choice(('Dear', 'Hello'))} {name},"
    )
    closing = words.zh(2, 3) if pen.chinese else words.short(8).capitalize()
    room = max(1, (box[3] - y - 2 * font.height) // (font.height + gap) - 1)
    for text in (opening, *pen.wrapped(font, box[2] - box[0], min(6, room)), closing):
        if y + font.height > box[3]:
            break
        if text is closing:
            y += min(font.height // 2, box[3] - y - font.height)
        pen.put(pen.left(text, font, box) if text is closing else box[0], y, text, font)
        y += font.height + gap
    return Written(pen.lines)


def _signs(pen: Pen) -> Written:
    """Lines of different fonts and sizes, each on its own height at any left edge, some on a coloured plate."""
    rng, (left, top, right, bottom) = pen.scene.rng, pen.area
    y = top + rng.randint(3, 24)
    while len(pen.lines) < 7 and not pen.full:
        font = pen.font(12, 26)
        if y + font.height > bottom - 4:
            break
        text = pen.written(font, right - left - 24)
        x = rng.randint(left + 8, right - 12 - font.width(text))
        if rng.random() < (0.7 if pen.mark == "bar" else 0.3):
            fill = rng.choice((pen.ink, accent(pen.scene, pen.canvas.background)))
            plate = (x - 6, y - 1, x + font.width(text) + 6, y + font.height + 1)
            pen.canvas.rectangle(plate, fill, radius=rng.choice((0, 3, 6, 10)))
            pen.put(x, y, text, font, text_on(fill))
        else:
            pen.put(x, y, text, font)
        y += font.height + 3 + pen.gap(font) + rng.randint(0, 8)
    return Written(pen.lines)


def _cards(pen: Pen) -> Written:
    """Framed cards of one to three lines each, in one column or two; one card is read after the other."""
    rng, (left, top, right, bottom) = pen.scene.rng, pen.area
    font, lines = pen.font(12, 17), rng.randint(1, 3)
    columns = 2 if right - left > 300 and rng.random() < 0.6 else 1
    gap, radius = rng.randint(5, 14), rng.choice((0, 4, 8))
    height, width = lines * (font.height + 2) + 12, (right - left - 8 - gap * (columns - 1)) // columns
    line = blend(pen.canvas.background, pen.ink, rng.uniform(0.4, 1.0))
    fill = blend(pen.canvas.background, pen.ink, 0.08) if rng.random() < 0.4 else None
    y = top + rng.randint(4, 16)
    while y + height < bottom - 2 and len(pen.lines) + lines * columns <= MOST_LINES and not pen.full:
        for column in range(columns):
            x = left + 4 + column * (width + gap)
            pen.canvas.rectangle((x, y, x + width, y + height), fill, line, radius=radius)
            for i in range(lines):
                text = pen.written(font, width - 18)
                pen.put(pen.left(text, font, (x + 9, y, x + width - 9, y)), y + 5 + i * (font.height + 2), text, font)
        y += height + gap
    return Written(pen.lines, rows=columns == 1) if pen.lines else _big(pen)


def _columns(pen: Pen) -> Written:
    """Running text in two columns with a clear gap, the right one starting at another height."""
    rng, box = pen.scene.rng, pen.margins(12)
    font, gap = pen.font(12, 14), rng.randint(24, 36)
    width, step = (box[2] - box[0] - gap) // 2, font.height + pen.gap(font)
    if width < 100:
        return _paragraph(pen)
    middle = box[0] + width + gap // 2
    if pen.mark in ("rule", "bar"):
        pen.canvas.draw.line((middle, box[1], middle, box[3] - 4), blend(pen.canvas.background, pen.ink, 0.5))
    for column in range(2):
        y = box[1] + (column and rng.choice((step // 2, step + step // 2)))
        for text in pen.wrapped(font, width, 5):
            if y + font.height > box[3]:
                break
            pen.put(box[0] + column * (width + gap), y, text, font)
            y += step
    return Written(pen.lines, rows=False) if pen.lines else _big(pen)


def _bubbles(pen: Pen) -> Written:
    """A conversation: lines in bubbles at the left and at the right by turns."""
    rng, (left, top, right, bottom) = pen.scene.rng, pen.area
    font, y = pen.font(12, 17), top + rng.randint(4, 20)
    fills = (blend(pen.canvas.background, pen.ink, 0.1), accent(pen.scene, pen.canvas.background))
    while y + font.height + 8 < bottom and not pen.full:
        side = rng.randrange(2)
        text = pen.written(font, (right - left) * 3 // 4 - 20)
        wide = font.width(text) + 16
        x = right - 6 - wide if side else left + 6
        pen.canvas.rectangle((x, y, x + wide, y + font.height + 6), fills[side], radius=rng.choice((6, 8)))
        pen.put(x + 8, y + 3, text, font, text_on(fills[1]) if side else pen.ink)
        y += font.height + 9 + pen.gap(font)
    return Written(pen.lines)


LAYOUTS: Mapping[str, Callable[[Pen], Written]] = {
    "big": _big,
    "list": _list,
    "headed": _headed,
    "paragraph": _paragraph,
    "letter": _letter,
    "signs": _signs,
    "cards": _cards,
    "columns": _columns,
    "bubbles": _bubbles,
}
