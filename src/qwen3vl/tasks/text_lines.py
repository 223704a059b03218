"""Text with its place: from an answer of text recognition to lines and boxes in pixels.

Reads a JSON list of objects with a box and a text, and HTML whose elements have `data-bbox="x1 y1 x2 y2"`, whole or
still being written. Plain text has no places: of that, nothing is read here.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from qwen3vl.tasks.grounding import Box, box_of
from qwen3vl.tasks.loose_json import json_objects
from qwen3vl.tasks.tables import feed_html

_BOX_KEYS = ("bbox_2d", "bbox")
_TEXT_KEYS = ("text", "text_content", "content", "label")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


def parse_text_lines(text: str, width: int, height: int) -> list[Box]:
    """The lines that `text` locates in a picture of `width` x `height` pixels, in the order written.

    A box's label is the line's text. A line that is not finished is left out.
    """
    found = [box for item in json_objects(text) if (box := _line(item, width, height))]
    if found or "data-bbox" not in text:
        return found
    parser = _BoxedElements(width, height)
    feed_html(parser, text)
    return [box for box in parser.boxes if box is not None]


def _line(item: dict[str, Any], width: int, height: int) -> Box | None:
    content = next((item[key] for key in _TEXT_KEYS if isinstance(item.get(key), str)), None)
    place = next((item[key] for key in _BOX_KEYS if key in item), None)
    return None if content is None else box_of(place, width, height, content)


class _BoxedElements(HTMLParser):
    """Every element with a box and text that is its own, not that of an element with a box inside it."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(convert_charrefs=True)
        self._size = width, height
        self.boxes: list[Box | None] = []  # None until the element is closed
        self._open: list[tuple[str, int | None]] = []  # tag, and number of the box if it has one
        self._texts: dict[int, list[str]] = {}
        self._places: dict[int, list[float]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            return
        place = [float(number) for number in _NUMBER.findall(dict(attrs).get("data-bbox") or "")]
        number = None
        if len(place) == 4:
            number = len(self.boxes)
            self.boxes.append(None)
            self._texts[number], self._places[number] = [], place
        self._open.append((tag, number))

    def handle_data(self, data: str) -> None:
        inner = next((number for _, number in reversed(self._open) if number is not None), None)
        if inner is not None:
            self._texts[inner].append(data)

    def handle_endtag(self, tag: str) -> None:
        if all(opened != tag for opened, _ in self._open):
            return
        while self._open:
            opened, number = self._open.pop()
            if number is not None and (content := " ".join("".join(self._texts[number]).split())):
                self.boxes[number] = box_of(self._places[number], *self._size, content)
            if opened == tag:
                return
