"""What a result warns of: answers that miss a schema, are not finished, or make up what they should read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.results import MediaInfo
from qwen3vl.tasks.schema_faults import schema_fault

MEDIA = [MediaInfo("image", 100, 100)]
ITEM = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}
SCHEMA = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": ITEM}, "total": {"type": "number"}},
    "required": ["total"],
    "additionalProperties": False,
}


def warnings(task: str, answer: str, **params: Any) -> list[str]:
    parsed = TASKS[task].params.model_validate(params)
    return TASKS[task].reader(parsed, MEDIA).finish(answer).warnings


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"total": 1, "items": [{"price": 2}, {"price": 3}]}, None),
        ({"total": 1, "items": [{"price": 2}, {"price": "three"}]}, "items[1].price: "),
        ({"total": "1"}, "total: "),
        ({"items": []}, "the whole: "),
        ({"total": 1, "tax": 2}, "tax"),
    ],
)
def test_an_answer_that_misses_the_schema(answer: dict[str, Any], words: str | None) -> None:
    told = warnings("extract", json.dumps(answer), preset="schema", schema=SCHEMA)
    assert told == [] if words is None else len(told) == 1 and words in told[0], told


def test_a_schema_that_cannot_be_used_is_no_error() -> None:
    for schema in ({"type": "foo"}, {"$ref": "http://127.0.0.1:1/schema"}, {"$ref": "file:///etc/passwd"}):
        assert "the schema itself" in (schema_fault({}, schema) or "")


@pytest.mark.parametrize(("task", "params"), [("extract", {}), ("chart_to_code", {"result": "data"})])
def test_json_that_was_not_finished(task: str, params: dict[str, Any]) -> None:
    assert warnings(task, '{"a": 1, "b": 2}', **params) == []
    [told] = warnings(task, '{"a": 1, "b": 2, "c', **params)
    assert "not finished" in told


@pytest.mark.parametrize(
    ("source", "made_up"),
    [
        ("plt.bar(['a', 'b'], [3, 4])", False),
        ("plt.plot(np.random.rand(10))", True),
        ("rng = np.random.default_rng(0)", True),
        ("# Sample data\nvalues = [1, 2]", True),
        ("plt.title('Randomised trials')", False),
    ],
)
def test_a_program_that_makes_up_its_values(source: str, made_up: bool) -> None:
    told = warnings("chart_to_code", f"```python\n{source}\n```")
    assert told == (["the program makes up values by itself, which were not read from the chart"] if made_up else [])
