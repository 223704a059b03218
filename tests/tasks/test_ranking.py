"""BM25 against its formula, written out once more, and against what people mean by finding."""

from __future__ import annotations

import math

import pytest

from qwen3vl.tasks.ranking import rank, terms


def test_the_score_is_that_of_the_formula() -> None:
    texts = ["a cat and a dog", "the cat sat", "birds"]
    [first, second] = rank("cat", texts)
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    average = (5 + 3 + 1) / 3
    expected = {n: idf * 2.5 / (1 + 1.5 * (0.25 + 0.75 * length / average)) for n, length in ((0, 5), (1, 3))}
    assert (first.number, second.number) == (1, 0), "the shorter text is more about it"
    assert first.score == pytest.approx(expected[1])
    assert second.score == pytest.approx(expected[0])


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("INVOICE total", 1),
        ("ｉｎｖｏｉｃｅ", 1),  # of full width
        ("合同的金额", 2),
        ("zebra gate", 3),
        ("42", 3),
    ],
)
def test_the_best_text_is_found(query: str, best: int) -> None:
    texts = ["A letter about the crossing", "Invoice 7: the total is 12", "本合同总金额为一百元", "A zebra at gate 42"]
    assert rank(query, texts)[0].number == best


def test_what_shares_no_word_is_not_found() -> None:
    assert rank("nothing of this", ["cat", ""]) == []
    assert rank("cat", []) == []
    assert rank("", ["cat"]) == []


def test_equal_texts_come_in_their_order() -> None:
    assert [found.number for found in rank("b", ["a b", "b a", "c"])] == [0, 1]


def test_words_and_pairs() -> None:
    assert terms("Don't: 猫と Cat_42") == ["don", "t", "猫", "と", "猫と", "cat", "42"]
