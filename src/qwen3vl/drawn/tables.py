"""Tables: a header, a first column of names, values. As HTML; a cell by row and column; the row that has a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from qwen3vl.drawn.canvas import Canvas, Color
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.text import ink_and_ground
from qwen3vl.drawn.words import pairs

COLUMNS = pairs("columns")
NAMES = pairs("row_names")
CHINESE_DOCUMENTS = 0.35
PADDING = 6


@dataclass(frozen=True)
class Table:
    """Rows of equal length; the first is the header, the first column names the rows, and no name stands twice."""

    rows: list[list[str]]
    title: str = ""

    @property
    def html(self) -> str:
        def line(cells: list[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell, quote=False)}</{tag}>" for cell in cells) + "</tr>"

        body = [line(self.rows[0], "th"), *(line(row, "td") for row in self.rows[1:])]
        return "<table>\n" + "\n".join(body) + "\n</table>"


def unique(make: Callable[[], str], taken: set[str]) -> str:
    """A text that was not made before."""
    while (text := make()) in taken:
        pass
    taken.add(text)
    return text


def new_table(scene: Scene, font: Font, bold: Font, chinese: bool, room: tuple[int, int]) -> Table:
    """A table that fits `room` (width, height) in pixels when its cells are padded by `PADDING`."""
    rng, words = scene.rng, scene.words
    taken: set[str] = set()

    def name() -> str:
        return words.zh(2, 3) if chinese else words.short(9).capitalize()

    def value(kind: int) -> str:
        plain = (
            words.number,
            words.price,
            words.serial,
            lambda: f"{rng.randint(1, 99)}%",
            words.clock,
            lambda: f"{rng.randint(0, 500)}",
        )
        return name() if kind == len(plain) else plain[kind]()

    columns, rows = rng.randint(2, 4), rng.randint(2, 6)
    header = [rng.choice(NAMES)[chinese], *(pair[chinese] for pair in rng.sample(COLUMNS, columns - 1))]
    kinds = [rng.choice((0, 1, 2, 3, 4, 5, 5, 6)) for _ in range(columns - 1)]
    table = [header, *([unique(name, taken), *(value(kind) for kind in kinds)] for _ in range(rows))]
    while sum(column_widths(table, font, bold, PADDING)) > room[0] and len(table[0]) > 2:
        table = [row[:-1] for row in table]
    most = max(2, room[1] // (font.height + PADDING))
    return Table(table[:most])


def column_widths(rows: list[list[str]], font: Font, bold: Font, padding: int) -> list[int]:
    """Pixels that each column needs when its header is in `bold` and the rest in `font`."""
    columns = zip(*rows, strict=True)
    return [max(bold.width(head), *map(font.width, cells)) + 2 * padding for head, *cells in columns]


def draw_table(scene: Scene, canvas: Canvas, table: Table, x: int, y: int, font: Font, bold: Font, ink: Color) -> int:
    """Draws the table in one of the split's styles; returns the y below it."""
    rng = scene.rng
    style = scene.pick(("grid", "lines", "zebra", "plain"), ("frame", "banded"))
    widths = column_widths(table.rows, font, bold, PADDING)
    spare = canvas.width - x - 6 - sum(widths)
    if spare > 0 and rng.random() < 0.7:
        widths = [width + spare // len(widths) for width in widths]
    row_height, right = font.height + PADDING + rng.randint(0, 2), x + sum(widths)
    numbers_right = rng.random() < 0.5
    soft = _between(canvas.background, ink, 0.12)
    line = _between(canvas.background, ink, 0.5)
    for i, row in enumerate(table.rows):
        top = y + i * row_height
        if (style == "zebra" and i % 2) or (style == "banded" and i == 0):
            canvas.rectangle((x, top, right, top + row_height), soft)
        left = x
        for j, cell in enumerate(row):
            used = bold if i == 0 else font
            shift = widths[j] - PADDING - used.width(cell) if j and numbers_right else PADDING
            canvas.text(left + shift, top + PADDING // 2, cell, used, ink)
            if style == "grid":
                canvas.rectangle((left, top, left + widths[j] + 1, top + row_height + 1), None, line)
            left += widths[j]
        if style == "lines" or (style in ("frame", "plain") and i == 0):
            canvas.draw.line((x, top + row_height - 1, right, top + row_height - 1), line)
    below = y + len(table.rows) * row_height
    if style == "frame":
        canvas.rectangle((x - 2, y - 2, right + 2, below + 2), None, line)
    return below


def _between(a: Color, b: Color, share: float) -> Color:
    r, g, blue = (round(u + (v - u) * share) for u, v in zip(a, b, strict=True))
    return r, g, blue


def tables(scene: Scene) -> None:
    rng, words = scene.rng, scene.words
    chinese = rng.random() < CHINESE_DOCUMENTS
    ink, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    size = rng.randint(15, 17) if chinese else rng.randint(12, 16)
    font = scene.font(size, chinese=chinese, bold=False)
    bold = scene.font(size, chinese=chinese, bold=True) if rng.random() < 0.6 else font
    x, y, title = rng.randint(5, 20), rng.randint(5, 30), ""
    if rng.random() < 0.4:
        title = words.zh(2, 6) if chinese else words.phrase(1, 2)
        canvas.text(x, y, title, bold, ink)
        y += bold.height + 6
    table = new_table(scene, font, bold, chinese, (canvas.width - x - 8, canvas.height - y - 16))
    table = Table(table.rows, title)
    draw_table(scene, canvas, table, x, y, font, bold, ink)
    scene.keep(canvas)
    ask_table(scene, table)


def ask_table(scene: Scene, table: Table) -> None:
    rng = scene.rng
    header, body = table.rows[0], table.rows[1:]
    scene.ask("table_html", "table_html", table.html, {"rows": table.rows}, 1.2)
    for row in rng.sample(body, min(3, len(body))):
        j = rng.randrange(1, len(header))
        scene.ask("table_cell", "table_cell", row[j], {"value": row[j]}, 0.8, row=row[0], column=header[j])
    for row, j in lookups(table):
        if rng.random() < 0.5:
            scene.ask(
                "table_lookup",
                "table_lookup",
                row[0],
                {"value": row[0]},
                0.5,
                value=row[j],
                column=header[j],
                names=header[0],
            )
    scene.ask("count", "count", str(len(body)), {"count": len(body)}, 0.2, things=scene.say("data rows", "数据行"))
    titled = scene.say(f' "{table.title}"', f"“{table.title}”") if table.title else ""
    text = scene.say(
        f"A table{titled} with {len(header)} columns and {len(body)} rows.",
        f"一张{len(header)}列{len(body)}行的表格{titled}。",
    )
    scene.ask("describe", "describe", text, {"text": text}, 0.5)


def lookups(table: Table) -> list[tuple[list[str], int]]:
    """Each row with a column whose value stands in that column only once."""
    found = []
    for j in range(1, len(table.rows[0])):
        column = [row[j] for row in table.rows[1:]]
        found += [(row, j) for row in table.rows[1:] if column.count(row[j]) == 1]
    return found
