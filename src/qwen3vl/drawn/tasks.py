"""The tasks of drawn samples: the family that draws each, and the keys of its `Turn.truth`.

Boxes are `[x1, y1, x2, y2]` and points `[x, y]`, integers 0..1000 of the picture's width and height; times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """`families` draw it; `truth` names the keys of a turn's truth."""

    families: tuple[str, ...]
    truth: tuple[str, ...]


PICTURES = ("shapes", "text", "screens", "documents", "web", "charts", "diagrams")
GUI = (
    "form",
    "tool",
    "action",
    "element",
    "box",
    "point",
)  # form: "tool_call" or "json"; tool: "computer_use" or "mobile_use"

TASKS: Mapping[str, Task] = {
    "describe": Task((*PICTURES, "video"), ("text",)),
    "count": Task(("shapes", "documents", "web", "diagrams", "video", "pages", "thinking"), ("count",)),
    "color": Task(("shapes",), ("color",)),
    "relation": Task(("shapes",), ("relation",)),  # left, right, above, below, yes, no
    "boxes": Task(("shapes", "screens"), ("boxes",)),  # boxes: list of {"box", "label"}
    "points": Task(("shapes", "screens"), ("points",)),  # points: list of {"point", "box", "label"}
    "gui_click": Task(("screens",), GUI),
    "gui_type": Task(("screens",), (*GUI, "text")),
    "gui_scroll": Task(("screens",), (*GUI, "direction")),
    "gui_key": Task(("screens",), (*GUI, "keys")),
    "gui_done": Task(("screens",), GUI),
    "ocr_line": Task(("text",), ("text",)),
    "ocr_page": Task(("text",), ("lines",)),
    "ocr_boxes": Task(("text",), ("boxes",)),  # boxes: list of {"box", "text"}
    "table_html": Task(("documents",), ("rows",)),  # the header is the first row
    "table_cell": Task(("documents",), ("value",)),
    "table_lookup": Task(("documents", "thinking"), ("value",)),
    "form_value": Task(("documents", "screens"), ("value",)),
    "key_values": Task(("documents",), ("fields",)),
    "receipt_total": Task(("documents", "thinking"), ("value",)),
    "html": Task(("web",), ("html",)),
    "chart_values": Task(("charts",), ("values",)),
    "chart_value": Task(("charts",), ("value",)),
    "chart_which": Task(("charts",), ("value",)),
    "drawio": Task(("diagrams",), ("nodes", "edges")),  # nodes: {"text", "box", "shape"}; edges: pairs of node indices
    "diagram_next": Task(("diagrams",), ("value",)),
    "video_events": Task(("video",), ("events",)),  # events: {"start", "end", "description"}
    "video_when": Task(("video",), ("seconds",)),
    "video_chapters": Task(("video",), ("events",)),
    "video_what": Task(("video",), ("value",)),
    "pages_question": Task(("pages",), ("page", "value")),
    "greet": Task(("chat",), ("text",)),
    "out_of_scope": Task(("chat", *PICTURES), ("text",)),
    "no_picture": Task(("chat",), ("text",)),
    "chat": Task(("chat",), ("text",)),
}
