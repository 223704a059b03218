"""Questions about documents: which pages the model is shown, each with the text on it.

A document that fits is shown whole. Of a longer one the pages are taken that have to do with the question. What is
searched is the document's own text; pages without one are read by the model first, once for all questions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qwen3vl.media.pdf import PdfPages
from qwen3vl.media.pdf_text import read_characters
from qwen3vl.server.task_input import GivenFile, TaskInput
from qwen3vl.server.threads import in_thread
from qwen3vl.store.page_texts import PageTexts
from qwen3vl.tasks.base import Language
from qwen3vl.tasks.document_search import (
    MOST_TEXT,
    PAGES_AT_ONCE,
    by_worth,
    fitting,
    heading,
    page_text,
    parse_pages,
)
from qwen3vl.tasks.kinds.documents import DocumentParams
from qwen3vl.tasks.kinds.ocr import Ocr, OcrParams
from qwen3vl.tasks.quotes import QuotedPage
from qwen3vl.tasks.results import MediaInfo, Sheet

if TYPE_CHECKING:
    from qwen3vl.server.serving import Served

_READ_AT_ONCE = 4  # pages, of one question
_READ_TOKENS = 2048  # of what is read on a page
_ANSWER_TOKENS = 1024  # that are left for the answer, where the question does not say
_HEADING_TOKENS = 32
_FORMAT_TOKENS = 128  # of the words that ask for citations


async def pages_to_show(
    params: DocumentParams,
    given: TaskInput,
    language: Language,
    model: Served,
    kept: PageTexts,
    options: Mapping[str, Any],
    tell: Callable[[int, int], None] | None = None,
) -> TaskInput:
    """`given` with those pages in the place of all, each measured and with what is known of its text.

    Reads pages with the model if some that may be wanted have no text, and tells how many of how many it has read.
    `options` are the question's own. Raises `InputError` for pages that are not there, and what a request to the model
    raises.
    """
    pages = [_Page(file, index) for file in given.files for index in range(len(file.pages) or 1)]
    wanted = parse_pages(params.pages, len(pages))
    most = params.most_pages or (len(wanted) if params.pages else PAGES_AT_ONCE)
    options = {**model.defaults, **options}
    await asyncio.to_thread(_recall, pages, kept, model.info.name)

    def room() -> tuple[list[int], int]:
        costs = [_tokens(page, medium, model, options) for page, medium in zip(pages, given.media, strict=True)]
        return costs, _budget(params.question, model, options)

    def fits() -> bool:
        costs, budget = room()
        return sum(costs[number] for number in wanted) <= budget

    def chosen() -> list[int]:
        order = by_worth(params.question, [pages[number].text for number in wanted])
        if most == len(wanted):  # they are all to be shown, as far as there is room
            order = list(dict.fromkeys([*order, *range(len(wanted))]))
        return fitting([wanted[at] for at in order], *room(), most)

    if len(wanted) <= most and await asyncio.to_thread(fits):
        shown = wanted
    else:
        await _read_scans([pages[number] for number in wanted], language, model, kept, tell)
        shown = await asyncio.to_thread(chosen)
    sheets = await asyncio.to_thread(lambda: {number: pages[number].sheet() for number in shown})
    media = [replace(medium, sheet=sheets.get(number)) for number, medium in enumerate(given.media)]
    harmless, several = model.prompt_builder.tokenizer.harmless, len(given.files) > 1
    content: list[dict[str, Any]] = []
    for number in shown:
        page = pages[number]
        said = harmless(_heading(number, media, language, several))
        content += [{"type": "text", "text": said}, page.part]
        if page.text.strip():
            content.append({"type": "text", "text": harmless(page_text(page.text, language))})
    return replace(given, content=content, media=media)


def pages_again(
    parts: Sequence[Mapping[str, Any]], names: Sequence[str], seen: Sequence[Mapping[str, Any]], language: Language
) -> list[dict[str, Any]]:
    """A question about documents within a later one: of its media only the pages that were shown. `parts` as the engine
    takes them, `seen` of the answer's result.
    """
    media = [(part, name) for part, name in zip(parts, names, strict=True) if part["type"] != "text"]
    content: list[dict[str, Any]] = []
    for page in seen:
        part, name = media[page["file"]]
        is_page = part["type"] == "pdf"
        if is_page:
            part = {"type": "pdf", "pdf": PdfPages(part["pdf"], (page["page"],))}
        said = heading(page["picture"], language, page["page"] if is_page and len(media) > 1 else None, name)
        content += [{"type": "text", "text": said}, dict(part)]
    return [*content, *(dict(part) for part in parts if part["type"] == "text")]


class _Page:
    """A page of a document, or a picture, which is a page without text."""

    def __init__(self, file: GivenFile, index: int) -> None:
        self.file, self.number = file, index + 1
        self._own = file.pages[index] if file.pages else None
        self.is_scan = self._own is None or self._own.scanned
        self.read: str | None = None

    @property
    def text(self) -> str:
        return self.read or (self._own.text if self._own else "")

    @property
    def part(self) -> dict[str, Any]:
        """Its picture; a page is drawn when the prompt is built."""
        return self.file.part if self._own is None else {"type": "pdf", "pdf": PdfPages(self.file.data, (self.number,))}

    def sheet(self) -> Sheet:
        if self.read:
            return Sheet("model")
        if not self.text.strip():
            return Sheet()
        return Sheet("layer", QuotedPage(read_characters(self.file.data, self.number)))


def _recall(pages: Sequence[_Page], kept: PageTexts, model: str) -> None:
    """Puts in what the model has read before."""
    known: dict[str, Mapping[int, str]] = {}
    for page in pages:
        if page.is_scan:
            sha256 = page.file.sha256
            if sha256 not in known:
                known[sha256] = kept.of(sha256, model)
            page.read = known[sha256].get(page.number)


async def _read_scans(
    pages: Sequence[_Page],
    language: Language,
    model: Served,
    kept: PageTexts,
    tell: Callable[[int, int], None] | None,
) -> None:
    """Has the model read what has not been read; each page is kept as soon as it is."""
    unread = [page for page in pages if page.is_scan and page.read is None]
    waiting = iter(unread)

    def told() -> None:
        if tell is not None and unread:
            tell(sum(page.read is not None for page in unread), len(unread))

    async def work() -> None:
        for page in waiting:
            page.read = await _read(page, language, model)
            await in_thread(kept.keep, page.file.sha256, page.number, model.info.name, page.read)
            told()

    told()
    workers = [asyncio.create_task(work()) for _ in range(_READ_AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _read(page: _Page, language: Language, model: Served) -> str:
    task, params = Ocr(), OcrParams()
    medium = MediaInfo("document", 1, 1)
    asked = task.prepare(params, [medium], language)
    content = [page.part, {"type": "text", "text": asked.instruction}]
    most = min(_READ_TOKENS, model.info.max_context // 2)
    result = await model.agenerate(
        [{"role": "user", "content": content}], task=task.name, **asked.options, max_tokens=most
    )
    return task.reader(params, [medium], thinking=model.thinks).finish(result.text).text


def _tokens(page: _Page, medium: MediaInfo, model: Served, options: Mapping[str, Any]) -> int:
    """What a page takes in a prompt."""
    builder, bounds = model.prompt_builder, {name: options.get(name) for name in ("min_pixels", "max_pixels")}
    text = len(builder.tokenizer.encode(page.text[:MOST_TEXT]))
    return builder.image_tokens(medium.width, medium.height, **bounds) + text + _HEADING_TOKENS


def _budget(question: str, model: Served, options: Mapping[str, Any]) -> int:
    """Tokens of the context that pages may take."""
    answer = options.get("max_tokens") or min(_ANSWER_TOKENS, model.info.max_context // 4)
    words = len(model.prompt_builder.tokenizer.encode(question)) + _FORMAT_TOKENS
    return int(model.info.max_context - answer - words)


def _heading(number: int, media: Sequence[MediaInfo], language: Language, several: bool) -> str:
    medium = media[number]
    return heading(number, language, medium.page if several else None, medium.name or str(medium.file + 1))
