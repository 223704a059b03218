"""Results as files to download. Knows how each format is written, not where the results came from."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qwen3vl.tasks.results import TaskResult, TimedEvent

_CODE_FILES = {"html": ("html", "text/html"), "python": ("py", "text/x-python"), "css": ("css", "text/css")}
_CODE_FILES |= {"javascript": ("js", "text/javascript"), "xml": ("xml", "application/xml")}
_DIAGRAM_FILES = {
    "drawio": ("drawio", "application/vnd.jgraph.mxfile"),
    "svg": ("svg", "image/svg+xml"),
    "mermaid": ("mmd", "text/vnd.mermaid"),
}
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[\d.,\s]+%?")
_SHORTEST_CUE = 1.0  # seconds that a moment is shown as a subtitle


@dataclass(frozen=True)
class Export:
    """A file."""

    filename: str
    media_type: str
    bytes: bytes


def exports_of(result: TaskResult, name: str) -> dict[str, Export]:
    files: dict[str, Export] = {}

    def add(key: str, extension: str, media_type: str, content: str) -> None:
        files.setdefault(key, Export(f"{name}.{extension}", f"{media_type}; charset=utf-8", content.encode()))

    add("markdown", "md", "text/markdown", result.text + "\n")
    add("json", "json", "application/json", result.model_dump_json(indent=2) + "\n")
    for diagram in result.diagrams:
        add(diagram.format, *_DIAGRAM_FILES[diagram.format], diagram.source)
    for block in result.code:
        extension, media_type = _CODE_FILES.get(block.language, ("txt", "text/plain"))
        add(block.language or "code", extension, media_type, block.source + "\n")
    if result.tables:
        add("csv", "csv", "text/csv", tables_csv([table.rows for table in result.tables]))
        add("html", "html", "text/html", tables_html([table.rows for table in result.tables]))
    elif result.fields:
        add("csv", "csv", "text/csv", tables_csv([[["name", "value"], *([f.name, f.value] for f in result.fields)]]))
    if result.events:
        add("srt", "srt", "application/x-subrip", events_srt(result.events))
        rows = [["start", "end", "text"], *([f"{e.start:.2f}", f"{e.end:.2f}", _caption(e)] for e in result.events)]
        add("csv", "csv", "text/csv", tables_csv([rows]))
    return files


def tables_csv(tables: Iterable[Sequence[Sequence[str]]]) -> str:
    """Tables with an empty line between them. A byte order mark says UTF-8 to spreadsheets, and a cell that they would
    compute as a formula gets an apostrophe, unless it is just a number.
    """
    out = io.StringIO()
    out.write("\ufeff")
    writer = csv.writer(out, lineterminator="\r\n")
    for number, rows in enumerate(tables):
        if number:
            writer.writerow([])
        writer.writerows([_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


def tables_html(tables: Iterable[Sequence[Sequence[str]]]) -> str:
    """A document of plain tables; what the cells hold is text, whatever the model wrote."""
    bodies = [
        "<table>\n" + "".join(f"<tr>{''.join(f'<td>{_text(c)}</td>' for c in row)}</tr>\n" for row in rows) + "</table>"
        for rows in tables
    ]
    return '<!DOCTYPE html>\n<meta charset="utf-8">\n' + "\n".join(bodies) + "\n"


def events_srt(events: Sequence[TimedEvent]) -> str:
    cues = []
    for number, event in enumerate(events, 1):
        end = max(event.end, event.start + _SHORTEST_CUE)
        text = "\n".join(line for line in _caption(event).splitlines() if line.strip())
        cues.append(f"{number}\n{_clock(event.start)} --> {_clock(end)}\n{text.replace('-->', '→')}\n")
    return "\n".join(cues)


def _caption(event: TimedEvent) -> str:
    return ": ".join(part for part in (event.title, event.text) if part)


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"


def _cell(cell: str) -> str:
    return "'" + cell if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def _text(cell: str) -> str:
    return cell.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
