"""Fragments are what wordings and formats have in common, and nothing of what they speak about."""

from __future__ import annotations

import random
import re

import pytest

from training.fragments import choose_characters, choose_fragments
from training.vocabulary import Vocabulary

KNOWN = {"What", "is", "the", "price", "of", "wide", "and", "high", "bbox_", "d", "label"}


def texts() -> list[str]:
    rng = random.Random(0)

    def word() -> str:
        return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6))

    made = []
    for _ in range(600):
        made.append(f"What is the price of {word()}?")
        made.append(f'{{"bbox_2d": [{rng.randint(0, 999)}, {rng.randint(0, 999)}], "label": "{word()}"}}')
        made.append(f"{word()} {word()}\n{word()}")
        made.append(f"{rng.randint(0, 999)}px wide and high")
    return made


@pytest.fixture(scope="module")
def fragments() -> list[str]:
    return choose_fragments(texts(), 12)


def test_finds_wordings_and_formats(fragments: list[str]) -> None:
    assert "What is the price of " in fragments
    assert '{"bbox_2d": [' in fragments
    assert '], "label": "' in fragments
    assert " wide and high" in fragments  # without what starts behind a digit, in the middle of a word
    assert len(fragments) <= 12


def test_holds_no_words_of_the_content(fragments: list[str]) -> None:
    for fragment in fragments:
        assert not fragment[0].islower()
        assert not any(character.isdigit() for character in fragment.replace("bbox_2d", ""))
        assert set(re.findall("[A-Za-z_]+", fragment)) <= KNOWN


def test_shortens_what_it_was_chosen_for(fragments: list[str]) -> None:
    plain, short = Vocabulary("", []), Vocabulary("", fragments)
    characters = sum(map(len, texts()))
    assert sum(len(plain.encode(text)) for text in texts()) == characters
    assert sum(len(short.encode(text)) for text in texts()) < 0.62 * characters


def test_characters_are_the_known_and_the_frequent() -> None:
    seen = ["图，龙", "图，", "图，£", "图，£", "图，££££", "£"]
    assert choose_characters(seen, "图的") == ["图", "的", "，"]
