"""How a table is drawn: its rules, bands, header, alignment and spacing. Knows nothing of what stands in the cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from qwen3vl.drawn.canvas import Box, Canvas, Color
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.paper import accent, blend, text_on
from qwen3vl.drawn.scene import Scene

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Look:
    """`across` and `along` are the pixels kept free at the sides of a cell's text, and above and below it."""

    rules: str
    head: str
    stripes: str
    align: str
    widths: str
    title: str
    across: int
    along: int

    def row_height(self, font: Font) -> int:
        return font.height + 2 * self.along


def new_look(scene: Scene) -> Look:
    rng = scene.rng
    chosen = scene.combine(
        "table",
        rules=("grid", "rows", "columns", "outer", "head", "ends", "none"),
        head=("plain", "bold", "band", "dark"),
        stripes=("none", "none", "rows", "first column"),
        align=("left", "numbers right", "centre", "values centre"),
        widths=("tight", "even", "first wide", "uneven"),
        title=("none", "none", "left", "centre", "below"),
    )
    return Look(**chosen, across=rng.randint(5, 11), along=rng.randint(1, 6))


def column_widths(rows: Rows, font: Font, bold: Font, padding: int) -> list[int]:
    """Pixels that each column needs when its header is in `bold` and the rest in `font`."""
    columns = zip(*rows, strict=True)
    return [max(bold.width(head), *map(font.width, cells)) + 2 * padding for head, *cells in columns]


def draw_table(
    scene: Scene,
    canvas: Canvas,
    rows: Rows,
    area: Box,
    fonts: tuple[Font, Font],
    ink: Color,
    look: Look,
    title: str = "",
) -> None:
    """Draws the table at the top of `area`. `fonts` are the plain one and that of the header and the title."""
    rng, (font, bold) = scene.rng, fonts
    widths = _widths(scene, column_widths(rows, font, bold, look.across), area[2] - area[0], look.widths)
    total, step = sum(widths), look.row_height(font)
    x = area[0] + rng.choice((0, 0, (area[2] - area[0] - total) // 2, area[2] - area[0] - total))
    y = area[1]
    shift = (total - bold.width(title)) // 2 if look.title == "centre" else 0
    at = min(max(x + shift, area[0]), area[2] - bold.width(title))
    if title and look.title != "below":
        canvas.text(at, y, title, bold, ink)
        y += bold.height + rng.randint(3, 10)
    edges = [x + offset for offset in accumulate(widths, initial=0)]
    tops = [y + step * i for i in range(len(rows) + 1)]
    head_ink = _fill(scene, canvas, edges, tops, ink, look)
    _rule(scene, canvas, edges, tops, ink, look.rules)
    for i, row in enumerate(rows):
        used = bold if i == 0 and look.head != "plain" else font
        for j, cell in enumerate(row):
            free = widths[j] - 2 * look.across - used.width(cell)
            left = edges[j] + look.across + _shift(look.align, j, cell if i else rows[1][j], free)
            canvas.text(left, tops[i] + look.along, cell, used, head_ink if i == 0 else ink)
    if title and look.title == "below":
        canvas.text(at, tops[-1] + rng.randint(7, 12), title, bold, ink)


def _widths(scene: Scene, needed: list[int], room: int, how: str) -> list[int]:
    """The columns' widths: as needed, or with the room that is left shared out."""
    spare = max(0, room - sum(needed))
    if how == "tight":
        return needed
    if how == "first wide":
        return [needed[0] + round(spare * scene.rng.uniform(0.2, 0.9)), *needed[1:]]
    if how == "even":
        return [width + spare // len(needed) for width in needed]
    cuts = sorted(scene.rng.randint(0, spare) for _ in needed)
    return [width + b - a for width, a, b in zip(needed, [0, *cuts[:-1]], cuts, strict=True)]


def _shift(align: str, column: int, cell: str, free: int) -> int:
    """How far from the left of its cell a text starts. `cell` is the first of its column below the header."""
    if align == "centre" or (align == "values centre" and column):
        return free // 2
    return free if align == "numbers right" and column and any(c.isdigit() for c in cell) else 0


def _fill(scene: Scene, canvas: Canvas, edges: list[int], tops: list[int], ink: Color, look: Look) -> Color:
    """The grounds of the cells; returns the colour of the header's text."""
    ground = canvas.background
    soft = blend(ground, ink, scene.rng.uniform(0.05, 0.13))
    if look.stripes == "rows":
        for i in range(1 + scene.rng.randint(0, 1), len(tops) - 1, 2):
            canvas.rectangle((edges[0], tops[i], edges[-1], tops[i + 1]), soft)
    elif look.stripes == "first column":
        canvas.rectangle((edges[0], tops[0], edges[1], tops[-1]), soft)
    if look.head not in ("band", "dark"):
        return ink
    fill = blend(ground, ink, 0.17) if look.head == "band" else accent(scene, ground)
    canvas.rectangle((edges[0], tops[0], edges[-1], tops[1]), fill)
    return ink if look.head == "band" else text_on(fill)


def _rule(scene: Scene, canvas: Canvas, edges: list[int], tops: list[int], ink: Color, rules: str) -> None:
    line = blend(canvas.background, ink, scene.rng.uniform(0.3, 1.0))
    width = scene.rng.choice((1, 1, 1, 2))
    left, right, top, bottom = edges[0], edges[-1], tops[0], tops[-1]
    level = {"grid": tops, "rows": tops[1:], "head": tops[1:2], "ends": [top, tops[1], bottom], "outer": tops[1:2]}
    for y in level.get(rules, []):
        canvas.draw.line((left, y, right, y), line, width)
    upright = {"grid": edges, "columns": edges[1:-1]}
    for x in upright.get(rules, []):
        canvas.draw.line((x, top, x, bottom), line, width)
    if rules == "outer":
        canvas.rectangle((left - 1, top - 1, right + 2, bottom + 2), None, line, width)
