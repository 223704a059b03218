"""What every family builds on: the generator's state for one sample, and what its picture could answer."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qwen3vl.drawn import wording
from qwen3vl.drawn.canvas import Canvas, Color
from qwen3vl.drawn.effects import worn
from qwen3vl.drawn.fonts import Font, Style, faces, font
from qwen3vl.drawn.sample import Kind, Language, Mark, Split, Turn
from qwen3vl.drawn.words import Words

MULTIPLE = 32
LEAST, MOST = 192, 448
FEWEST_PIXELS = 256 * 256  # below that the preprocessor would enlarge the picture
SIZES = tuple(
    (width, height)
    for width in range(LEAST, MOST + 1, MULTIPLE)
    for height in range(LEAST, MOST + 1, MULTIPLE)
    if width * height >= FEWEST_PIXELS
)
_HELD_OUT_PAIRS = ((384, 224), (416, 224), (320, 288), (352, 288), (416, 288), (416, 320), (416, 352))
HELD_OUT_SIZES = (*_HELD_OUT_PAIRS, *((height, width) for width, height in _HELD_OUT_PAIRS))
TRAIN_SIZES = tuple(size for size in SIZES if size not in HELD_OUT_SIZES)

HELD_OUT_COMBINATIONS = 6

CHINESE_QUESTIONS = 0.35
PLAIN_INSTEAD = 0.2  # how often training draws what is mostly bold, such as headings, in a face that is not

T = TypeVar("T")


@dataclass(frozen=True)
class Candidate:
    """A turn that the picture could answer, and how much it wants to be asked. It is worded when it is looked at: of
    many candidates, few are asked."""

    task: str
    weight: float
    worded: Callable[[], Turn]

    @property
    def turn(self) -> Turn:
        return self.worded()


@dataclass
class Scene:
    """One sample being made. `language` is that of its questions; what stands in the picture may be in another.

    `split` holds for what is drawn and `worded` for how it is asked about.
    """

    rng: random.Random
    split: Split
    worded: Split
    size: tuple[int, int]
    language: Language
    words: Words
    kind: Kind = "picture"
    fps: float = 0.0
    system: str | None = None
    thinking: bool = False
    cue: str = ""  # said after every question
    images: list[Image.Image] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    askew: bool = False  # whether what is written stands no longer where it was put

    @classmethod
    def new(cls, rng: random.Random, split: Split, size: tuple[int, int], worded: Split | None = None) -> Scene:
        language: Language = "zh" if rng.random() < CHINESE_QUESTIONS else "en"
        return cls(rng, split, worded or split, size, language, Words(rng, split))

    def say(self, english: str, chinese: str) -> str:
        """The one of two texts that fits the question's language."""
        return english if self.language == "en" else chinese

    def pick(self, train: Sequence[T], held_out: Sequence[T]) -> T:
        """One of the options that belong to this split."""
        return self.rng.choice(train if self.split == "train" else held_out)

    def combine(self, name: str, **axes: Sequence[str]) -> dict[str, str]:
        """One option of each axis; the combination belongs to this split.

        Both splits draw every option, and one combination in `HELD_OUT_COMBINATIONS` is never trained: which ones, a
        hash of `name` and the options decides. What a sample is made of is known, and how it is put together is new.
        """
        while True:
            chosen = {axis: self.rng.choice(options) for axis, options in axes.items()}
            digest = zlib.crc32(repr((name, sorted(chosen.items()))).encode())
            if (digest % HELD_OUT_COMBINATIONS == 0) == (self.split == "held_out"):
                return chosen

    def font(self, size: int, *, chinese: bool = False, style: Style | None = None, bold: bool | None = None) -> Font:
        """A face of this split. Not every family has a bold face (the serif ones held out have none), nor does every
        site use it: in training `bold` is a wish, so that a heading is known by its size and place, too.
        """
        if bold and self.split == "train" and self.rng.random() < PLAIN_INSTEAD:
            bold = False
        return font(self.rng.choice(faces(self.split, chinese=chinese, style=style, bold=bold)), size)

    def canvas(self, background: Color, size: tuple[int, int] | None = None) -> Canvas:
        return Canvas(*(size or self.size), background, frame=len(self.images))

    def keep(self, canvas: Canvas) -> None:
        """The canvas is finished: it becomes the next frame."""
        self.images.append(canvas.image)
        self.marks.extend(canvas.marks)

    def ask(
        self,
        task: str,
        key: str,
        answer: str,
        truth: Mapping[str, Any],
        weight: float,
        box: Sequence[int] | None = None,
        /,
        **slots: str,
    ) -> None:
        """Adds a turn whose question is a wording of `key` with its slots filled; `weight` makes it likelier.

        `box` is where, in 0..1000, the answer is written. A slot that no wording has is kept for others.

        One number is drawn for the wording, whatever is made of it: the rest of the sample does not depend on it.
        """
        seed, cue = self.rng.getrandbits(64), self.cue

        def worded() -> Turn:
            question = wording.phrase(random.Random(seed), key, self.language, self.worded, slots)
            place = None if box is None or self.askew else tuple(box)
            return Turn(task, question + cue, answer, truth, self.language, key, slots, place)

        self.candidates.append(Candidate(task, weight, worded))

    def fill(self, key: str, /, **slots: str) -> str:
        """One wording of `key` as it stands, for what is said around a question."""
        return wording.fill(random.Random(self.rng.getrandbits(64)), key, self.language, self.worded, slots)

    def frames(self) -> tuple[NDArray[np.uint8], ...]:
        """The pictures as the model gets them, all worn alike; one that stands for several frames is made once."""
        seed = self.rng.random()
        made: dict[int, NDArray[np.uint8]] = {}
        for image in self.images:
            if id(image) not in made:
                made[id(image)] = worn(image, random.Random(seed))
        return tuple(made[id(image)] for image in self.images)


def listing(items: Sequence[str], language: Language) -> str:
    """`a, b and c`, or with Chinese signs."""
    if len(items) == 1:
        return items[0]
    head, last = items[:-1], items[-1]
    return f"{', '.join(head)} and {last}" if language == "en" else f"{'、'.join(head)}和{last}"


def fenced_json(items: Sequence[Mapping[str, Any]]) -> str:
    """A list of objects as the released models write it: fenced, one object a line."""
    if not items:
        return "```json\n[]\n```"
    lines = ",\n".join("\t" + json.dumps(item, ensure_ascii=False) for item in items)
    return f"```json\n[\n{lines}\n]\n```"
