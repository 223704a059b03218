"""Edits, overlap and matching against plain definitions of them."""

from __future__ import annotations

import itertools
import random

import pytest

from qwen3vl.bench.measures import box_iou, common, contains, edit_distance, match, tags_of
from qwen3vl.tasks.grounding import Box, Point
from support.drawing import iou


def levenshtein(a: str, b: str) -> int:
    """The textbook's table."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
    return row[-1]


def test_edit_distance_of_random_texts() -> None:
    rng = random.Random(1)
    for _ in range(400):
        alphabet = rng.choice(["ab", "abcdef", "甲乙 x\n"])
        a, b = ("".join(rng.choices(alphabet, k=rng.randint(0, rng.choice([3, 20, 90])))) for _ in range(2))
        assert edit_distance(a, b) == levenshtein(a, b), (a, b)


@pytest.mark.parametrize(("a", "b", "edits"), [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3)])
def test_edit_distance(a: str, b: str, edits: int) -> None:
    assert edit_distance(a, b) == edits


def test_iou_of_random_boxes() -> None:
    rng = random.Random(2)
    for _ in range(200):
        first, second = ([*sorted(rng.sample(range(20), 2)), *sorted(rng.sample(range(20), 2))] for _ in range(2))
        a, b = ((x1, y1, x2, y2) for x1, x2, y1, y2 in (first, second))
        assert box_iou(Box(*a), Box(*b)) == pytest.approx(iou(a, b))
    assert box_iou(Box(3, 3, 3, 3), Box(3, 3, 3, 3)) == 0


def test_contains() -> None:
    box = Box(10, 10, 20, 30)
    assert contains(box, Point(10, 30))
    assert not contains(box, Point(9, 20))


def test_match_is_one_to_one_and_takes_the_best_first() -> None:
    likeness = {("a", "x"): 0.9, ("a", "y"): 0.8, ("b", "x"): 0.85, ("b", "y"): 0.0, ("c", "y"): 0.2}
    pairs = match("abc", "xy", lambda f, w: likeness.get((f, w), 0.0))
    assert pairs == [("a", "x", 0.9), ("c", "y", 0.2)]
    assert match("", "xy", lambda f, w: 1.0) == []
    assert len(match("aaa", "aa", lambda f, w: 1.0)) == 2


def test_common_items_keep_their_order() -> None:
    assert common("abcd", "abxd") == 3
    assert common("ab", "ba") == 1
    for size in range(3):
        for a in itertools.product("ab", repeat=size):
            assert common(a, a) == size


def test_tags() -> None:
    assert tags_of('<!DOCTYPE html><p class="x">a<br>b<img src=y/></p></b>') == ["p", "br", "img", "/p", "/b"]
    assert tags_of("no tags < here") == []
