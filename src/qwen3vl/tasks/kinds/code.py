"""Code that draws what a picture shows: a page as HTML, a chart as Python; and a chart's values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from qwen3vl.engine.grammar import Grammar
from qwen3vl.tasks.base import (
    Accepted,
    Language,
    StrictParams,
    Task,
    TaskParams,
    TaskRequest,
    param,
    read_only_options,
    words,
)
from qwen3vl.tasks.code import find_code, parse_code
from qwen3vl.tasks.fields import parse_fields
from qwen3vl.tasks.kinds.shared import first_json, named_values, unfinished_warnings, without_fence
from qwen3vl.tasks.results import CodeBlock, MediaInfo, TaskResult

_MADE_UP = re.compile(
    r"\brandom\b|\bdefault_rng\b|\b(?:dummy|sample|example|made[- ]up|placeholder)[ _-]?(?:data|values)\b", re.I
)
_NOT_READ = "the program makes up values by itself, which were not read from the chart"
_PICTURE: frozenset[Accepted] = frozenset({"image", "document"})


class PageParams(TaskParams):
    wish: str = param("", ("Wishes", "What should be different from the picture."), ("要求", "希望与截图不同的地方。"))
    scripts: bool = param(
        False, ("Scripts", "Make buttons and menus work with JavaScript."), ("脚本", "用 JavaScript 让按钮和菜单可用。")
    )


class ScreenshotToCode(Task[PageParams]):
    name = "screenshot_to_code"
    titles = words("Screenshot to code", "截图转代码")
    summaries = words("Rebuilds a page as one HTML document with CSS.", "把页面截图重建成一个带 CSS 的 HTML 文档。")
    accepts = frozenset({"text", "image", "document"})
    needs = _PICTURE
    text_param = "wish"
    params = PageParams

    def _ask(self, params: PageParams, media: Sequence[MediaInfo], language: Language) -> TaskRequest:
        ask = words("Convert this screenshot to HTML and CSS.", "把这个截图转成 HTML 和 CSS。")[language]
        if params.scripts:
            ask += words(
                " Make it interactive with JavaScript in the same document.", "用同一文档中的 JavaScript 实现交互。"
            )[language]
        if params.wish:
            ask += {"en": f" {params.wish}", "zh": params.wish}[language]
        return TaskRequest(None, ask, options={"temperature": 0.0, "presence_penalty": 0.0, "stop_loops": True})

    def _read(self, answer: str, whole: bool, params: PageParams, media: Sequence[MediaInfo]) -> TaskResult:
        return _code(answer, whole, "html")


class ChartParams(StrictParams):
    result: Literal["code", "data"] = param(
        "code",
        ("Result", "A matplotlib program, or the values."),
        ("结果", "matplotlib 程序，或图表中的数值。"),
    )


class ChartToCode(Task[ChartParams]):
    name = "chart_to_code"
    titles = words("Chart to code", "图表转代码")
    summaries = words(
        "A matplotlib program that draws the chart, or its values as JSON and CSV.",
        "生成重绘图表的 matplotlib 程序，或读出数值并给出 JSON 和 CSV。",
    )
    accepts = frozenset({"text", "image", "document"})
    needs = _PICTURE
    params = ChartParams

    def _ask(self, params: ChartParams, media: Sequence[MediaInfo], language: Language) -> TaskRequest:
        if params.result == "code":
            ask = words("Redraw this chart with Python matplotlib code.", "用 Python 的 matplotlib 代码重绘这个图表。")
            return TaskRequest(
                None, ask[language], options={"temperature": 0.0, "presence_penalty": 0.0, "stop_loops": True}
            )
        ask = words("Extract all values of the chart as JSON.", "用 JSON 提取图表中的所有数值。")
        values = {"type": "object", "additionalProperties": {"type": "number"}, "minProperties": 1}
        nested = {"type": "object", "additionalProperties": values, "minProperties": 1}
        grammar = Grammar.json_schema({"anyOf": [values, nested]}) if params.strict else None
        return TaskRequest(None, ask[language] + without_fence(params.strict, language), grammar, read_only_options())

    def _read(self, answer: str, whole: bool, params: ChartParams, media: Sequence[MediaInfo]) -> TaskResult:
        if params.result == "code":
            found = _code(answer, whole, "python")
            made_up = whole and any(_MADE_UP.search(block.source) for block in found.code)
            return found.model_copy(update={"warnings": [*found.warnings, _NOT_READ]}) if made_up else found
        if not whole:
            return TaskResult(text=answer)
        fields = parse_fields(answer)
        warnings = unfinished_warnings(answer) if fields else ["no values were found in the answer"]
        return TaskResult(
            text=answer, fields=named_values(fields), data=first_json(answer, whole=True), warnings=warnings
        )


def _code(answer: str, whole: bool, language: str) -> TaskResult:
    """The document, or the program; while it is written, the blocks that are closed."""
    if not whole:
        closed = [
            block for block in parse_code(answer) if block.closed and block.language == language and "```" in answer
        ]
        return TaskResult(text=answer, code=[_block(block.language, block.source, True) for block in closed[:1]])
    found = find_code(answer, language)
    if found is None:
        return TaskResult(text=answer, warnings=[f"no {language} was found in the answer"])
    warnings = [] if found.closed else ["the code is cut off"]
    return TaskResult(text=answer, code=[_block(language, found.source, found.closed)], warnings=warnings)


def _block(language: str, source: str, closed: bool) -> CodeBlock:
    return CodeBlock(language=language, source=source, closed=closed)
