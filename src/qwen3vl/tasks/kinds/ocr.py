"""Text out of pictures: as it stands, with the place of each line, translated, or as a document with its layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from qwen3vl.engine.grammar import Grammar
from qwen3vl.tasks.base import Language, StrictParams, Task, TaskRequest, Words, param, read_only_options, words
from qwen3vl.tasks.code import find_code
from qwen3vl.tasks.grounding import SCALE
from qwen3vl.tasks.kinds.shared import BOX, TEXT, list_of, object_of, without_fence
from qwen3vl.tasks.results import CodeBlock, MediaInfo, Table, TaskResult, placed
from qwen3vl.tasks.tables import parse_tables
from qwen3vl.tasks.text_lines import parse_text_lines

Form = Literal["text", "lines", "translation", "html", "markdown"]

_ASK: Mapping[Form, Words] = {
    "text": words("Read all the text in the picture.", "读出图片中的全部文字。"),
    "lines": words(
        "Read all text lines with bounding boxes in JSON, as bbox_2d and text.",
        "读出图片中的每一行文字及其边界框，用 JSON 回答，每项包含 bbox_2d 和 text。",
    ),
    "translation": words(
        "Translate all the text in the picture into {to}. Give only the translation, line by line.",
        "把图片中的全部文字翻译成{to}，逐行给出译文，不要其他内容。",
    ),
    "html": words("qwenvl html", "qwenvl html"),
    "markdown": words("qwenvl markdown", "qwenvl markdown"),
}


class OcrParams(StrictParams):
    form: Form = param(
        "text",
        ("Result", "Text, lines with their places, a translation, or a document as HTML or Markdown."),
        ("结果", "纯文字、带位置的文字行、译文，或 HTML、Markdown 文档。"),
    )
    to: str = param(
        "English",
        ("Translate into", "For a translation: the language."),
        ("目标语言", "翻译时的目标语言。"),
        min_length=1,
    )


class Ocr(Task[OcrParams]):
    name = "ocr"
    titles = words("Read text", "识别文字")
    summaries = words(
        "Text of a picture or page, with boxes, translated, or as HTML and Markdown.",
        "读出图片或页面上的文字，可带位置、可翻译，也可转成 HTML 或 Markdown。",
    )
    accepts = frozenset({"text", "image", "document"})
    needs = frozenset({"image", "document"})
    params = OcrParams

    def _ask(self, params: OcrParams, media: Sequence[MediaInfo], language: Language) -> TaskRequest:
        strict = params.strict and params.form == "lines"
        grammar = Grammar.json_schema(list_of(object_of({"bbox_2d": BOX, "text": TEXT}))) if strict else None
        ask = _ASK[params.form][language].format(to=params.to) + without_fence(strict, language)
        return TaskRequest(None, ask, grammar, read_only_options())

    def _read(self, answer: str, whole: bool, params: OcrParams, media: Sequence[MediaInfo]) -> TaskResult:
        if params.form in ("text", "translation"):
            return TaskResult(text=answer)
        found = [placed(line, 0, media) for line in parse_text_lines(answer, SCALE, SCALE)]
        if params.form == "lines":
            warnings = [] if found or not whole else ["no lines with places were found in the answer"]
            return TaskResult(text=answer, marks=list(found), warnings=warnings)
        tables = [Table(rows=[list(row) for row in rows]) for rows in parse_tables(answer, finished_only=not whole)]
        block = find_code(answer, params.form) if whole else None
        source = block.source if block else answer
        code = [CodeBlock(language=params.form, source=source, closed=True)] if whole and source.strip() else []
        return TaskResult(text=answer, marks=list(found), tables=tables, code=code)
