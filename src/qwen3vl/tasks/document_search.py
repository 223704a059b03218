"""Which pages of a document are looked at for a question, and how they are put before the model.

Knows nothing of files, models and databases. Pages are numbered through all documents of a question, from 0 here and
from 1 where a person or a model reads or writes the number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from qwen3vl.errors import InputError
from qwen3vl.tasks.base import Language, words
from qwen3vl.tasks.ranking import rank

PAGES_AT_ONCE = 10  # that are looked at where nobody says how many
MOST_TEXT = 4000  # characters of one page's text that go along with its picture

_RANGE = re.compile(r"(\d{1,6})?\s*(?:[-–—~～至到]|to)\s*(\d{1,6})?|(\d{1,6})", re.IGNORECASE)
_STRONG = 0.25  # of the best page's score: what shares only everyday words with a question is below


def parse_pages(text: str, count: int) -> list[int]:
    """The pages that "1-3, 7, 10-" names, in order and each once; all of them for an empty text. `count`: how many
    there are. Raises `InputError`.
    """
    chosen: set[int] = set()
    parts = [part.strip() for part in re.split(r"[,;，、；]", text)]
    for part in filter(None, parts):
        match = _RANGE.fullmatch(part)
        first, last, single = match.groups() if match else (None, None, None)
        if not (first or last or single):
            raise InputError(f"pages are written like 1-3, 7, 10-, not {part!r}")
        start, end = int(single or first or 1), int(single or last or count)
        if not 1 <= start <= count or not start <= end <= count:
            raise InputError(f"there are pages 1 to {count}, which {part!r} does not keep to")
        chosen.update(range(start - 1, end))
    return sorted(chosen) if chosen else list(range(count))


def by_worth(question: str, texts: Sequence[str]) -> list[int]:
    """Numbers of the pages worth a look, the best first: those that have to do with the question, then those beside
    them, where what they say may begin or go on, then those that share any word with it. Without any, all pages, spread
    over the document from coarse to fine.
    """
    found = rank(question, texts)
    if not found:
        return _spread(len(texts))
    strong = [each.number for each in found if each.score >= _STRONG * found[0].score]
    beside = [near for number in strong for near in (number + 1, number - 1) if 0 <= near < len(texts)]
    return list(dict.fromkeys([*strong, *beside, *(each.number for each in found)]))


def fitting(order: Sequence[int], costs: Sequence[int], budget: int, most: int) -> list[int]:
    """As many pages from the beginning of `order` as `budget` tokens have room for, `most` at most and one at least,
    in the order of the document. `costs`: tokens of each page. One that is too large is passed over.
    """
    chosen: list[int] = []
    for number in order:
        if len(chosen) == most:
            break
        if not chosen or costs[number] <= budget:
            chosen.append(number)
            budget -= costs[number]
    return sorted(chosen)


def heading(number: int, language: Language, page: int | None = None, name: str = "") -> str:
    """What stands before the picture of a page: the number by which it is cited, and of several documents which `page`
    of the one called `name` it is.
    """
    alone = words("Page {n}:", "第 {n} 页：")
    of_several = words('Page {n} (page {page} of "{name}"):', "第 {n} 页（“{name}”的第 {page} 页）：")
    said = alone if page is None else of_several
    return said[language].format(n=number + 1, page=page, name=name)


def page_text(text: str, language: Language) -> str:
    """What stands after the picture of a page: the text on it."""
    return words("Its text:\n{text}", "页面文字：\n{text}")[language].format(text=text.strip()[:MOST_TEXT])


def _spread(count: int) -> list[int]:
    """0 to count - 1, so that each beginning of the list is spread over all."""
    order: list[int] = []
    step = 1 << max(0, count - 1).bit_length()
    while step:
        order += range(0, count, step)
        step //= 2
    return list(dict.fromkeys(order))
