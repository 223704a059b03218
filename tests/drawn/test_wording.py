"""Wordings: many, apart from each other between the splits, and with the slots that their family fills."""

from __future__ import annotations

import random
import re

import pytest

from qwen3vl.drawn import wording
from qwen3vl.drawn.sample import Language, Split

LANGUAGES: tuple[Language, ...] = ("en", "zh")
SPLITS: tuple[Split, ...] = ("train", "held_out")
# System prompts and what is said after a question: these are not questions.
MANNERS = ("system_", "think_", "gui_system_", "gui_cue_")
QUESTIONS = [key for key in wording.questions() if not key.startswith(MANNERS)]


def texts(key: str, language: Language, split: Split) -> set[str]:
    patterns = wording.patterns(key, language, split)
    return {re.sub(r"[\s?.!。？！，,]", "", text).lower() for p in patterns for text in wording.expansions(p)}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", QUESTIONS)
def test_each_question_has_many_wordings(key: str, language: Language) -> None:
    assert len(texts(key, language, "train")) >= 20
    assert len(texts(key, language, "held_out")) >= 6


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", wording.questions())
def test_held_out_wordings_are_never_trained(key: str, language: Language) -> None:
    trained = {text for other in wording.questions() for text in texts(other, language, "train")}
    assert not texts(key, language, "held_out") & trained


@pytest.mark.parametrize("key", wording.questions())
def test_all_wordings_of_a_question_are_well_formed(key: str) -> None:
    slots = {
        slot
        for language in LANGUAGES
        for split in SPLITS
        for pattern in wording.patterns(key, language, split)
        for slot in re.findall(r"\[(\w+)\]", pattern)
    }
    for language in LANGUAGES:
        for split in SPLITS:
            for pattern in wording.patterns(key, language, split):
                assert pattern.count("{") == pattern.count("}")
                bare = re.sub(r"\{[^{}]*\}", "", pattern)
                assert "|" not in bare, f"an alternative outside braces in {pattern!r}"
    rng = random.Random(1)
    for language in LANGUAGES:
        filled = wording.phrase(rng, key, language, "train", {slot: "Xx 12" for slot in slots})
        assert not re.search(r"[\[\]{}|]", filled), filled


def test_chinese_wordings_are_chinese_and_english_ones_are_not() -> None:
    for key in wording.questions():
        for split in SPLITS:
            for pattern in wording.patterns(key, "en", split):
                assert not re.search("[\u4e00-\u9fff]", pattern), pattern
            for pattern in wording.patterns(key, "zh", split):
                assert re.search("[\u4e00-\u9fff]", pattern) or pattern == " {/think|<think>}", pattern


def test_carelessness_changes_the_words_but_never_what_they_are_about() -> None:
    rng = random.Random(2)
    asked = [wording.phrase(rng, "gui_click", "en", "train", {"target": "SaVe", "after": ""}) for _ in range(400)]
    assert all("SaVe" in text for text in asked)
    assert any(text.isupper() for text in (text.replace("SaVe", "") for text in asked))
    assert any(text[0].islower() for text in asked)
    assert len(set(asked)) > 60
