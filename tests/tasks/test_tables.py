"""HTML and Markdown tables; against the browser's rules for spans and omitted tags."""

from __future__ import annotations

import pytest

from qwen3vl.tasks.tables import Rows, parse_table, parse_tables

TABLE: Rows = (("Item", "Price"), ("Tea", "1.20"), ("米", "3"))
HTML = (
    "<table><tr><th>Item</th><th>Price</th></tr>"
    "<tr><td>Tea</td><td>1.20</td></tr><tr><td>米</td><td>3</td></tr></table>"
)

READ: dict[str, tuple[str, Rows]] = {
    "plain": (HTML, TABLE),
    "fenced, amid prose": (f"The table:\n```html\n{HTML}\n```\n", TABLE),
    "sections and attributes": (
        '<table border="1"><thead><tr><th>Item<th>Price</thead>\n<tbody>\n<tr class=x><td>Tea<td>1.20\n'
        "<tr><td>米<td>3</table>",
        TABLE,
    ),
    "tags and entities in cells": (
        "<table><tr><td><b>Tea</b> &amp; <i>milk</i><br>hot</td><td>&lt;1</td></tr></table>",
        (("Tea & milk hot", "<1"),),
    ),
    "columns spanned": (
        "<table><tr><td colspan=2>a</td><td>b</td></tr><tr><td>c</td><td>d</td><td>e</td></tr></table>",
        (("a", "a", "b"), ("c", "d", "e")),
    ),
    "rows spanned": (
        '<table><tr><td rowspan="2">a</td><td>b</td></tr><tr><td>c</td></tr></table>',
        (("a", "b"), ("a", "c")),
    ),
    "a span that is no number": ("<table><tr><td colspan=-1>a</td><td>b</td></tr></table>", (("a", "b"),)),
    "an empty cell": ("<table><tr><td></td><td>b</td></tr></table>", (("", "b"),)),
    "only the first table": (f"{HTML}<table><tr><td>x</td></tr></table>", TABLE),
    "a table in a cell": (
        "<table><tr><td>a<table><tr><td>b</td></tr></table></td><td>c</td></tr></table>",
        (("ab", "c"),),
    ),
    "markdown": ("Here:\n\n| Item | Price |\n|:---|---:|\n| Tea | 1.20 |\n| 米 | 3 |\n\nDone.", TABLE),
    "markdown without outer bars": ("Item | Price\n--- | ---\nTea | 1.20\n米 | 3", TABLE),
    "markdown with a bar in a cell": ("| a \\| b | c |\n|---|---|\n| d | e |", (("a | b", "c"), ("d", "e"))),
    "prose": ("There is no table | at all.", ()),
    "nothing": ("", ()),
}


@pytest.mark.parametrize("name", READ)
def test_parse(name: str) -> None:
    text, rows = READ[name]
    assert parse_table(text) == rows


def test_a_growing_table_never_loses_a_cell() -> None:
    whole = [cell for row in TABLE for cell in row]
    counts = []
    for end in range(len(HTML) + 1):
        cells = [cell for row in parse_table(HTML[:end]) for cell in row]
        assert cells == whole[: len(cells)]
        counts.append(len(cells))
    assert counts == sorted(counts)
    assert counts[HTML.index("</td>") + 4] == 2  # not before it is closed
    assert counts[-1] == len(whole)


def test_a_huge_span_is_bounded() -> None:
    rows = parse_table("<table><tr><td colspan=999999999 rowspan=999999999>a</td></tr></table>")
    assert len(rows) * len(rows[0]) == 1_000_000


def test_all_tables_of_an_answer() -> None:
    nested = "<table><tr><td>c</td></tr></table>"
    text = f"<table><tr><td>a</td></tr></table> and <table><tr><td>b</td><td>{nested}</td></tr></table>"
    assert [len(table) for table in parse_tables(text)] == [1, 1]
    assert parse_tables(text)[1][0][0] == "b"
    markdown = "| a |\n|---|\n| 1 |\n\ntext\n\n| b | c |\n|---|---|\n| 2 | 3 |\n"
    assert parse_tables(markdown) == [(("a",), ("1",)), (("b", "c"), ("2", "3"))]


@pytest.mark.parametrize(
    "text",
    [
        "<table><tr><td rowspan=2>a</td><td>b</td></tr><tr><td>c &lt; d</td></tr><tr><td>e</td></tr></table>",
        "| a | b |\n|---|---|\n| 1 | 22 |\n| 3 | 44 |\n",
    ],
)
def test_rows_that_are_finished_stay_as_they_are(text: str) -> None:
    whole = parse_tables(text)[0]
    for end in range(len(text) + 1):
        for table in parse_tables(text[:end], finished_only=True):
            assert table == whole[: len(table)]


@pytest.mark.parametrize("text", ["<![foo[<table>", "<![if x]><table><tr><td>a", "<!--", "<!x <table", "</", "<table"])
def test_what_the_html_reader_cannot_read_is_no_error(text: str) -> None:
    parse_tables(text)
    parse_tables(text, finished_only=True)
