"""The stage: the pictures in question as HTML, with the boxes and points of the answer laid over one of them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from qwen3vl.tasks.grounding import Box, Mark, colour_of
from qwen3vl.webui.texts import Texts
from qwen3vl.webui.views import View


def stage_html(views: Sequence[View], texts: Texts, marks: Sequence[Mark] = (), target: int = 0) -> str:
    """All of `views`, with `marks`, in pixels of `views[target]`, over that one; an invitation if there are none."""
    if not views:
        return (
            '<div class="stage empty"><div class="drop-icon" aria-hidden="true"></div>'
            f"<p><strong>{escape(texts.drop_title)}</strong><br>{escape(texts.drop_hint)}</p>"
            f'<button type="button" class="browse">{escape(texts.browse)}</button></div>'
        )
    figures = (_figure(view, texts, marks if number == target else ()) for number, view in enumerate(views))
    return f'<div class="stage{" several" if len(views) > 1 else ""}">{"".join(figures)}</div>'


def _figure(view: View, texts: Texts, marks: Sequence[Mark]) -> str:
    name, url = escape(view.name), escape(view.url)
    if view.moves != "no":
        shown = (
            f'<video src="{url}" controls muted></video>'
            if view.moves == "as video"
            else f'<img src="{url}" alt="{name}">'
        )
        return f'<figure><div class="picture">{shown}</div><figcaption>{name}</figcaption></figure>'
    overlay = "".join(_mark(mark, colour_of(mark, marks), view.width, view.height) for mark in marks)
    size = escape(texts.picture_size.format(width=view.width, height=view.height, tokens=view.tokens))
    return (
        f'<figure><div class="picture" style="--ratio:{view.width / view.height:.5f}">'
        f'<img src="{url}" alt="{name}" width="{view.width}" height="{view.height}">{overlay}</div>'
        f"<figcaption>{name} <span>{size}</span></figcaption></figure>"
    )


def _mark(mark: Mark, colour: str, width: int, height: int) -> str:
    """Placed in percent, so that it stays right at any size of the picture on the screen."""
    label = escape(mark.label)
    if isinstance(mark, Box):
        where = f"{mark.x1:.0f}, {mark.y1:.0f} – {mark.x2:.0f}, {mark.y2:.0f}"
        place = (
            f"left:{mark.x1 / width:.3%};top:{mark.y1 / height:.3%};"
            f"width:{(mark.x2 - mark.x1) / width:.3%};height:{(mark.y2 - mark.y1) / height:.3%}"
        )
        kind = "box low" if mark.y1 < 0.08 * height else "box"
    else:
        where = f"{mark.x:.0f}, {mark.y:.0f}"
        place = f"left:{mark.x / width:.3%};top:{mark.y / height:.3%}"
        kind = "point"
    tag = f"<span>{label}</span>" if label else ""
    title = f"{label}  ({where})" if label else where
    return f'<div class="mark {kind}" style="--mark:{colour};{place}" title="{title}">{tag}</div>'
