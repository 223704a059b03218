"""JSON amid anything."""

from __future__ import annotations

import time
from typing import Any

import pytest

from qwen3vl.tasks.loose_json import json_objects, json_values

READ: dict[str, tuple[str, list[Any], list[Any]]] = {  # text, whole values, values with what is unfinished
    "whole": ('Here: {"a": [1, 2]} and [3].', [{"a": [1, 2]}, [3]], [{"a": [1, 2]}, [3]]),
    "string with brackets": ('{"a": "}]"}', [{"a": "}]"}], [{"a": "}]"}]),
    "cut off": ('[{"a": 1}, {"b": [2, 3', [{"a": 1}], [[{"a": 1}, {"b": [2]}]]),
    "cut off in a word": ('{"a": tru', [], [{}]),
    "broken outside, whole inside": ('[{"a": 1} {"b": 2}]', [{"a": 1}, {"b": 2}], [{"a": 1}, {"b": 2}]),
    "prose with brackets": ("see {this} [and that] {", [], [{}]),
    "nothing": ("", [], []),
}


@pytest.mark.parametrize("name", READ)
def test_values(name: str) -> None:
    text, whole, unfinished = READ[name]
    assert list(json_values(text)) == whole
    assert list(json_values(text, unfinished=True)) == unfinished


def test_half_of_a_surrogate_pair_is_a_letter_like_any_other() -> None:
    assert list(json_values('["\ud800a", "b', unfinished=True)) == [["?a"]]


def test_objects_are_outer_before_inner() -> None:
    assert list(json_objects('[{"a": {"b": 1}}, {"c": 2}]')) == [{"a": {"b": 1}}, {"b": 1}, {"c": 2}]


@pytest.mark.parametrize(
    "text",
    ['{"a":' * 20_000, "{" * 100_000, '[{"a": [' * 20_000, '{"a' * 50_000, "[" + "1," * 50_000 + "x" + "[1," * 50_000],
)
@pytest.mark.parametrize("unfinished", [False, True])
def test_hostile_text_ends_soon(text: str, unfinished: bool) -> None:
    started = time.process_time()
    list(json_objects(text, unfinished=unfinished))
    assert time.process_time() - started < 2
