"""What the page can show beside a conversation. A panel is an ES module in this folder and a line in `PANELS`.

The module's default export is an object:

    applies(view)              whether it has something to show; `view` is `turns.result_view` and the question
    opens(view)                whether that is worth opening the results for; left out: always
    render(element, view, ui)  fills an empty element, once; may return a function that takes a later view of the same
                               answer, for a panel that should not be built anew while an answer grows

A panel of a task that is more than one answer (a session, an index) brings a router with its own routes; `session` says
that it is shown when its task is chosen in the composer, before there is an answer, by `start(element, ui)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter

if TYPE_CHECKING:
    from qwen3vl.server import Services

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Panel:
    """`name` is its module's and, as `panel_<name>`, its title's among the texts."""

    name: str
    session: str | None = None  # the task that it belongs to
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
)
"""In the order of their tabs; the first that applies is shown first."""
