"""What a drawn sample is: frames, and the conversation that a perfect model would have about them.

Knows nothing about fonts, families or wordings: those build these records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Language = Literal["en", "zh"]
Split = Literal["train", "held_out"]
Kind = Literal["picture", "pages", "video", "none"]


class Mark(NamedTuple):
    """Where something small was drawn: its centre in pixels of one frame, and what it is.

    ``what`` is one character for a glyph, else a name such as ``"shape:star"``, ``"color:red"``, ``"widget:button"``.
    Only an auxiliary training loss looks at these.
    """

    frame: int
    x: int
    y: int
    what: str


@dataclass(frozen=True)
class Turn:
    """One question and the one right answer.

    ``truth`` is what scoring needs, typed: boxes in 0..1000, numbers, rows of cells, events in seconds. Its keys belong
    to the task (see ``qwen3vl.drawn.tasks``).

    ``key``, ``slots`` and ``place`` are for those who ask the same in other words: the wording's key, what fills its
    slots and more of that kind, and where the answer is written, if that is known.
    """

    task: str
    question: str
    answer: str
    truth: Mapping[str, Any]
    language: Language
    key: str = ""
    slots: Mapping[str, str] = field(default_factory=dict)
    place: tuple[int, ...] | None = None  # box in 0..1000


@dataclass(frozen=True)
class Sample:
    """One to eight turns about the same frames.

    ``frames``: uint8 ``[H, W, 3]``, all of one size; empty for ``kind="none"``. ``fps`` is that of a video's frames as
    drawn and 0.0 for every other kind. With ``thinking`` every answer begins with ``<think>...</think>``. ``texts``:
    what is written on each page, where that is known; ``around``: what is said before and after each frame.
    """

    frames: tuple[NDArray[np.uint8], ...]
    kind: Kind
    fps: float
    turns: tuple[Turn, ...]
    system: str | None
    thinking: bool
    marks: tuple[Mark, ...] = ()
    texts: tuple[str, ...] = ()
    around: tuple[tuple[str, str], ...] = ()
