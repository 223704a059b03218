"""What the page can show beside a conversation. A panel is an ES module in this folder and a line in `PANELS`.

The module's default export is an object:

    applies(view)              whether it has something to show; `view` is `turns.result_view` and the question
    opens(view)                whether that is worth opening the results for; left out: always
    render(element, view, ui)  fills an empty element, once; may return a function that takes a later view of the same
                               answer, for a panel that should not be built anew while an answer grows

What is more than one answer (an agent at work, the index of a long video) is a place of its own beside the
conversations, with the middle of the page for itself. Its module's default export has other names:

    icon                       of its entry at the side, from `static/dom.js`
    open(element, id, ui)      fills an empty element with the place, or with what `id` names in it; returns an object
                               with close(), and if it can do with them takeFiles(files) and escape()
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter

from qwen3vl.webui.panels.videos import videos_router

if TYPE_CHECKING:
    from qwen3vl.server import Services

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Panel:
    """`name` is its module's and, as `panel_<name>`, its title's among the texts."""

    name: str
    place: tuple[str, ...] | None = None  # of a place: the tasks whose users it may serve better
    router: Callable[[Services], APIRouter] | None = None


PANELS: tuple[Panel, ...] = (
    Panel("picture"),
    Panel("timeline"),
    Panel("pages"),
    Panel("preview"),
    Panel("diagram"),
    Panel("table"),
    Panel("text"),
    Panel("data"),
    Panel("agent", place=("gui_agent",)),
    Panel("videos", place=("video_events", "video_when", "video_summary"), router=videos_router),
)
"""In the order of their tabs, of which the first that applies is shown first, and of the places at the side."""
