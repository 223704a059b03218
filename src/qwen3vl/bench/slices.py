"""Parts of a task that are measured for themselves: by what script the right answer is in, or what it holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qwen3vl.tasks.actions import parse_actions
from qwen3vl.tasks.grounding import SCALE, Box

_HAN = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Slice:
    """Of a task's questions, those whose reference `holds` takes."""

    task: str
    meaning: str
    holds: Callable[[str], bool]


def _chinese(reference: str) -> bool:
    return _HAN.search(reference) is not None


def _latin(reference: str) -> bool:
    return not _chinese(reference)


def _boxed(reference: str) -> bool:
    return any(isinstance(action.target, Box) for action in parse_actions(reference, SCALE, SCALE))


SLICES: Mapping[str, Slice] = {
    "ocr_line/latin": Slice("ocr_line", "lines without a Chinese character", _latin),
    "ocr_line/chinese": Slice("ocr_line", "lines with a Chinese character", _chinese),
    "ocr_page/latin": Slice("ocr_page", "pages without a Chinese character", _latin),
    "ocr_page/chinese": Slice("ocr_page", "pages with a Chinese character", _chinese),
    "gui_click/box": Slice("gui_click", "clicks that are asked for as a box with its text", _boxed),
}
