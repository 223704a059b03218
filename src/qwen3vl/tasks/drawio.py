"""Draw.io files that open: from what a model wrote, whole or broken, plain or compressed, to a valid `mxfile`.

Keeps every cell that can be kept. Ids are made unique, parents and arrows that lead nowhere are led to the layer, and
the two cells that every diagram begins with are there.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import unquote
from xml.etree import ElementTree as Xml

from qwen3vl.tasks.tables import feed_html

_ROOT, _LAYER = "0", "1"
_MOST_BYTES = 8 * 2**20  # that a compressed diagram may become
_NOT_XML = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME = re.compile(r"(?!xml)[a-z][a-z0-9_.-]*")
_COMPRESSED = re.compile(r"<diagram\b[^>]*>\s*([A-Za-z0-9+/=\s]{16,})</diagram>")
_GRAPH = {"dx": "0", "dy": "0", "grid": "1", "gridSize": "10", "page": "1", "pageWidth": "827", "pageHeight": "1169"}


@dataclass
class _Cell:
    attributes: dict[str, str]
    geometry: dict[str, str] | None = None
    points: list[dict[str, str]] = field(default_factory=list)


def repair_drawio(source: str) -> tuple[str, list[str]]:
    """A valid document with the cells of `source`, indented, and what had to be repaired. No cells: an empty string."""
    cells = list(_cells(_plain(source)))
    if not cells:
        return "", []
    warnings: list[str] = []
    drawn = [cell for cell in cells if cell.attributes.get("id") not in (_ROOT, _LAYER) or _is_shape(cell)]
    _make_ids_unique(drawn, warnings)
    _attach(drawn, warnings)
    file = Xml.Element("mxfile", host="app.diagrams.net")
    diagram = Xml.SubElement(file, "diagram", id="page-1", name="Page-1")
    root = Xml.SubElement(Xml.SubElement(diagram, "mxGraphModel", _GRAPH), "root")
    Xml.SubElement(root, "mxCell", id=_ROOT)
    Xml.SubElement(root, "mxCell", {"id": _LAYER, "parent": _ROOT})
    for cell in drawn:
        element = Xml.SubElement(root, "mxCell", cell.attributes)
        if cell.geometry is not None:
            geometry = Xml.SubElement(element, "mxGeometry", {**cell.geometry, "as": "geometry"})
            for point in cell.points:
                Xml.SubElement(geometry, "mxPoint", point)
    Xml.indent(file)
    return Xml.tostring(file, encoding="unicode") + "\n", warnings


def _plain(source: str) -> str:
    """Draw.io packs a diagram as base64 of raw deflate of percent-encoded XML."""
    packed = _COMPRESSED.search(source)
    if packed is None:
        return source
    try:
        data = base64.b64decode(packed[1], validate=False)
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        return unquote(unpacker.decompress(data, _MOST_BYTES).decode("utf-8", errors="replace"))
    except (binascii.Error, zlib.error):
        return source


def _cells(source: str) -> Iterator[_Cell]:
    reader = _Reader()
    feed_html(reader, source)
    return iter(reader.cells)


class _Reader(HTMLParser):
    """A lenient reader, and one that knows no entities to expand. It gives names in lower case."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.cells: list[_Cell] = []
        self._wrapper: dict[str, str] = {}  # of an <object> or <UserObject>, which has its cell's id and label

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: _NOT_XML.sub("", value or "") for name, value in attrs if _NAME.fullmatch(name)}
        if tag in ("object", "userobject"):
            self._wrapper = {"id": given.get("id", ""), "value": given.get("label", "")}
        elif tag == "mxcell":
            self.cells.append(_Cell({**given, **{k: v for k, v in self._wrapper.items() if v}}))
            self._wrapper = {}
        elif tag == "mxgeometry" and self.cells and self.cells[-1].geometry is None:
            self.cells[-1].geometry = _numbers(given, ("x", "y", "width", "height")) | _flags(given, "relative")
        elif tag == "mxpoint" and self.cells and self.cells[-1].geometry is not None:
            named = given.get("as", "")
            if named in ("sourcePoint", "targetPoint", "offset"):
                self.cells[-1].points.append(_numbers(given, ("x", "y")) | {"as": named})


def _numbers(given: dict[str, str], names: tuple[str, ...]) -> dict[str, str]:
    kept = {}
    for name in names:
        try:
            number = float(given.get(name, ""))
        except ValueError:
            continue
        if math.isfinite(number):
            kept[name] = f"{number:g}"
    return kept


def _flags(given: dict[str, str], name: str) -> dict[str, str]:
    return {name: "1"} if given.get(name) == "1" else {}


def _is_shape(cell: _Cell) -> bool:
    return "1" in (cell.attributes.get("vertex"), cell.attributes.get("edge"))


def _make_ids_unique(cells: list[_Cell], warnings: list[str]) -> None:
    """The first that has an id keeps it, so that arrows still find it."""
    wanted = {cell.attributes.get("id", "") for cell in cells}
    taken = {_ROOT, _LAYER}
    changed = 0
    for number, cell in enumerate(cells, 2):
        name = cell.attributes.get("id", "")
        if not name or name in taken:
            changed += 1
            name = next(
                f"cell-{i}" for i in range(number, number + len(cells) * 2 + 2) if f"cell-{i}" not in wanted | taken
            )
        cell.attributes = {"id": name, **{key: value for key, value in cell.attributes.items() if key != "id"}}
        taken.add(name)
    if changed:
        warnings.append(f"{changed} cells of the diagram had no id of their own and got one")


def _attach(cells: list[_Cell], warnings: list[str]) -> None:
    """Every cell gets a parent that is there and is not below it; arrows keep only ends that are there."""
    known = {cell.attributes["id"]: cell for cell in cells}
    lost = moved = 0
    for cell in cells:
        attributes = cell.attributes
        parent = attributes.get("parent", "")
        if parent != _LAYER and (parent not in known or _below(parent, attributes["id"], known)):
            moved += parent not in ("", _ROOT)
            attributes["parent"] = _LAYER
        for end in ("source", "target"):
            if end in attributes and attributes[end] not in known:
                del attributes[end]
                lost += 1
        if attributes.get("edge") == "1":
            attributes.pop("vertex", None)
            cell.geometry = (cell.geometry or {}) | {"relative": "1"}
        elif cell.geometry is None and attributes.get("vertex") == "1":
            cell.geometry = {"width": "120", "height": "60"}
    if lost:
        warnings.append(f"{lost} ends of arrows led to no cell and hang free")
    if moved:
        warnings.append(f"{moved} cells had a parent that is not there and were put on the layer")


def _below(name: str, ancestor: str, known: dict[str, _Cell]) -> bool:
    """Whether the parents of `name` lead to `ancestor`, or in a circle."""
    seen = set()
    while name in known and name not in seen:
        if name == ancestor:
            return True
        seen.add(name)
        name = known[name].attributes.get("parent", "")
    return name in seen
