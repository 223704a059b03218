"""Where a quoted text stands on a page, found in the page's own characters, whatever its spaces, line ends and signs.

Knows nothing of models and files.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qwen3vl.media.pdf_text import PdfText
from qwen3vl.tasks.ranking import UNSPACED

Place = tuple[float, float, float, float]  # left, top, right, bottom, as shares of the page
Boxes = NDArray[np.floating]  # [letters, 4], the same of each

_LEFT_OUT = re.compile(r"\[?(?:\.{3,}|…+)\]?")
_IN_NUMBERS = ".,:/-"
_WITHOUT_SPACES = re.compile(f"[{UNSPACED}]")


@dataclass(frozen=True)
class Letters:
    """A text without all that may differ between a page and what quotes it: letters and digits, of one case and width,
    and the signs within numbers.
    """

    text: str
    sources: list[int]  # of each letter, the character that it comes from
    begins: list[bool]  # whether a word may begin before it; one more, for the end

    @classmethod
    def of(cls, text: str) -> Letters:
        letters: list[str] = []
        sources: list[int] = []
        begins: list[bool] = []
        fresh = True
        for at, sign in enumerate(text):
            kept = [part for part in unicodedata.normalize("NFKD", sign).casefold() if part.isalnum()]
            if not kept:
                if unicodedata.category(sign).startswith("M"):  # an accent on the letter before
                    continue
                if not (sign in _IN_NUMBERS and text[at - 1 : at].isdigit() and text[at + 1 : at + 2].isdigit()):
                    fresh = True
                    continue
                kept = [sign]
            alone = bool(_WITHOUT_SPACES.match(sign))
            for part in kept:
                letters.append(part)
                sources.append(at)
                begins.append(fresh or alone)
                fresh = False
            fresh = alone
        return cls("".join(letters), sources, [*begins, True])


class QuotedPage:
    """A page in which quotes are looked for."""

    def __init__(self, page: PdfText) -> None:
        self._page = page

    @cached_property
    def _letters(self) -> Letters:
        return Letters.of(self._page.text)

    def find(self, quote: str, near: Place | None = None) -> list[Place]:
        """The lines in which the quote stands, in order; of several places the one nearest to `near`, or the first.

        Words that a quote leaves out ("...") may be any. Empty if it stands nowhere, or has no letters.
        """
        parts = [letters for part in _LEFT_OUT.split(quote) if (letters := Letters.of(part).text)]
        if not parts:
            return []
        found: list[list[Place]] = []
        for start, end in self._occurrences(parts[0], 0):
            spans = [(start, end)]
            for part in parts[1:]:
                following = next(self._occurrences(part, spans[-1][1]), None)
                if following is None:
                    break
                spans.append(following)
            if len(spans) == len(parts) and (lines := [line for span in spans for line in self._lines(*span)]):
                found.append(lines)
        if near is None:
            return found[0] if found else []
        return min(found, key=lambda lines: _distance(around(lines), near), default=[])

    def _occurrences(self, wanted: str, start: int) -> Iterator[tuple[int, int]]:
        """First and last letter (excluded) of each, whole words only."""
        letters = self._letters
        at = letters.text.find(wanted, start)
        while at >= 0:
            if letters.begins[at] and letters.begins[at + len(wanted)]:
                yield at, at + len(wanted)
            at = letters.text.find(wanted, at + 1)

    def _lines(self, start: int, end: int) -> list[Place]:
        sources = self._letters.sources
        boxes = self._page.boxes[sources[start] : sources[end - 1] + 1]
        boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
        # The axis on which letters of one line are beside each other; on a page that lies on its side it is the other.
        across = 1 if _overlap(boxes, 1) >= _overlap(boxes, 0) else 0
        lines: list[list[int]] = []
        for number, box in enumerate(boxes):
            line = boxes[lines[-1]] if lines else boxes[:0]
            if len(line) and line[:, across].min() < box[across + 2] and box[across] < line[:, across + 2].max():
                lines[-1].append(number)
            else:
                lines.append([number])
        return [_union(boxes[line]) for line in lines]


def around(places: list[Place]) -> Place:
    """The smallest rectangle that holds all of them."""
    return _union(np.array(places))


def _overlap(boxes: Boxes, axis: int) -> float:
    """How much of each letter the next one stands beside, along that axis."""
    ends, starts = boxes[:, axis + 2], boxes[:, axis]
    return float(np.maximum(0, np.minimum(ends[1:], ends[:-1]) - np.maximum(starts[1:], starts[:-1])).sum())


def _union(boxes: Boxes) -> Place:
    left, top = boxes[:, :2].min(axis=0)
    right, bottom = boxes[:, 2:].max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def _distance(a: Place, b: Place) -> float:
    """Between the centres, squared."""
    return float((a[0] + a[2] - b[0] - b[2]) ** 2 + (a[1] + a[3] - b[1] - b[3]) ** 2)
