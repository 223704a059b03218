"""Files to download, read back by the libraries that read such files."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from qwen3vl.tasks.exports import events_srt, tables_csv, tables_html
from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.results import TaskResult, TimedEvent
from qwen3vl.tasks.tables import parse_table
from support.answers import RECORDED


def exported(name: str) -> TaskResult:
    recorded = RECORDED[name]
    task = TASKS[recorded.task]
    return task.reader(task.params(**recorded.params), recorded.media, thinking=recorded.thinking).finish(recorded.text)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("boxes fenced", {"markdown", "json"}),
        ("two tables", {"markdown", "json", "csv", "html"}),
        ("a receipt", {"markdown", "json", "csv"}),
        ("chart data", {"markdown", "json", "csv"}),
        ("a page", {"markdown", "json", "html"}),
        ("a chart", {"markdown", "json", "python"}),
        ("a diagram", {"markdown", "json", "drawio"}),
        ("mermaid", {"markdown", "json", "mermaid"}),
        ("svg", {"markdown", "json", "svg"}),
        ("chapters", {"markdown", "json", "csv", "srt"}),
    ],
)
def test_each_result_has_the_files_that_it_can_fill(name: str, keys: set[str]) -> None:
    files = exported(name).exports("my file")
    assert set(files) == keys
    assert all(file.filename.startswith("my file.") for file in files.values())
    assert TaskResult.model_validate(json.loads(files["json"].bytes)) == exported(name)


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


def test_csv_keeps_every_cell() -> None:
    table = [["a,b", 'say "x"', "two\nlines", "中文", ""], ["1", "-5", "+3.5%", "1,000", " "]]
    text = tables_csv([table])
    assert text.startswith("\ufeff"), "spreadsheets would take it for another encoding"
    assert rows(text) == table


@pytest.mark.parametrize("cell", ["=SUM(A1)", "@cmd", "+cmd|' /C calc'!A0", "-2+3+cmd", "\t=1", "\r=1"])
def test_no_cell_becomes_a_formula(cell: str) -> None:
    assert rows(tables_csv([[[cell]]]))[0][0][0] == "'"


def test_tables_as_html_hold_text_only() -> None:
    page = tables_html([[["<script>x</script>", "a & b"]]])
    assert "<script>" not in page
    assert parse_table(page) == (("<script>x</script>", "a & b"),)


def test_subtitles() -> None:
    events = [
        TimedEvent(start=0.0, end=2.5, text="one"),
        TimedEvent(start=3661.04, end=3661.04, text="two\n\nlines --> x", title="T"),
    ]
    cues = events_srt(events).split("\n\n")
    assert cues[0] == "1\n00:00:00,000 --> 00:00:02,500\none"
    assert cues[1].splitlines() == ["2", "01:01:01,040 --> 01:01:02,040", "T: two", "lines → x"]
    assert all(re.match(r"\d+\n[\d:,]+ --> [\d:,]+\n.", cue) for cue in cues)
