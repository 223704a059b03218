"""Tables out of pictures, as HTML with spanning cells, and as CSV."""

from __future__ import annotations

from collections.abc import Sequence

from qwen3vl.tasks.base import Language, Task, TaskParams, TaskRequest, param, read_only_options, words
from qwen3vl.tasks.results import MediaInfo, Table, TaskResult
from qwen3vl.tasks.tables import parse_tables


class TablesParams(TaskParams):
    which: str = param("", ("Which table", "Leave empty for all."), ("哪个表格", "留空则提取全部表格。"))


class Tables(Task[TablesParams]):
    name = "tables"
    titles = words("Tables", "表格")
    summaries = words(
        "Turns the tables of a picture or page into HTML and CSV.", "把图片或页面中的表格转成 HTML 和 CSV。"
    )
    accepts = frozenset({"text", "image", "document"})
    needs = frozenset({"image", "document"})
    text_param = "which"
    params = TablesParams

    def _ask(self, params: TablesParams, media: Sequence[MediaInfo], language: Language) -> TaskRequest:
        ask = words("Convert the table to HTML.", "把表格转成 HTML。")[language]
        if params.which:
            ask += {"en": f" Only this one: {params.which}", "zh": f"只要这个表格：{params.which}"}[language]
        return TaskRequest(None, ask, options=read_only_options())

    def _read(self, answer: str, whole: bool, params: TablesParams, media: Sequence[MediaInfo]) -> TaskResult:
        tables = [Table(rows=[list(row) for row in rows]) for rows in parse_tables(answer, finished_only=not whole)]
        return TaskResult(
            text=answer, tables=tables, warnings=[] if tables or not whole else ["no table was found in the answer"]
        )
