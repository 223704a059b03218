"""Questions about documents of many pages, answered with the page, the words and their place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from qwen3vl.engine.grammar import Grammar
from qwen3vl.tasks.base import Language, StrictParams, Task, TaskRequest, param, words
from qwen3vl.tasks.document_search import PAGES_AT_ONCE, parse_pages
from qwen3vl.tasks.grounding import SCALE, Box, box_of
from qwen3vl.tasks.kinds.shared import BOX, TEXT, first_json, list_of, object_of, without_fence
from qwen3vl.tasks.loose_json import json_objects
from qwen3vl.tasks.quotes import Place, around
from qwen3vl.tasks.results import BoxMark, Citation, MediaInfo, SeenPage, TaskResult, placed

_PAGE = re.compile(r"\b(?:pages?|p\.)\s*(\d{1,4})|第\s*(\d{1,4})\s*页", re.IGNORECASE)
_DIGITS = re.compile(r"\d{1,6}")
_TELLING = 12  # characters that hardly stand on another page by chance


class DocumentParams(StrictParams):
    question: str = param(
        ...,
        ("Question", "What you want to know from the document."),
        ("问题", "想从文档中了解的内容。"),
        min_length=1,
    )
    pages: str = param(
        "",
        ("Pages", "Such as 1-3, 7, 10-. Empty: the pages that have to do with the question are found."),
        ("页码", "例如 1-3, 7, 10-。留空则自动查找与问题有关的页面。"),
        max_length=1000,
    )
    most_pages: int | None = param(
        None,
        ("Pages at most", f"How many are looked at. Empty: {PAGES_AT_ONCE}, or all those that you name."),
        ("最多页数", f"最多查看多少页。留空为 {PAGES_AT_ONCE} 页，或您指定的全部页面。"),
        ge=1,
        le=200,
    )
    citations: bool = param(
        True,
        ("Cite", "Give the page and the place of what the answer is taken from."),
        ("引用", "给出答案所在的页码和位置。"),
    )


class Documents(Task[DocumentParams]):
    name = "documents"
    titles = words("Ask a document", "文档问答")
    summaries = words(
        "Answers from documents of many pages, with page and box of each source.",
        "根据多页文档回答问题，并给出页码和位置。",
    )
    accepts = frozenset({"text", "image", "document"})
    needs = frozenset({"image", "document"})
    text_param = "question"
    params = DocumentParams

    def _ask(self, params: DocumentParams, media: Sequence[MediaInfo], language: Language) -> TaskRequest:
        parse_pages(params.pages, len(media))
        ask = params.question
        if params.citations:
            ask += words(
                ' Name the page of each source. Answer in JSON: {"answer": "...", "citations": '
                '[{"page": 1, "quote": "...", "bbox_2d": [x1, y1, x2, y2]}]}.',
                '请注明出处的页码。用 JSON 回答：{"answer": "...", "citations": '
                '[{"page": 1, "quote": "...", "bbox_2d": [x1, y1, x2, y2]}]}。',
            )[language]
        source = object_of({"page": {"enum": [number + 1 for number in _shown(media)]}, "quote": TEXT, "bbox_2d": BOX})
        strict = params.strict and params.citations
        ask += without_fence(strict, language)
        grammar = Grammar.json_schema(object_of({"answer": TEXT, "citations": list_of(source)})) if strict else None
        return TaskRequest(None, ask, grammar, {"stop_loops": True})

    def _read(self, answer: str, whole: bool, params: DocumentParams, media: Sequence[MediaInfo]) -> TaskResult:
        cited = [found for item in json_objects(answer) if (found := _citation(item, media))]
        seen = [
            SeenPage(**_numbers(number, media), text=sheet.source)
            for number, medium in enumerate(media)
            if (sheet := medium.sheet)
        ]
        if not whole:
            return TaskResult(text=answer, pages=cited, seen=seen)
        data = first_json(answer, whole=True)
        text = data["answer"] if isinstance(data, dict) and isinstance(data.get("answer"), str) else answer
        if not cited:  # pages that are only named in the text
            numbers = dict.fromkeys(int(match[1] or match[2]) - 1 for match in _PAGE.finditer(answer))
            cited = [Citation(**_numbers(number, media)) for number in numbers if number in _shown(media)]
        return TaskResult(text=text, data=data, pages=cited, seen=seen, warnings=_left_out(params, media))


def _shown(media: Sequence[MediaInfo]) -> list[int]:
    """Numbers, from 0, of the pages that the model is shown."""
    return [number for number, medium in enumerate(media) if medium.sheet] or list(range(len(media)))


def _left_out(params: DocumentParams, media: Sequence[MediaInfo]) -> list[str]:
    """That not all the pages were shown which a person asked for."""
    named = parse_pages(params.pages, len(media)) if params.pages and any(medium.sheet for medium in media) else []
    missed = len(set(named) - set(_shown(media)))
    if not missed or (params.most_pages is not None and len(named) > params.most_pages):
        return []
    return [f"{missed} of the {len(named)} pages that were named did not fit into the model's context"]


def _numbers(number: int, media: Sequence[MediaInfo]) -> dict[str, Any]:
    medium = media[number]
    return {"page": medium.page or number + 1, "file": medium.file, "picture": number}


def _citation(item: Mapping[str, Any], media: Sequence[MediaInfo]) -> Citation | None:
    """A source that an answer names. Its words say where it is, where they stand in a page's own text, on whichever
    page that was shown; else the model does.
    """
    if "page" not in item:
        return None
    shown, number = _shown(media), _page_number(item["page"])
    quote = item.get("quote", item.get("text", ""))
    quote = quote if isinstance(quote, str) else ""
    said: Box | None = box_of(item.get("bbox_2d", item.get("bbox")), SCALE, SCALE, quote)
    near = None if said is None else (said.x1 / SCALE, said.y1 / SCALE, said.x2 / SCALE, said.y2 / SCALE)
    # A few letters may stand anywhere: they say nothing against the page that the model names.
    elsewhere = shown if len(quote) >= _TELLING else []
    for page in dict.fromkeys([number, *elsewhere]):
        sheet = media[page].sheet if page in shown else None
        lines = sheet.layer.find(quote, near if page == number else None) if sheet and sheet.layer else []
        if lines:
            boxes = [_mark(each, quote, page, media) for each in (around(lines), *lines)]
            return Citation(**_numbers(page, media), quote=quote, box=boxes[0], lines=boxes[1:], exact=True)
    if number not in shown:
        return None
    box = None if near is None else _mark(near, quote, number, media)
    return Citation(**_numbers(number, media), quote=quote, box=box)


def _page_number(value: object) -> int:
    """From 0; -1 for what is no number."""
    if isinstance(value, str) and (match := _DIGITS.search(value)):
        return int(match[0]) - 1
    return value - 1 if isinstance(value, int) and not isinstance(value, bool) else -1


def _mark(place: Place, quote: str, page: int, media: Sequence[MediaInfo]) -> BoxMark:
    x1, y1, x2, y2 = (edge * SCALE for edge in place)
    mark = placed(Box(x1, y1, x2, y2, quote), page, media)
    assert isinstance(mark, BoxMark), "made of a box"
    return mark
