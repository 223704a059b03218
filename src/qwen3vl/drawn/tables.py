"""Tables: a header, a first column of names, values. As HTML; a cell by row and column; the row that has a value.

A title stands outside the grid, and is no part of the table's HTML.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.paper import CHINESE_PAPERS, SMALLEST, SMALLEST_CHINESE, ink_and_ground, sheet
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.table_drawing import Look, column_widths, draw_table, new_look
from qwen3vl.drawn.values import ANY_COLUMN, COLUMN_KINDS, maker
from qwen3vl.drawn.words import pairs

__all__ = ["Table", "ask_table", "column_widths", "lookups", "new_table", "tables", "unique"]

COLUMNS = pairs("columns") + pairs("more_columns")
NAMES = pairs("row_names") + pairs("more_row_names")
MOST_CELLS = 40  # so that the HTML of a table stays an answer that a small model can write


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


def _header(scene: Scene, chinese: bool, columns: int) -> tuple[list[str], list[str]]:
    """The texts of a header and what its columns hold, in half of the tables what such columns usually hold."""
    rng, words = scene.rng, scene.words
    usual = rng.random() < 0.5
    made_up = rng.random() < 0.15
    head, kinds, taken = [rng.choice(NAMES)[chinese]], ["word"], set[str]()
    taken.add(head[0])
    for english, zh in rng.sample(COLUMNS, columns - 1):
        text = (english, zh)[chinese]
        if made_up or text in taken:
            text = unique(lambda: words.zh(2, 3) if chinese else words.short(8).capitalize(), taken)
        taken.add(text)
        head.append(text)
        kinds.append(COLUMN_KINDS.get(english, "number") if usual and not made_up else rng.choice(ANY_COLUMN))
    return head, kinds


def new_table(scene: Scene, font: Font, bold: Font, chinese: bool, look: Look, room: tuple[int, int]) -> Table:
    """A table that fits `room` (width, height) in pixels when it is drawn with this look."""
    while True:
        table = _rows(scene, chinese, (room[1] - 4) // look.row_height(font))
        while (widths := column_widths(table, font, bold, look.across)) and sum(widths) > room[0] and len(widths) > 2:
            widest = max(range(1, len(widths)), key=widths.__getitem__)
            table = [[cell for j, cell in enumerate(row) if j != widest] for row in table]
        if sum(widths) <= room[0]:
            return Table(table)


def _rows(scene: Scene, chinese: bool, room: int) -> list[list[str]]:
    """A header and at least one row, no more than `room` if that is two or more."""
    rng, words = scene.rng, scene.words
    taken: set[str] = set()
    longest = rng.choice((5, 7, 9, 9))

    def name() -> str:
        return words.zh(2, 4 if longest > 7 else 3) if chinese else words.short(longest).capitalize()

    columns = rng.choice((2, 3, 3, 4, 4, 5, 6, 7))
    most = max(2, min(room, MOST_CELLS // columns + 1, 10))
    header, kinds = _header(scene, chinese, columns)
    makers = [maker(words, kind, chinese) for kind in kinds[1:]]
    body = [
        [unique(name, taken), *(make(words) for make in makers)] for _ in range(rng.randint(min(2, most - 1), most - 1))
    ]
    return [header, *body]


def tables(scene: Scene) -> None:
    rng = scene.rng
    chinese = rng.random() < CHINESE_PAPERS
    ink, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    left, top, right, bottom = sheet(scene, canvas, ink)
    size = rng.randint(SMALLEST_CHINESE, 18) if chinese else rng.randint(SMALLEST, 17 if canvas.width > 256 else 14)
    font = scene.font(size, chinese=chinese, bold=False)
    bold = scene.font(size, chinese=chinese, bold=True)
    look = new_look(scene)
    box = left + rng.randint(5, 16), top + rng.randint(5, 26), right - rng.randint(5, 12), bottom - 6
    reserved = bold.height + 14 if look.title != "none" else 0
    table = new_table(scene, font, bold, chinese, look, (box[2] - box[0], box[3] - box[1] - reserved))
    title = _title(scene, chinese, bold, box[2] - box[0]) if look.title != "none" else ""
    table = Table(table.rows, title)
    spare = box[3] - box[1] - reserved - len(table.rows) * look.row_height(font) - 4
    box = box[0], box[1] + rng.choice((0, 0, rng.randint(0, max(0, spare)))), *box[2:]
    draw_table(scene, canvas, table.rows, box, (font, bold), ink, look, title)
    scene.keep(canvas)
    ask_table(scene, table)


def _title(scene: Scene, chinese: bool, font: Font, width: int) -> str:
    words = scene.words
    while True:
        title = words.zh(2, 6) if chinese else words.phrase(1, 2)
        if font.width(title) <= width:
            return title


def ask_table(scene: Scene, table: Table) -> None:
    rng = scene.rng
    header, body = table.rows[0], table.rows[1:]
    scene.ask("table_html", "table_html", table.html, {"rows": table.rows}, 1.2)
    for row in rng.sample(body, min(4, len(body))):
        j = rng.randrange(1, len(header))
        scene.ask("table_cell", "table_cell", row[j], {"value": row[j]}, 0.8, row=row[0], column=header[j])
    found = lookups(table)
    for row, j in rng.sample(found, min(3, len(found))):
        slots = {"value": row[j], "column": header[j], "names": header[0]}
        scene.ask("table_lookup", "table_lookup", row[0], {"value": row[0]}, 0.7, **slots)
    scene.ask("count", "count", str(len(body)), {"count": len(body)}, 0.2, things=scene.say("data rows", "数据行"))
    titled = scene.say(f' "{table.title}"', f"“{table.title}”") if table.title else ""
    text = scene.say(
        f"A table{titled} with {len(header)} columns and {len(body)} data rows.",
        f"一张{len(header)}列{len(body)}个数据行的表格{titled}。",
    )
    scene.ask("describe", "describe", text, {"text": text}, 0.4)


def lookups(table: Table) -> list[tuple[list[str], int]]:
    """Each row with a column whose value stands in that column only once."""
    found = []
    for j in range(1, len(table.rows[0])):
        column = [row[j] for row in table.rows[1:]]
        found += [(row, j) for row in table.rows[1:] if column.count(row[j]) == 1]
    return found
