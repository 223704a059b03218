"""How alike two pages look: what an answer's HTML shows in a browser, against what the reference's shows.

A page is as large as the picture that was asked about. Silence, and a page that the browser fails on, are like nothing.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import PIL.Image

from qwen3vl.bench.datasets import Item
from qwen3vl.bench.scoring import Part, Parts
from qwen3vl.browser import LONGEST_SIDE, Renderer
from qwen3vl.errors import BrowserError
from qwen3vl.media.types import Image
from qwen3vl.tasks.code import find_code
from qwen3vl.tasks.similarity import similarity
from qwen3vl.tasks.thinking import split_thinking

_SIZE = (448, 448)  # where a question has no picture


class PageJudge:
    """Adds the metric `render` to answers of the task `html`. Use it as the `judge` of `evaluate`."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._shown = lru_cache(maxsize=64)(renderer.render)  # a reference is looked at in each mode

    def __call__(self, item: Item, answer: str) -> Parts:
        """Raises `BrowserError` where the reference cannot be rendered, as without a browser."""
        if item.task != "html":
            return {}
        found, wanted = _source(answer), _source(item.answer)
        size = _size(item)
        reference = self._shown(wanted, size)
        if not found or found == wanted:
            return {"render": Part(float(found == wanted))}
        try:
            return {"render": Part(similarity(self._renderer.render(found, size), reference))}
        except BrowserError:
            return {"render": Part(0.0)}


def _source(text: str) -> str:
    answer = split_thinking(text).answer
    block = find_code(answer, "html")
    return block.source if block else answer


def _size(item: Item) -> tuple[int, int]:
    pictures = [part["image"] for part in item.messages[-1]["content"] if part["type"] == "image"]
    if not pictures:
        return _SIZE
    if isinstance(pictures[0], Image):
        size = (pictures[0].width, pictures[0].height)
    else:
        with PIL.Image.open(Path(pictures[0])) as picture:
            size = picture.size
    return min(size[0], LONGEST_SIDE), min(size[1], LONGEST_SIDE)
