"""Which pages are chosen: what ranges name, what a question asks for, and what there is room for."""

from __future__ import annotations

import pytest

from qwen3vl.errors import InputError
from qwen3vl.tasks.document_search import by_worth, fitting, heading, page_text, parse_pages


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        ("", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("3", [3]),
        ("5-7, 2", [2, 5, 6, 7]),
        ("7-", [7, 8]),
        ("-2;8", [1, 2, 8]),
        ("1–2，4到5、8", [1, 2, 4, 5, 8]),
        ("2 to 3, 3", [2, 3]),
    ],
)
def test_ranges(text: str, pages: list[int]) -> None:
    assert [number + 1 for number in parse_pages(text, 8)] == pages


@pytest.mark.parametrize(("text", "word"), [("9", "1 to 8"), ("0", "1 to 8"), ("3-2", "1 to 8"), ("5-9", "1 to 8")])
def test_pages_that_are_not_there(text: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        parse_pages(text, 8)


@pytest.mark.parametrize("text", ["first", "1-2-3", "-", "1..3", "1 2", "一"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(InputError, match="written like"):
        parse_pages(text, 8)


def test_the_page_that_answers_comes_first_then_its_neighbours() -> None:
    texts = [f"Chapter {number} is about stones" for number in range(9)]
    texts[6] = "The warranty lasts two years"
    assert by_worth("How long is the warranty?", texts) == [6, 7, 5, 0, 1, 2, 3, 4, 8]
    assert by_worth("warranty", texts) == [6, 7, 5]
    assert by_worth("保修期多长？", [*texts, "保修期为两年"])[0] == 9


def test_a_question_whose_words_are_nowhere_is_looked_for_everywhere() -> None:
    order = by_worth("Summarise", ["a"] * 10)
    assert sorted(order) == list(range(10))
    assert sorted(order[:2]) == [0, 8]
    assert sorted(order[:5]) == [0, 2, 4, 6, 8]
    assert by_worth("Summarise", ["a"]) == [0]


def test_as_many_as_there_is_room_for() -> None:
    costs = [10, 50, 10, 10, 10]
    assert fitting([3, 1, 0, 2], costs, 35, 9) == [0, 2, 3]  # the large one is passed over
    assert fitting([3, 1, 0, 2], costs, 100, 2) == [1, 3]
    assert fitting([1, 0], costs, 5, 9) == [1], "one at least"


def test_what_stands_around_a_page() -> None:
    assert heading(6, "en") == "Page 7:"
    assert heading(6, "zh", 2, "b.pdf") == "第 7 页（“b.pdf”的第 2 页）："
    assert page_text(" a\n" + "b" * 9999, "en").endswith("a\n" + "b" * 3998)
