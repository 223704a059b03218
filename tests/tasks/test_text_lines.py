"""Lines with their boxes, from JSON and from HTML."""

from __future__ import annotations

import pytest

from qwen3vl.tasks.grounding import Box
from qwen3vl.tasks.text_lines import parse_text_lines

# On a picture of 200 x 100, so that 1000 becomes 200 or 100.
LINES = [Box(20, 20, 60, 40, "Team meeting"), Box(20, 50, 80, 60, "会议 14:30")]
JSON = (
    '```json\n[\n\t{"bbox_2d": [100, 200, 300, 400], "text": "Team meeting"},\n'
    '\t{"bbox_2d": [100, 500, 400, 600], "text": "会议 14:30"}\n]\n```'
)
HTML = (
    '<html><body>\n<h1 data-bbox="100 200 300 400">Team <b>meeting</b></h1>\n<img data-bbox="0 0 9 9"/>'
    '<p data-bbox="100 500 400 600">会议 14:30</p></body></html>'
)

READ: dict[str, tuple[str, list[Box]]] = {
    "list": (JSON, LINES),
    "another name": ('[{"bbox_2d": [100, 200, 300, 400], "text_content": "Team meeting"}]', LINES[:1]),
    "cut off": (JSON[: JSON.index("14:30")], LINES[:1]),
    "html": (HTML, LINES),
    "html, nested": (
        '<div data-bbox="0 0 1000 1000"><p data-bbox="100 200 300 400">Team meeting</p></div>',
        LINES[:1],
    ),
    "html, a picture in a line": (
        '<p data-bbox="100 200 300 400">Team <img data-bbox="0 0 9 9"> meeting</p>',
        LINES[:1],
    ),
    "html, an end that nothing opened": (f"</section>{HTML}", LINES),
    "html, a box that is none": ('<p data-bbox="1 2 3">Team</p>', []),
    "plain text": ("Team meeting\n会议 14:30", []),
    "nothing": ("", []),
}


@pytest.mark.parametrize("name", READ)
def test_parse(name: str) -> None:
    text, lines = READ[name]
    assert parse_text_lines(text, 200, 100) == lines


@pytest.mark.parametrize("text", [JSON, HTML])
def test_growing_lines_never_get_lost(text: str) -> None:
    counts = []
    for end in range(len(text) + 1):
        seen = parse_text_lines(text[:end], 200, 100)
        assert seen == LINES[: len(seen)]
        counts.append(len(seen))
    assert counts == sorted(counts)
    assert counts[-1] == 2
