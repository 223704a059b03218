"""Diagrams: from a Draw.io document to its boxes and arrows.

Reads an uncompressed `mxGraphModel`, fenced or bare, alone or in an `mxfile`; while it is being written, the cells that
are finished. Knows nothing of where the document came from.
"""

from __future__ import annotations

import html
import math
import re
from dataclasses import dataclass
from html.parser import HTMLParser

from qwen3vl.tasks.code import find_code
from qwen3vl.tasks.tables import feed_html

_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True)
class Node:
    """A shape. `box` is x1, y1, x2, y2 in the diagram's own units, or None if it has no geometry."""

    id: str
    text: str
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class Edge:
    """An arrow from one node to another, by their ids."""

    source: str
    target: str
    text: str


@dataclass(frozen=True)
class Diagram:
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def parse_diagram(text: str) -> Diagram:
    """The diagram of the first XML block of `text`; one without nodes if there is none."""
    code = find_code(text, "xml")
    if code is None or "<mxCell" not in code.source:
        return Diagram((), ())
    reader = _Cells()
    feed_html(reader, code.source)
    return Diagram(tuple(reader.nodes), tuple(reader.edges))


class _Cells(HTMLParser):
    """A lenient reader, and one that knows no entities to expand. It gives names in lower case."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self._vertex: dict[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "mxcell":
            self._close_vertex(None)
            if given.get("vertex") == "1":
                self._vertex = given
            elif given.get("edge") == "1":
                self.edges.append(
                    Edge(given.get("source", ""), given.get("target", ""), _plain(given.get("value", "")))
                )
        elif tag == "mxgeometry" and self._vertex is not None:
            self._close_vertex(_box(given))

    def handle_endtag(self, tag: str) -> None:
        if tag == "mxcell":
            self._close_vertex(None)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def _close_vertex(self, box: tuple[float, float, float, float] | None) -> None:
        if self._vertex is not None:
            self.nodes.append(Node(self._vertex.get("id", ""), _plain(self._vertex.get("value", "")), box))
            self._vertex = None


def _box(given: dict[str, str]) -> tuple[float, float, float, float] | None:
    try:
        x, y, width, height = (float(given.get(name, "0")) for name in ("x", "y", "width", "height"))
    except ValueError:
        return None
    if not math.isfinite(x + y + width + height):
        return None
    return x, y, x + width, y + height


def _plain(value: str) -> str:
    """A label's text: Draw.io keeps HTML in it."""
    return " ".join(html.unescape(_TAG.sub(" ", value)).split())
