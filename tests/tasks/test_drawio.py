"""Draw.io files that open: what a strict XML reader and Draw.io's own rules of ids and parents ask."""

from __future__ import annotations

import base64
import random
import tracemalloc
import zlib
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3vl.tasks.diagrams import parse_diagram
from qwen3vl.tasks.drawio import repair_drawio
from support.answers import DRAWIO


def check(source: str) -> ElementTree.Element:
    """Parses strictly, and looks at all that Draw.io relies on."""
    root = ElementTree.fromstring(source)
    assert root.tag == "mxfile"
    cells = root.findall("./diagram/mxGraphModel/root/mxCell")
    assert (cells[0].attrib, cells[1].attrib) == ({"id": "0"}, {"id": "1", "parent": "0"})
    ids = [cell.attrib["id"] for cell in cells]
    assert len(ids) == len(set(ids))
    parents = {cell.attrib["id"]: cell.attrib["parent"] for cell in cells[1:]}
    for cell in cells[2:]:
        name, steps = cell.attrib["id"], 0
        while name != "0":
            name, steps = parents[name], steps + 1
            assert steps < len(cells), "parents go round in a circle"
        for end in ("source", "target"):
            assert cell.attrib.get(end, ids[0]) in ids
        if cell.attrib.get("vertex") == "1" or cell.attrib.get("edge") == "1":
            geometry = cell.find("mxGeometry")
            assert geometry is not None
            assert geometry.attrib["as"] == "geometry"
            assert all(float(geometry.attrib.get(name, 0)) < 1e300 for name in ("x", "y", "width", "height"))
    return root


def test_a_valid_diagram_keeps_its_meaning() -> None:
    source, warnings = repair_drawio(DRAWIO)
    assert warnings == []
    check(source)
    assert parse_diagram(source) == parse_diagram(DRAWIO)
    assert repair_drawio(source) == (source, [])


@pytest.mark.parametrize(
    "changes",
    [
        [('id="0"/>', 'id="0"/><!-- x -->')],
        [('<mxCell id="0"/><mxCell id="1" parent="0"/>', "")],
        [('id="b"', 'id="a"')],
        [(' id="a"', "")],
        [(' style="rounded=1"', ' style="rounded=1" xmlns="x" ²="y" a:b="z"')],
        [('source="a"', 'source="nowhere"')],
        [('parent="1">\n<mxG', 'parent="missing">\n<mxG')],
        [
            ('vertex="1" parent="1"', 'vertex="1" parent="b"'),
            ('vertex="1" parent="1"', 'vertex="1" parent="a"'),
        ],
        [("</root></mxGraphModel></diagram></mxfile>", "")],
        [('x="40"', 'x="NaN"')],
        [('x="40"', "x=40")],
        [('value="Start', 'value="A & B \x01')],
        [('<mxGeometry x="40" y="20" width="120" height="60" as="geometry"/>', "")],
        [('id="a" value', 'id="1" value')],
    ],
)
def test_broken_ones_are_repaired(changes: list[tuple[str, str]]) -> None:
    broken = DRAWIO
    for old, new in changes:
        assert old in broken
        broken = broken.replace(old, new, 1)
    source, _ = repair_drawio(broken)
    check(source)
    diagram = parse_diagram(source)
    assert (len(diagram.nodes), len(diagram.edges)) == (2, 1)


def test_repairs_are_told() -> None:
    _, warnings = repair_drawio(DRAWIO.replace('source="a"', 'source="x"').replace('id="b"', 'id="a"'))
    assert len(warnings) == 2


@pytest.mark.parametrize("text", ["", "no diagram", "<mxfile></mxfile>", "<svg/>"])
def test_nothing_stays_nothing(text: str) -> None:
    assert repair_drawio(text)[0] == ""


def test_a_compressed_diagram_is_opened() -> None:
    """Packed as Draw.io does it: percent-encoded, raw deflate, base64."""
    inner = DRAWIO[DRAWIO.index("<mxGraphModel") : DRAWIO.index("</diagram>")]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = base64.b64encode(packer.compress(quote(inner, safe="").encode()) + packer.flush()).decode()
    source, warnings = repair_drawio(f'<mxfile><diagram id="x" name="P">{packed}</diagram></mxfile>')
    assert warnings == []
    check(source)
    assert parse_diagram(source) == parse_diagram(DRAWIO)


def test_a_bomb_is_cut_short() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = base64.b64encode(packer.compress(b" " * 100_000_000) + packer.flush()).decode()
    tracemalloc.start()
    try:
        assert repair_drawio(f"<mxfile><diagram>{packed}</diagram></mxfile>")[0] == ""
        assert tracemalloc.get_traced_memory()[1] < 80_000_000
    finally:
        tracemalloc.stop()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 60), st.text(max_size=4)), max_size=6))
def test_whatever_happens_to_it_it_opens_or_is_nothing(changes: list[tuple[int, int, str]]) -> None:
    text = DRAWIO
    for place, removed, added in changes:
        at = place % (len(text) + 1)
        text = text[:at] + added + text[at + removed :]
    source, _ = repair_drawio(text)
    if source:
        check(source)


def test_many_cells_without_ids_take_no_square_of_time() -> None:
    rng = random.Random(1)
    cells = "".join(f'<mxCell id="{rng.choice("ab")}" vertex="1" parent="1"/>' for _ in range(3000))
    source, _ = repair_drawio(f"<mxGraphModel><root>{cells}</root></mxGraphModel>")
    assert len(check(source).findall(".//mxCell")) == 3002
