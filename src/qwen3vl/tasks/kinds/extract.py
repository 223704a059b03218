"""Named values out of documents: all there are, those of a receipt, or those of a user's own JSON schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from qwen3vl.engine.grammar import Grammar
from qwen3vl.tasks.base import Language, StrictParams, Task, TaskRequest, param, read_only_options, words
from qwen3vl.tasks.fields import parse_fields
from qwen3vl.tasks.kinds.shared import (
    TEXT,
    first_json,
    list_of,
    named_values,
    object_of,
    unfinished_warnings,
    without_fence,
)
from qwen3vl.tasks.results import MediaInfo, TaskResult
from qwen3vl.tasks.schema_faults import schema_fault

RECEIPT: Mapping[str, Any] = object_of(
    {
        "merchant": TEXT,
        "address": TEXT,
        "date": TEXT,
        "currency": TEXT,
        "items": list_of(object_of({"name": TEXT, "quantity": {"type": "number"}, "price": {"type": "number"}})),
        "tax": {"type": ["number", "null"]},
        "total": {"type": "number"},
    }
)
_ANY: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
    "minProperties": 1,
}


class ExtractParams(StrictParams):
    model_config = ConfigDict(populate_by_name=True)  # kept parameters are read again by the names of their fields

    preset: Literal["all", "receipt", "schema"] = param(
        "all",
        ("What", "All fields, a receipt, or your own schema."),
        ("内容", "全部字段、收据，或自定义的 JSON schema。"),
    )
    schema_: dict[str, Any] | None = Field(
        None,
        alias="schema",
        title="JSON schema",
        description="Of the object that you want to get.",
        json_schema_extra={"zh": {"title": "JSON schema", "description": "希望得到的对象的 schema。"}},
    )

    @model_validator(mode="after")
    def _schema_where_it_belongs(self) -> ExtractParams:
        if (self.preset == "schema") != (self.schema_ is not None):
            raise ValueError("give a schema with the preset 'schema', and only then")
        return self


class Extract(Task[ExtractParams]):
    name = "extract"
    titles = words("Extract fields", "提取字段")
    summaries = words(
        "Names and values of a form or receipt, or exactly the fields of your JSON schema.",
        "提取表单、收据的字段和值，也可按自定义的 JSON schema 提取。",
    )
    accepts = frozenset({"text", "image", "document"})
    needs = frozenset({"image", "document"})
    params = ExtractParams

    def _ask(self, params: ExtractParams, media: Sequence[MediaInfo], language: Language) -> TaskRequest:
        schema = {"all": None, "receipt": RECEIPT, "schema": params.schema_}[params.preset]
        ask = words("Extract all fields as JSON.", "用 JSON 提取所有字段。")[language]
        if schema is not None:
            said = words("Use this JSON schema: ", "使用这个 JSON schema：")[language]
            ask = f"{ask} {said}{json.dumps(schema, ensure_ascii=False)}"
        ask += without_fence(params.strict, language)
        grammar = Grammar.json_schema(schema or _ANY) if params.strict else None
        return TaskRequest(None, ask, grammar, read_only_options())

    def _read(self, answer: str, whole: bool, params: ExtractParams, media: Sequence[MediaInfo]) -> TaskResult:
        if not whole:
            return TaskResult(text=answer)  # a value may still grow, and one that is nested change its name
        fields, data = parse_fields(answer), first_json(answer, whole=True)
        warnings = unfinished_warnings(answer) if fields else ["no fields were found in the answer"]
        if fields and params.schema_ is not None and (fault := schema_fault(data, params.schema_)):
            warnings.append(f"the answer is not what the schema asks for: {fault}")
        return TaskResult(text=answer, fields=named_values(fields), data=data, warnings=warnings)
