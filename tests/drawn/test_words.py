"""Words: which split they belong to, and that there are enough of them."""

from __future__ import annotations

import random
import re
from importlib import resources

from qwen3vl.drawn.sample import Split
from qwen3vl.drawn.words import Words, characters, chinese, english, pairs, split_of


def drawn_words(split: Split, count: int = 3000) -> set[str]:
    words = Words(random.Random(5), split)
    return {words.word() for _ in range(count)} | {words.short(6) for _ in range(count)}


def test_english_words_of_the_splits_are_disjoint_made_up_ones_too() -> None:
    train, held_out = drawn_words("train"), drawn_words("held_out")
    assert not train & held_out
    assert not train & set(english("held_out"))
    assert len(train - set(english("train"))) > 500, "no made-up words among them"


def test_case_does_not_move_a_word_to_the_other_split() -> None:
    words = Words(random.Random(6), "held_out")
    assert all(split_of(words.cased()) == "held_out" for _ in range(500))


def test_chinese_words_of_the_splits_are_disjoint() -> None:
    train, held_out = Words(random.Random(7), "train"), Words(random.Random(7), "held_out")
    pairs_of = {name: {w.zh(2, 2) for _ in range(3000)} for name, w in (("train", train), ("held_out", held_out))}
    assert not pairs_of["train"] & pairs_of["held_out"]
    assert not set(chinese("train")) & set(chinese("held_out"))


def test_there_are_enough_words_and_the_lists_are_small() -> None:
    assert len(english("train")) > 20_000
    assert len(characters()) >= 1_200
    assert len(set(characters())) == len(characters())
    data = resources.files("qwen3vl.drawn").joinpath("data")
    packed = [file for file in data.iterdir() if file.name.endswith(".xz")]
    assert sum(len(file.read_bytes()) for file in packed) < 150_000


def test_chinese_characters_are_common_ones_of_gb2312() -> None:
    outside = [c for c in characters() if not 0xB0 <= c.encode("gb2312")[0] <= 0xD7]
    assert len(outside) < 10  # a few that the questions themselves need


def test_lengths_are_kept() -> None:
    words = Words(random.Random(8), "train")
    for _ in range(300):
        assert len(words.zh(3, 5)) in (3, 4, 5)
        assert 2 <= len(words.short(5)) <= 5
        assert re.fullmatch(r"\d+\.\d\d", words.price())


def test_the_vocabulary_of_interfaces_is_drawable() -> None:
    drawn = set(characters())
    groups = ("buttons", "fields", "checks", "places", "menus", "columns", "row_names", "titles")
    for english_text, chinese_text in (pair for group in groups for pair in pairs(group)):
        assert english_text.isascii()
        assert set(chinese_text) <= drawn, chinese_text
