"""From a family's name to a sample: draws the scene, then chooses which of its possible turns are asked."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from qwen3vl.drawn import pages, video
from qwen3vl.drawn.charts import charts
from qwen3vl.drawn.chat import ask_out_of_scope, chat
from qwen3vl.drawn.diagrams import diagrams
from qwen3vl.drawn.documents import documents
from qwen3vl.drawn.sample import Sample, Split, Turn
from qwen3vl.drawn.scene import HELD_OUT_SIZES, TRAIN_SIZES, Candidate, Scene
from qwen3vl.drawn.screens import screens
from qwen3vl.drawn.shapes import shapes
from qwen3vl.drawn.tasks import PICTURES, TASKS
from qwen3vl.drawn.text import text
from qwen3vl.drawn.thinking import thinking
from qwen3vl.drawn.web import web

MOST_TURNS = 8
TRIES = 500  # scenes drawn in search of a task before giving up
PLAIN_SYSTEM = 0.15  # how many samples have a system prompt that changes nothing
OUT_OF_SCOPE = 0.1  # how many pictures could also be asked something that nobody can see in them


@dataclass(frozen=True)
class Family:
    """How a family draws, and its sizes (width, height) in pixels."""

    fill: Callable[[Scene], None]
    train: tuple[tuple[int, int], ...] = TRAIN_SIZES
    held_out: tuple[tuple[int, int], ...] = HELD_OUT_SIZES


_FAMILIES = {
    "shapes": Family(shapes),
    "text": Family(text),
    "screens": Family(screens),
    "documents": Family(documents),
    "web": Family(web),
    "video": Family(video.video, video.SIZES, video.HELD_OUT_SIZES),
    "charts": Family(charts),
    "diagrams": Family(diagrams),
    "pages": Family(pages.pages, pages.SIZES, pages.HELD_OUT_SIZES),
    "chat": Family(chat),
    "thinking": Family(thinking),
}
FAMILIES: tuple[str, ...] = tuple(_FAMILIES)


def sizes(family: str, split: Split) -> tuple[tuple[int, int], ...]:
    """The (width, height) in which a family's frames are drawn."""
    return _FAMILIES[family].train if split == "train" else _FAMILIES[family].held_out


def draw(
    rng: random.Random,
    family: str,
    *,
    split: Split,
    worded: Split | None = None,
    size: tuple[int, int] | None = None,
    turns: int | None = None,
    task: str | None = None,
) -> Sample:
    """One sample of a family. `size` is (width, height); `turns` how many to ask, fewer if the picture gives no more.

    `worded` is the split of the questions' wordings where that is another than the split of all else.

    With `task`, only turns of that task are asked, one unless `turns` says more. Raises `ValueError` for a family that
    is not in `FAMILIES`, or does not draw `task`.
    """
    if family not in _FAMILIES:
        raise ValueError(f"no family {family!r}; there are {', '.join(FAMILIES)}")
    if task is not None and (task not in TASKS or family not in TASKS[task].families):
        raise ValueError(f"the family {family!r} does not draw the task {task!r}")
    for _ in range(TRIES):
        scene = Scene.new(rng, split, size or rng.choice(sizes(family, split)), worded)
        _FAMILIES[family].fill(scene)
        wanted_here = task == "out_of_scope" or rng.random() < OUT_OF_SCOPE
        if wanted_here and family in PICTURES:
            ask_out_of_scope(scene, 1.0)
        candidates = [c for c in scene.candidates if task in (None, c.task)]
        if candidates:
            return _sample(scene, _choose(rng, candidates, turns or (1 if task else rng.randint(1, MOST_TURNS))))
    raise AssertionError(f"{TRIES} scenes of {family!r} without {task!r}")


def _sample(scene: Scene, turns: tuple[Turn, ...]) -> Sample:
    if scene.system is None and scene.rng.random() < PLAIN_SYSTEM:
        scene.system = scene.fill("system_plain")
    frames = scene.frames()
    return Sample(
        frames, scene.kind, scene.fps, turns, scene.system, scene.thinking, tuple(scene.marks), tuple(scene.texts)
    )


def _choose(rng: random.Random, candidates: list[Candidate], wanted: int) -> tuple[Turn, ...]:
    """`wanted` of the candidates in random order, heavier ones more likely (weighted sampling by exponential keys)."""
    ranked = sorted(candidates, key=lambda candidate: -(rng.random() ** (1.0 / candidate.weight)))
    return tuple(candidate.turn for candidate in ranked[:wanted])
