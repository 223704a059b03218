"""Samples as a whole: reproducible, of the sizes and turns asked for, with the truth that their task promises."""

from __future__ import annotations

import random

import numpy as np
import pytest

from qwen3vl.drawn import FAMILIES, TASKS, Sample, draw
from qwen3vl.drawn.families import MOST_TURNS, sizes
from qwen3vl.drawn.sample import Split
from qwen3vl.drawn.scene import Scene

SPLITS: tuple[Split, ...] = ("train", "held_out")
PAIRS = [(family, task) for task, entry in TASKS.items() for family in entry.families]


def samples(family: str, split: Split, count: int = 12) -> list[Sample]:
    rng = random.Random(f"{family} {split}")
    return [draw(rng, family, split=split) for _ in range(count)]


def same(a: Sample, b: Sample) -> bool:
    frames = len(a.frames) == len(b.frames) and all(map(np.array_equal, a.frames, b.frames))
    return frames and (a.turns, a.system, a.thinking, a.marks) == (b.turns, b.system, b.thinking, b.marks)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_sample(family: str) -> None:
    for seed in range(4):
        first, again, other = (draw(random.Random(s), family, split="train") for s in (seed, seed, seed + 100))
        assert same(first, again)
        assert not same(first, other)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("family", FAMILIES)
def test_frames_and_turns_are_as_promised(family: str, split: Split) -> None:
    for sample in samples(family, split):
        assert 1 <= len(sample.turns) <= MOST_TURNS
        assert {"video": len(sample.frames) >= 8, "pages": len(sample.frames) in (2, 3), "none": not sample.frames}.get(
            sample.kind, len(sample.frames) == 1
        )
        assert (sample.fps == 2.0) == (sample.kind == "video")
        for frame in sample.frames:
            height, width, channels = frame.shape
            assert frame.dtype == np.uint8
            assert channels == 3
            assert (width, height) in sizes(family, split)
            assert width % 32 == height % 32 == 0
            assert {mark.frame for mark in sample.marks} <= set(range(len(sample.frames)))
        for turn in sample.turns:
            assert turn.question.strip()
            assert turn.answer.strip() == turn.answer
            assert family in TASKS[turn.task].families
            assert set(TASKS[turn.task].truth) <= set(turn.truth)
            assert turn.language in ("en", "zh")
            assert turn.answer.startswith("<think>\n") == sample.thinking


@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_of_the_splits_are_disjoint(family: str) -> None:
    train, held_out = set(sizes(family, "train")), set(sizes(family, "held_out"))
    assert train
    assert held_out
    assert not train & held_out


@pytest.mark.parametrize(("family", "task"), PAIRS)
def test_every_family_draws_its_tasks(family: str, task: str) -> None:
    sample = draw(random.Random(task), family, split="held_out", task=task)
    assert [turn.task for turn in sample.turns] == [task]


def test_size_and_number_of_turns_can_be_chosen() -> None:
    sample = draw(random.Random(0), "text", split="train", size=(448, 256), turns=3)
    assert sample.frames[0].shape == (256, 448, 3)
    assert len(sample.turns) == 3


@pytest.mark.parametrize(("family", "task"), [("paintings", None), ("shapes", "html"), ("shapes", "paint")])
def test_what_is_not_drawn_is_refused(family: str, task: str | None) -> None:
    with pytest.raises(ValueError, match=r"paintings|does not draw"):
        draw(random.Random(0), family, split="train", task=task)


def test_turns_vary() -> None:
    asked = {turn.question for family in FAMILIES for sample in samples(family, "train") for turn in sample.turns}
    languages = {turn.language for sample in samples("shapes", "train", 20) for turn in sample.turns}
    assert len(asked) > 250
    assert languages == {"en", "zh"}


def test_training_draws_what_is_mostly_bold_in_plain_faces_too() -> None:
    def plain(split: Split) -> int:
        scene = Scene.new(random.Random(0), split, (256, 256))
        return sum(not scene.font(14, style="sans", bold=True).face.bold for _ in range(200))

    assert 20 < plain("train") < 60
    assert plain("held_out") == 0
