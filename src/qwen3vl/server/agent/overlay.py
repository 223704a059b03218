"""What a step would do, drawn over the picture of the page: the target, a crosshair, and what would be typed.

Made as a small document that the browser paints, because it has the fonts for whatever is typed.
"""

from __future__ import annotations

import base64
from html import escape

from qwen3vl.browser.session import Observation
from qwen3vl.server.agent.acting import in_words, place_of
from qwen3vl.tasks.results import BoxMark, Step

_INK = "#e11d48"
_ARROWS = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}
_STYLE = (
    "*{margin:0}body{position:relative;overflow:hidden;font:600 15px/1.35 system-ui,sans-serif}"
    "img,svg{position:absolute;left:0;top:0}"
    f"p{{position:absolute;max-width:60%;padding:4px 9px;border-radius:6px;background:{_INK};color:#fff;"
    "box-shadow:0 1px 6px #0006;white-space:pre-wrap;overflow-wrap:anywhere}"
)


def overlay_html(view: Observation, step: Step) -> str:
    """A document of the window's size."""
    width, height = view.width, view.height
    place, end = place_of(step.target), place_of(step.end)
    shapes = []
    if isinstance(step.target, BoxMark):
        x1, y1, x2, y2 = step.target.pixels
        box = f'x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}"'
        shapes.append(f'<rect {box} rx="4" fill="{_INK}" fill-opacity=".14"/>')
    if place is not None:
        x, y = place
        for radius in (16, 3):
            shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>')
        for dx, dy in _ARROWS.values():
            ends = (x + 8 * dx, y + 8 * dy, x + 26 * dx, y + 26 * dy)
            shapes.append('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'.format(*ends))
    if step.action == "scroll" and step.direction in _ARROWS:
        dx, dy = _ARROWS[step.direction]
        x, y = place or (width / 2, height / 2)
        place, end = (x - 60 * dx, y - 60 * dy), (x + 60 * dx, y + 60 * dy)
    if place is not None and end is not None:
        ends = (*place, *end)
        shapes.append(
            '<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke-width="4" marker-end="url(#tip)"/>'.format(
                *ends
            )
        )
    tip = (
        '<marker id="tip" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="5" markerHeight="5" orient="auto">'
        f'<path d="M0 0 10 5 0 10z" fill="{_INK}" stroke="none"/></marker>'
    )
    picture = base64.b64encode(view.png).decode()
    return (
        f'<!doctype html><meta charset="utf-8"><style>{_STYLE}</style><body style="width:{width}px;height:{height}px">'
        f'<img src="data:image/png;base64,{picture}" width="{width}" height="{height}">'
        f'<svg width="{width}" height="{height}" fill="none" stroke="{_INK}" stroke-width="2.5">'
        f"<defs>{tip}</defs>{''.join(shapes)}</svg>"
        f'<p style="{_beside(place, width, height)}">{escape(in_words(step))}</p>'
    )


def _beside(place: tuple[float, float] | None, width: int, height: int) -> str:
    """Where the caption stands: below the target and to its right, or where there is more room."""
    if place is None:
        return "left:12px;bottom:12px"
    x, y = place
    across = f"left:{x + 20:.0f}px" if x < width * 0.55 else f"right:{width - x + 20:.0f}px"
    down = f"top:{y + 20:.0f}px" if y < height * 0.7 else f"bottom:{height - y + 20:.0f}px"
    return f"{across};{down}"
