"""Fences as models write them, documents without any, and both while they grow."""

from __future__ import annotations

import pytest

from qwen3vl.tasks.code import Code, find_code, parse_code

PAGE = "<!DOCTYPE html>\n<html>\n<body><p>Hello</p></body>\n</html>"
DIAGRAM = '<mxGraphModel><root><mxCell id="0"/></root></mxGraphModel>'

READ: dict[str, tuple[str, list[Code]]] = {
    "fenced": (f"Here you are:\n```html\n{PAGE}\n```\nEnjoy!", [Code("html", PAGE, True)]),
    "no language": (f"```\n{PAGE}\n```", [Code("", PAGE, True)]),
    "upper case, other name": ("```PY\nprint(1)\n```", [Code("python", "print(1)", True)]),
    "two blocks": (
        "```python\nx = 1\n```\nand\n```xml\n<a/>\n```",
        [Code("python", "x = 1", True), Code("xml", "<a/>", True)],
    ),
    "left open": ("```html\n<html>\n<bo", [Code("html", "<html>\n<bo", False)]),
    "half an end": ("```html\n<html>\n``", [Code("html", "<html>", False)]),
    "ticks inside a line": ("```python\ns = '```'\n```", [Code("python", "s = '```'", True)]),
    "indented": ("  ```python\n  x = 1\n  ```", [Code("python", "  x = 1", True)]),
    "empty": ("```html\n```", [Code("html", "", True)]),
    "bare page": (f"Sure. {PAGE} Done.", [Code("html", PAGE, True)]),
    "bare page, cut off": ("<html><body", [Code("html", "<html><body", False)]),
    "bare diagram": (f"{DIAGRAM}\n", [Code("xml", DIAGRAM, True)]),
    "prose": ("There is no code < in `this` answer.", []),
    "nothing": ("", []),
}


@pytest.mark.parametrize("name", READ)
def test_parse(name: str) -> None:
    text, blocks = READ[name]
    assert parse_code(text) == blocks


def test_the_language_asked_for() -> None:
    text = READ["two blocks"][0]
    assert find_code(text, "xml") == Code("xml", "<a/>", True)
    assert find_code(text, "html") is None
    assert find_code(READ["no language"][0], "html") == Code("", PAGE, True)


@pytest.mark.parametrize("name", ["fenced", "bare page", "no language"])
def test_a_growing_block_only_grows(name: str) -> None:
    text = READ[name][0]
    seen = ""
    for end in range(len(text) + 1):
        if block := find_code(text[:end], "html"):
            assert PAGE.startswith(block.source)
            assert len(block.source) >= len(seen)
            seen = block.source
    assert seen == PAGE
