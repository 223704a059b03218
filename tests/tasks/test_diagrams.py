"""Draw.io documents as its editor saves them, and while a model writes them."""

from __future__ import annotations

import pytest

from qwen3vl.tasks.diagrams import Diagram, Edge, Node, parse_diagram

MODEL = (
    '<mxGraphModel><root><mxCell id="0"/><mxCell id="1" parent="0"/>'
    '<mxCell id="2" value="Start &amp;amp; go" style="ellipse" vertex="1" parent="1">'
    '<mxGeometry x="10" y="20" width="100" height="40" as="geometry"/></mxCell>'
    '<mxCell id="3" value="&lt;b&gt;End&lt;/b&gt;" vertex="1" parent="1">'
    '<mxGeometry x="10" y="90" width="100" height="40"/></mxCell>'
    '<mxCell id="4" value="yes" edge="1" source="2" target="3" parent="1"><mxGeometry relative="1"/></mxCell>'
    "</root></mxGraphModel>"
)
DIAGRAM = Diagram(
    (Node("2", "Start & go", (10, 20, 110, 60)), Node("3", "End", (10, 90, 110, 130))), (Edge("2", "3", "yes"),)
)


@pytest.mark.parametrize(
    "text",
    [
        MODEL,
        f"Here it is:\n```xml\n{MODEL}\n```",
        f"```xml\n<mxfile><diagram name='p'>{MODEL}</diagram></mxfile>\n```",
    ],
)
def test_parse(text: str) -> None:
    assert parse_diagram(text) == DIAGRAM


def test_a_growing_diagram() -> None:
    for end in range(len(MODEL) + 1):
        seen = parse_diagram(MODEL[:end])
        assert seen.nodes == DIAGRAM.nodes[: len(seen.nodes)]
        assert seen.edges == DIAGRAM.edges[: len(seen.edges)]
    assert seen == DIAGRAM


@pytest.mark.parametrize("text", ["", "no diagram", "```xml\n<a/>\n```", "```html\n<html></html>\n```"])
def test_no_diagram(text: str) -> None:
    assert parse_diagram(text) == Diagram((), ())


def test_an_entity_stays_what_it_is() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]>' + MODEL.replace("End", "&a;")
    assert [node.text for node in parse_diagram(f"```xml\n{bomb}\n```").nodes] == ["Start & go", "&a;"]
