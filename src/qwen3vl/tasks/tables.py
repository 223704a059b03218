"""Tables: from an answer's text to rows of cells. Reads HTML and Markdown, whole or still being written."""

from __future__ import annotations

import re
from html.parser import HTMLParser

Rows = tuple[tuple[str, ...], ...]

_MOST_COLUMNS = 1000  # that one cell may span, as browsers have it
_MOST_ROWS = 1000
_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")
_BAR = re.compile(r"(?<!\\)\|")


def parse_table(text: str) -> Rows:
    """The cells of the first table in `text`, row by row; empty if there is none.

    Text in a cell has its tags removed and its blanks made one. A cell that spans several places stands in each.
    While the table is being written, rows have the cells that are finished.
    """
    parser = _TableParser()
    parser.feed(text)
    return parser.rows() or _markdown(text)


class _TableParser(HTMLParser):
    """Takes in the outermost first table. What is nested in a cell counts as the cell's text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._grid: list[dict[int, str]] = []
        self._row = -1
        self._depth = 0  # of tables
        self._finished = False
        self._cell: list[str] | None = None
        self._span = (1, 1)  # columns, rows

    def rows(self) -> Rows:
        return tuple(tuple(row.get(i, "") for i in range(max(row) + 1)) for row in self._grid if row)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._finished:
            return
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
            self._finished = self._finished or self._depth == 0

    def handle_data(self, data: str) -> None:
        if self._cell is not None and not self._finished:
            self._cell.append(data)

    def _close_cell(self) -> None:
        if self._cell is None:
            return
        content = " ".join("".join(self._cell).split())
        self._cell = None
        row = self._row_of(self._row)
        first = next(i for i in range(len(row) + 1) if i not in row)
        columns, rows = self._span
        for number in range(self._row, self._row + rows):
            self._row_of(number).update(dict.fromkeys(range(first, first + columns), content))

    def _row_of(self, number: int) -> dict[int, str]:
        while len(self._grid) <= number:
            self._grid.append({})
        return self._grid[number]


def _span(value: str | None, most: int) -> int:
    return min(max(int(value), 1), most) if value and value.isdecimal() else 1


def _markdown(text: str) -> Rows:
    """A run of lines with bars, of which the second is the rule under the head."""
    lines = text.splitlines()
    rule = next((i for i in range(1, len(lines)) if "|" in lines[i - 1] and _RULE.fullmatch(lines[i])), None)
    if rule is None:
        return ()
    rows = [_cells(lines[rule - 1])]
    for line in lines[rule + 1 :]:
        if "|" not in line:
            break
        rows.append(_cells(line))
    return tuple(rows)


def _cells(line: str) -> tuple[str, ...]:
    line = line.strip().removeprefix("|")
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return tuple(cell.replace("\\|", "|").strip() for cell in _BAR.split(line))
