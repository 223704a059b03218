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
DRAWS = 1000


def texts(key: str, language: Language, split: Split, draws: int = DRAWS) -> list[str]:
    rng = random.Random(f"{key}/{language}")
    return [wording.unfilled(rng, key, language, split) for _ in range(draws)]


def slots(text: str) -> set[str]:
    return set(re.findall(r"\[([a-z_]+)\]", text)) - {"after"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", QUESTIONS)
def test_each_question_has_many_wordings(key: str, language: Language) -> None:
    trained = set(map(wording.core, texts(key, language, "train")))
    assert len(trained) >= 330
    assert len(set(map(wording.core, texts(key, language, "held_out")))) >= 10


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_said_around_questions_has_many_wordings(language: Language) -> None:
    for key in set(wording.questions()) - set(QUESTIONS):
        assert len(set(texts(key, language, "train"))) >= 40, key
        assert len(wording.patterns(key, language, "train")) >= 8, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_lies_out_of_scope_is_as_wide_as_the_world(language: Language) -> None:
    assert len(wording.patterns("out_of_scope", language, "train")) >= 75
    assert len(set(texts("out_of_scope", language, "train"))) >= 600


@pytest.mark.parametrize("language", LANGUAGES)
def test_held_out_wordings_are_never_trained(language: Language) -> None:
    every = [pattern for key in wording.questions() for pattern in wording.patterns(key, language, "held_out")]
    held_out = {wording.core(text) for pattern in every for text in wording.expansions(pattern)}
    for key in wording.questions():
        assert not held_out & set(map(wording.core, texts(key, language, "train", 300))), key


def test_wordings_that_differ_in_signs_and_politeness_are_the_same() -> None:
    assert wording.core('Read "[text]", please!') == wording.core("read [text]")
    assert wording.core("请问“[text]”在哪里？") == wording.core("[text]在哪里")
    assert wording.core("read [text]") != wording.core("read [which]")


@pytest.mark.parametrize("key", wording.questions())
def test_all_wordings_of_a_question_ask_for_the_same(key: str) -> None:
    """Each training text has all the slots of the question, which the held-out patterns name."""
    known = {slot for language in LANGUAGES for p in wording.patterns(key, language, "held_out") for slot in slots(p)}
    needed = {"table_lookup": {"column", "value"}}.get(key, known)
    for language in LANGUAGES:
        for text in texts(key, language, "train"):
            assert not re.search(r"[{}|$*]", text) or key == "out_of_scope", text
            assert slots(text) <= known, text
            if key in QUESTIONS and key != "out_of_scope":
                assert slots(text) >= needed, text


@pytest.mark.parametrize("key", QUESTIONS)
def test_filled_wordings_have_no_open_slot(key: str) -> None:
    rng, filling = random.Random(1), dict.fromkeys(("after", *_all_slots(key)), "Xx 12")
    for language in LANGUAGES:
        for split in SPLITS:
            filled = wording.phrase(rng, key, language, split, filling)
            assert not re.search(r"[\[\]{}|]", filled), filled


def _all_slots(key: str) -> set[str]:
    return {
        slot for language in LANGUAGES for split in SPLITS for t in texts(key, language, split) for slot in slots(t)
    }


def test_chinese_wordings_are_chinese_and_english_ones_are_not() -> None:
    for key in wording.questions():
        for split in SPLITS:
            for text in texts(key, "en", split, 200):
                assert not re.search("[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]", text), text
            for pattern in wording.patterns(key, "zh", split):
                assert re.search("[\u4e00-\u9fff]", pattern) or not re.search("[a-z]{2}", _without_names(pattern))


def _without_names(pattern: str) -> str:
    """Without pieces, slots and the two switches of thinking."""
    return re.sub(r"\$[a-z_]+|\[[a-z_]+\]|/think|<think>|^(do|know|get): ", "", pattern)


def test_what_is_said_after_a_question_stands_at_its_end() -> None:
    rng = random.Random(4)
    for split in SPLITS:
        for _ in range(200):
            asked = wording.phrase(rng, "gui_click", "en", split, {"target": "Save", "after": " In JSON."})
            assert asked.count("Save") == 1, asked
            assert asked.endswith(" In JSON."), asked
            assert asked.count("JSON") == 1, asked


def test_carelessness_changes_the_words_but_never_what_they_are_about() -> None:
    rng = random.Random(2)
    for language in LANGUAGES:
        for split in SPLITS:
            slots = {"target": "SaVe  twice", "text": "Don't. PANIC?", "after": ""}
            asked = [wording.phrase(rng, "gui_type", language, split, slots) for _ in range(400)]
            assert all("SaVe  twice" in text and "Don't. PANIC?" in text for text in asked)
            assert len(set(asked)) > 60
    asked = [wording.phrase(rng, "gui_click", "en", "train", {"target": "SaVe", "after": ""}) for _ in range(1000)]
    assert any(text.isupper() for text in (text.replace("SaVe", "") for text in asked))
    assert any(text[0].islower() for text in asked)


def test_the_same_numbers_give_the_same_words() -> None:
    first, second = (
        [wording.phrase(random.Random(n), "describe", "en", "train", {}) for n in range(50)] for _ in range(2)
    )
    assert first == second
