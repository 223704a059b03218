"""The manner of questions: what is put around them, and what careless typing does to them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from qwen3vl.drawn.manner import HELD_OUT_POLITE, POLITE, around, careless, polite
from qwen3vl.drawn.sample import Language

LANGUAGES: tuple[Language, ...] = ("en", "zh")
TEXTS = {"en": "Where exactly is the [thing] shown?", "zh": "[thing]在哪里，你看到了吗？"}


def manners(language: Language) -> Iterator[str]:
    rng = random.Random(3)
    return (careless(rng, TEXTS[language], language) for _ in range(3000))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_is_most_often_typed_with_care_and_its_slot_always_stays(language: Language) -> None:
    typed = list(manners(language))
    assert 0.6 < typed.count(TEXTS[language]) / len(typed) < 0.8
    assert all("[thing]" in text for text in typed)
    assert len(set(typed)) >= 10


def test_slips_are_of_one_letter_inside_of_a_word() -> None:
    plain = TEXTS["en"].lower()
    slips = {text for text in manners("en") if len(text) >= len(plain) - 1 and text[-1] == "?" and "  " not in text}
    slips = {text for text in slips if text.lower() != plain and not text.endswith((" ?", "??"))}
    assert any(len(text) < len(plain) for text in slips)
    assert any(len(text) == len(plain) for text in slips)
    for text in slips:
        changed = [(a, b) for a, b in zip(text.split(), TEXTS["en"].split(), strict=True) if a != b]
        assert len(changed) == 1
        typed, meant = changed[0]
        assert typed[0] == meant[0]
        assert len(typed) in (len(meant) - 1, len(meant))


@pytest.mark.parametrize("language", LANGUAGES)
def test_some_politeness_is_held_out(language: Language) -> None:
    rng = random.Random(5)
    trained = {polite(rng, "[thing]", language, "train") for _ in range(3000)}
    asked = {polite(rng, "[thing]", language, "held_out") for _ in range(3000)}
    assert trained < asked
    assert len(asked - trained) == len(HELD_OUT_POLITE[language])
    assert len(POLITE[language]) >= 40


def test_a_question_and_what_stands_around_it_are_sentences() -> None:
    assert around("Hey, *", "Read it.", "en") == "Hey, read it."
    assert around("Hey! *", "Read it.", "en") == "Hey! Read it."
    assert around("Hey, *", "OCR", "en") == "Hey, OCR"
    assert around("* Thanks.", "Total", "en") == "Total. Thanks."
    assert around("*谢谢。", "总计", "zh") == "总计。谢谢。"
    assert not re.search(r"\*", around("* It is urgent.", "5 [a]?", "en"))
