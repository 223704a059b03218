"""How a form is drawn: where labels stand, what frames the values, one column or two, sections and boxes to tick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qwen3vl.drawn.canvas import Box, Canvas, Color
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.paper import blend
from qwen3vl.drawn.scene import Scene

GAP = 12  # pixels between label and value where they stand in columns
NARROWEST = 150  # pixels of a column of fields
TRIES = 6  # for a value that fits


@dataclass(frozen=True)
class Entry:
    """A label and its value; of a choice `value` is the one of the `options` that is ticked. `box` is where a drawn
    entry that is no choice has its value.
    """

    label: str
    value: str
    options: tuple[str, ...] = ()
    box: Box | None = None


@dataclass(frozen=True)
class Pens:
    """The fonts of labels, of bold labels and of values, and the colours of labels and values."""

    font: Font
    bold: Font
    filled: Font
    ink: Color
    filled_ink: Color

    @property
    def height(self) -> int:
        return max(self.font.height, self.bold.height, self.filled.height)

    def value_width(self, entry: Entry) -> int:
        if not entry.options:
            return self.filled.width(entry.value)
        tick = self.filled.ascent + 4
        return sum(self.filled.width(option) + tick + 10 for option in entry.options) - 10


@dataclass(frozen=True)
class Look:
    labels: str
    mark: str
    frame: str
    columns: str
    title: str
    sections: str


def new_look(scene: Scene) -> Look:
    return Look(
        **scene.combine(
            "form",
            labels=("inline", "column", "right column", "above", "value right", "grid"),
            mark=("colon", "none", "bold", "faint"),
            frame=("none", "box", "underline", "tint", "dots", "rules"),
            columns=("one", "one", "two"),
            title=("left", "centre", "band", "ruled", "none"),
            sections=("none", "none", "none", "headings"),
        )
    )


def draw_entries(
    scene: Scene,
    canvas: Canvas,
    box: Box,
    pens: Pens,
    look: Look,
    labels: Sequence[tuple[str, str]],
    make: Callable[[str, str], Entry],
) -> list[Entry]:
    """Fills `box` row by row with entries that `make` makes of a label and a kind; returns what was drawn, in order.

    What does not fit is left out, but there is always one entry.
    """
    rng = scene.rng
    columns = 2 if look.columns == "two" and box[2] - box[0] >= 2 * NARROWEST + GAP else 1
    cell = (box[2] - box[0] - GAP * (columns - 1)) // columns
    label_font = pens.bold if look.mark == "bold" else pens.font
    short = [(label, kind) for label, kind in labels if label_font.width(label) < cell * 0.55] or [
        min(labels, key=lambda entry: label_font.width(entry[0]))
    ]
    offset = max(label_font.width(label) for label, _ in short) + GAP + 4
    lines = 2 if look.labels == "above" else 1
    step = lines * pens.height + rng.randint(5 if look.frame in ("box", "tint") or look.labels == "grid" else 3, 13)
    made: list[Entry] = []
    y, section = box[1], rng.randint(1, 3) if look.sections == "headings" else 0
    for label, kind in short:
        column = len(made) % columns
        if column == 0 and section and len(made) and len(made) % (section * columns) == 0:
            y = _heading(scene, canvas, (box[0], y, *box[2:]), pens, step)
        if y + step > box[3]:
            break
        place = (box[0] + column * (cell + GAP), y, box[0] + column * (cell + GAP) + cell, y + step)
        left = place[0] + {
            "inline": label_font.width(label) + pens.font.width("：" if pens.font.face.chinese else ": ") + 3,
            "above": 5 if look.frame in ("box", "tint") else 0,
            "value right": label_font.width(label) + GAP,
        }.get(look.labels, offset)
        entry = next((e for e in (make(label, kind) for _ in range(TRIES)) if _fits(e, pens, left, place)), None)
        if entry is None:
            continue
        made.append(_draw(canvas, entry, place, left, offset, pens, look, label_font))
        y += step if column == columns - 1 else 0
    if not made:
        label, value = short[0][0], str(rng.randint(1, 99))
        place = (*box[:3], box[1] + step)
        made.append(_draw(canvas, Entry(label, value), place, box[0] + offset, offset, pens, look, label_font))
    return made


def _fits(entry: Entry, pens: Pens, left: int, place: Box) -> bool:
    return left + pens.value_width(entry) <= place[2] - 5


def _heading(scene: Scene, canvas: Canvas, box: Box, pens: Pens, step: int) -> int:
    """The heading of a section, where there is room for it and a row below; returns the y below it."""
    if box[1] + 2 * step + pens.height > box[3]:
        return box[1]
    words = scene.words
    text = words.zh(2, 4) if pens.font.face.chinese else words.phrase(1, 1)
    canvas.text(box[0], box[1] + 3, text, pens.bold, pens.ink)
    y = box[1] + pens.bold.height + 4
    canvas.rectangle((box[0], y, box[2], y + 1), blend(canvas.background, pens.ink, 0.6))
    return y + 4


def _draw(
    canvas: Canvas, entry: Entry, place: Box, left: int, offset: int, pens: Pens, look: Look, label_font: Font
) -> Entry:
    """One entry in `place`, its value starting at x `left` (or ending at the right); `offset` is the labels' width.
    Returns it with its box."""
    x, y, right, bottom = place
    chinese = pens.font.face.chinese
    colon = ("：" if chinese else ":") if look.mark == "colon" or look.labels == "inline" else ""
    shift = offset - GAP - label_font.width(entry.label) if look.labels == "right column" else 0
    faint = blend(pens.ink, canvas.background, 0.25)
    label_x = x + shift + (4 if look.labels == "grid" else 0)
    value_y = y + pens.height if look.labels == "above" else y
    width = pens.value_width(entry)
    if look.labels == "value right":
        left = right - 5 - width
    line = blend(canvas.background, pens.ink, 0.55)
    if look.labels == "grid":
        canvas.rectangle((x, y - 2, right, bottom - 1), None, line)
        canvas.draw.line((x + offset - 5, y - 2, x + offset - 5, bottom - 2), line)
    else:
        _frame(canvas, (left, value_y, right, value_y + pens.height), (x, bottom), look, line, bool(entry.options))
    if look.frame == "dots" and look.labels in ("value right", "column"):
        for dot in range(label_x + label_font.width(entry.label + colon) + 5, left - 4, 5):
            canvas.draw.point((dot, y + pens.font.ascent - 1), line)
    canvas.text(label_x, y, entry.label + colon, label_font, faint if look.mark == "faint" else pens.ink)
    if entry.options:
        _options(canvas, entry, left, value_y, pens)
    else:
        canvas.text(left, value_y, entry.value, pens.filled, pens.filled_ink)
        return replace(entry, box=pens.filled.ink(left, value_y, entry.value))
    return entry


def _frame(canvas: Canvas, value: Box, row: tuple[int, int], look: Look, line: Color, ticked: bool) -> None:
    """What stands around or under a value. `row` is the left and the bottom of the whole entry."""
    left, top, right, bottom = value
    if look.frame == "rules":
        canvas.draw.line((row[0], row[1] - 3, right, row[1] - 3), line)
    elif ticked:
        return
    elif look.frame == "box":
        canvas.rectangle((left - 5, top - 1, right, bottom + 2), None, line)
    elif look.frame == "tint":
        canvas.rectangle((left - 5, top - 1, right, bottom + 2), blend(canvas.background, line, 0.25))
    elif look.frame == "underline":
        canvas.draw.line((left - 2, bottom, right, bottom), line)


def _options(canvas: Canvas, entry: Entry, x: int, y: int, pens: Pens) -> None:
    """The options behind their boxes, one of them ticked; or behind circles, if their number is odd."""
    side = pens.filled.ascent - 2
    top = y + (pens.height - side) // 2
    for option in entry.options:
        box = (x, top, x + side, top + side)
        if len(entry.options) % 2:
            canvas.draw.ellipse(box, None, pens.ink)
        else:
            canvas.rectangle((*box[:2], box[2] + 1, box[3] + 1), None, pens.ink)
        if option == entry.value and len(entry.options) % 2:
            canvas.draw.ellipse((x + 3, top + 3, x + side - 3, top + side - 3), pens.filled_ink)
        elif option == entry.value:
            canvas.draw.line((x + 2, top + side // 2, x + side // 3, top + side - 2), pens.filled_ink, 2)
            canvas.draw.line((x + side // 3, top + side - 2, x + side - 1, top + 1), pens.filled_ink, 2)
        canvas.text(x + side + 5, y, option, pens.filled, pens.filled_ink)
        x += pens.filled.ascent + 4 + pens.filled.width(option) + 10
