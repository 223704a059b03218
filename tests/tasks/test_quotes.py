"""Quotes found on pages, against where their letters were drawn."""

from __future__ import annotations

import numpy as np
import pytest

from qwen3vl.media.pdf import render_page
from qwen3vl.media.pdf_text import read_characters
from qwen3vl.tasks.quotes import Letters, Place, QuotedPage, around
from support.paper import HEIGHT, WIDTH, Leaf, leaf, paper


def page(*lines: str, extra: str = "") -> QuotedPage:
    return QuotedPage(read_characters(paper(leaf(*lines, extra=extra)), 1))


def base(line: int) -> float:
    """Where the base line of `leaf`'s line number `line` is, as a share of the page from above."""
    return 1 - (700 - 40 * line) / HEIGHT


def at(place: Place, line: int) -> bool:
    return place[1] < base(line) <= place[3] + 0.01


@pytest.mark.parametrize("extra", ["", "/Rotate 90", "/CropBox [40 300 600 780] /Rotate 270"])
def test_the_place_is_that_of_the_ink(extra: str) -> None:
    """The quoted words alone are drawn in a second copy of the page: their ink is what must be marked."""
    whole = paper(leaf("The cost is 42 EUR per month", "and nothing else", extra=extra))
    start = QuotedPage(read_characters(whole, 1)).find("The cost is ")[0]
    [place] = QuotedPage(read_characters(whole, 1)).find("42 EUR")
    before = "The cost is "
    # Helvetica's widths: what stands before the quote moves it to the right by as much as it is wide.
    alone = paper(leaf(before + "42 EUR", extra=extra))
    prefix = paper(leaf(before, extra=extra))
    ink = (render_page(alone, 1).pixels.min(axis=2) < 128) & ~(render_page(prefix, 1).pixels.min(axis=2) < 128)
    rows, columns = np.where(ink)
    height, width = ink.shape
    assert [place[0] * width, place[1] * height, place[2] * width, place[3] * height] == pytest.approx(
        [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], abs=3
    )
    assert start != place


def test_line_ends_spaces_signs_and_case_do_not_matter() -> None:
    found = page("Revenue grew by 12.5 % in the", "second quarter, to 3,400 units.")
    lines = found.find("revenue GREW by 12.5% in the second  quarter")
    assert len(lines) == 2
    assert at(lines[0], 0)
    assert at(lines[1], 1)
    assert lines[0][0] == pytest.approx(60 / WIDTH, abs=0.005)
    assert around(lines)[1] == lines[0][1]
    assert around(lines)[3] == lines[1][3]


def test_only_whole_words_and_whole_numbers() -> None:
    found = page("In 2012 we sold 3.12 tons and 12 boats", "for 1,200 each")
    [place] = found.find("12")
    [boats] = found.find("12 boats")
    assert place[0] == boats[0]
    assert found.find("sol") == []
    assert found.find("200") == []
    assert found.find("312") == []
    assert len(found.find("1,200")) == 1


def test_of_several_places_the_nearest() -> None:
    found = page("Total 5", "Total 5", "Total 5")
    assert at(found.find("Total 5")[0], 0)
    for line in range(3):
        y = base(line)
        assert at(found.find("Total 5", (0.1, y - 0.02, 0.2, y))[0], line)


def test_chinese_is_found_within_a_line_and_over_its_end() -> None:
    found = page("二零二五年的总收入是三百", "万元，比去年多。")
    [place] = found.find("总收入")
    assert at(place, 0)
    assert place[0] == pytest.approx((60 + 6 * 20) / WIDTH, abs=0.01)  # the seventh of letters of 20 points
    assert len(found.find("三百万元")) == 2
    assert found.find("三百零") == []
    mixed = page("格式为PDF文件")
    assert len(mixed.find("文件")) == len(mixed.find("PDF")) == 1
    assert mixed.find("PD") == []


def test_what_a_quote_leaves_out() -> None:
    found = page("The tenant pays the rent", "on the first day of", "each month in advance")
    lines = found.find("The tenant pays ... each month")
    assert [at(lines[0], 0), at(lines[-1], 2), len(lines)] == [True, True, 2]
    assert found.find("each month ... The tenant pays") == []
    assert len(found.find("[…] on the first day […]")) == 1


@pytest.mark.parametrize("quote", ["", "...", "?!", " \n"])
def test_a_quote_without_letters_stands_nowhere(quote: str) -> None:
    assert page("Why?! ...").find(quote) == []


def test_an_empty_page_has_no_quotes() -> None:
    assert QuotedPage(read_characters(paper(Leaf()), 1)).find("anything") == []


def test_letters() -> None:
    assert Letters.of("Ｃafé, e\u0301t\u00e9 ﬁn").text == "cafeetefin"
    assert Letters.of("1.5-2 a.b").text == "1.5-2ab"
    begins = Letters.of("a-b c").begins
    assert begins == [True, True, True, True]
