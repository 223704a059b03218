"""Tables: from an answer's text to rows of cells. Reads HTML and Markdown, whole or still being written."""

from __future__ import annotations

import re
from html.parser import HTMLParser

Rows = tuple[tuple[str, ...], ...]

_MOST_COLUMNS = 1000  # that one cell may span, as browsers have it
_MOST_ROWS = 1000
_MOST_CELLS = 1_000_000  # of a text; what goes beyond is left out, so that a few spans cannot fill the memory
_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")
_BAR = re.compile(r"(?<!\\)\|")


def parse_table(text: str) -> Rows:
    """The cells of the first table in `text`, row by row; empty if there is none.

    Text in a cell has its tags removed and its blanks made one. A cell that spans several places stands in each.
    While the table is being written, rows have the cells that are finished.
    """
    return next(iter(parse_tables(text)), ())


def parse_tables(text: str, *, finished_only: bool = False) -> list[Rows]:
    """All tables of `text`, those in HTML, else those in Markdown, in the order written; nested ones are text.

    With `finished_only`, without a last row that may still grow.
    """
    parser = _TableParser()
    feed_html(parser, text)
    tables = parser.tables(finished_only) if "<t" in text.lower() else []
    return tables or _markdown(text, finished_only)


def feed_html(parser: HTMLParser, text: str) -> None:
    """Feeds what is no document but an answer: a marked section, which the library refuses to read, counts as text."""
    parser.feed(text.replace("<![", "&lt;!["))


class _TableParser(HTMLParser):
    """Takes in the outermost tables. What is nested in a cell counts as the cell's text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._done: list[Rows] = []
        self._grid: list[dict[int, str]] = []
        self._row = -1
        self._depth = 0  # of tables
        self._cell: list[str] | None = None
        self._span = (1, 1)  # columns, rows
        self._room = _MOST_CELLS

    def tables(self, finished_only: bool) -> list[Rows]:
        """What stands outside of any table's tags, a lone row above all, counts as one more table."""
        begun = self._rows(self._grid[: self._row] if finished_only else self._grid)
        return [*self._done, begun] if begun else self._done

    def _rows(self, grid: list[dict[int, str]]) -> Rows:
        return tuple(tuple(row.get(i, "") for i in range(max(row) + 1)) for row in grid if row)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._depth += 1
        if self._depth != 1:
            return
        if tag in ("tr", "td", "th"):
            self._close_cell()
            if tag == "tr" or self._row < 0:
                self._row += 1
                self._row_of(self._row)
        if tag in ("td", "th"):
            given = dict(attrs)
            self._cell = []
            self._span = _span(given.get("colspan"), _MOST_COLUMNS), _span(given.get("rowspan"), _MOST_ROWS)
        elif self._cell is not None:
            self._cell.append(" ")  # a tag inside a cell, <br> above all, parts words

    def handle_endtag(self, tag: str) -> None:
        if self._depth == 1 and tag in ("td", "th", "tr", "table"):
            self._close_cell()
        if tag == "table" and self._depth:
            self._depth -= 1
            if self._depth == 0:
                if rows := self._rows(self._grid):
                    self._done.append(rows)
                self._grid, self._row = [], -1

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def _close_cell(self) -> None:
        if self._cell is None:
            return
        content = " ".join("".join(self._cell).split())
        self._cell = None
        row = self._row_of(self._row)
        first = next(i for i in range(len(row) + 1) if i not in row)
        columns, rows = self._span
        self._room -= columns * rows
        if self._room < 0:
            return
        for number in range(self._row, self._row + rows):
            self._row_of(number).update(dict.fromkeys(range(first, first + columns), content))

    def _row_of(self, number: int) -> dict[int, str]:
        while len(self._grid) <= number:
            self._grid.append({})
        return self._grid[number]


def _span(value: str | None, most: int) -> int:
    return min(max(int(value[:9]), 1), most) if value and value.isdecimal() else 1


def _markdown(text: str, finished_only: bool) -> list[Rows]:
    """Runs of lines with bars, of which the second is the rule under the head."""
    lines = text.splitlines()
    if finished_only and lines and not text.endswith("\n"):
        lines.pop()
    tables: list[Rows] = []
    at = 1
    while at < len(lines):
        if "|" not in lines[at - 1] or not _RULE.fullmatch(lines[at]):
            at += 1
            continue
        rows = [_cells(lines[at - 1])]
        at += 1
        while at < len(lines) and "|" in lines[at]:
            rows.append(_cells(lines[at]))
            at += 1
        tables.append(tuple(rows))
        at += 1
    return tables


def _cells(line: str) -> tuple[str, ...]:
    line = line.strip().removeprefix("|")
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return tuple(cell.replace("\\|", "|").strip() for cell in _BAR.split(line))
