"""Questions about documents of many pages, answered with the page, the words and their place."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import Field

from qwen3vl.engine.grammar import Grammar
from qwen3vl.tasks.base import Language, StrictParams, Task, TaskRequest, param, words
from qwen3vl.tasks.grounding import SCALE, Box, box_of
from qwen3vl.tasks.kinds.shared import BOX, TEXT, first_json, list_of, object_of
from qwen3vl.tasks.loose_json import json_objects
from qwen3vl.tasks.results import BoxMark, Citation, MediaInfo, TaskResult, placed

_PAGE = re.compile(r"\b(?:pages?|p\.)\s*(\d{1,4})|第\s*(\d{1,4})\s*页", re.IGNORECASE)
_MOST_TEXT = 4000  # characters of the text layer of one page


class DocumentParams(StrictParams):
    question: str = param(
        ...,
        ("Question", "What you want to know from the document."),
        ("问题", "想从文档中了解的内容。"),
        min_length=1,
    )
    pages_text: list[str] = Field(
        default_factory=list,
        title="Text of the pages",
        description="The document's own text layer, page by page; fills itself from a PDF.",
        json_schema_extra={"zh": {"title": "页面文字", "description": "文档自带的文字层，逐页；PDF 会自动填写。"}},
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
        said = words("Text of page {page}:\n{text}", "第 {page} 页的文字：\n{text}")[language]
        layers = [
            said.format(page=number, text=text[:_MOST_TEXT].strip())
            for number, text in enumerate(params.pages_text, 1)
            if text.strip()
        ]
        ask = params.question
        if params.citations:
            ask += words(
                ' Name the page of each source. Answer in JSON: {"answer": "...", "citations": '
                '[{"page": 1, "quote": "...", "bbox_2d": [x1, y1, x2, y2]}]}.',
                '请注明出处的页码。用 JSON 回答：{"answer": "...", "citations": '
                '[{"page": 1, "quote": "...", "bbox_2d": [x1, y1, x2, y2]}]}。',
            )[language]
        source = object_of(
            {"page": {"type": "integer", "minimum": 1, "maximum": max(1, len(media))}, "quote": TEXT, "bbox_2d": BOX}
        )
        strict = params.strict and params.citations
        grammar = Grammar.json_schema(object_of({"answer": TEXT, "citations": list_of(source)})) if strict else None
        return TaskRequest(None, "\n\n".join([*layers, ask]), grammar, {"stop_loops": True})

    def _read(self, answer: str, whole: bool, params: DocumentParams, media: Sequence[MediaInfo]) -> TaskResult:
        cited = [
            _citation(item["page"], item, media) for item in json_objects(answer) if _known(item.get("page"), media)
        ]
        if not whole:
            return TaskResult(text=answer, pages=cited)
        data = first_json(answer, whole=True)
        text = data["answer"] if isinstance(data, dict) and isinstance(data.get("answer"), str) else answer
        if not cited:  # pages that are only named in the text
            numbers = dict.fromkeys(int(match[1] or match[2]) for match in _PAGE.finditer(answer))
            cited = [Citation(page=number) for number in numbers if _known(number, media)]
        return TaskResult(text=text, data=data, pages=cited)


def _known(page: object, media: Sequence[MediaInfo]) -> bool:
    return isinstance(page, int) and not isinstance(page, bool) and 1 <= page <= max(1, len(media))


def _citation(page: int, item: dict[str, object], media: Sequence[MediaInfo]) -> Citation:
    quote = item.get("quote", item.get("text", ""))
    quote = quote if isinstance(quote, str) else ""
    found: Box | None = box_of(item.get("bbox_2d", item.get("bbox")), SCALE, SCALE, quote)
    box = None if found is None else placed(found, page - 1, media)
    return Citation(page=page, quote=quote, box=box if isinstance(box, BoxMark) else None)
