"""Names and values, as of a form, a receipt or a chart: from an answer's JSON to a dictionary."""

from __future__ import annotations

import re
from typing import Any

from qwen3vl.tasks.loose_json import json_values

_NAME_KEYS = ("key", "name", "field", "label", "category")
_VALUE_KEYS = ("value", "text", "content", "y")
_NUMBER = re.compile(r"[-+−]?\d[\d,\u00a0\u202f ]*(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+−]?\.\d+")


def parse_fields(text: str) -> dict[str, str]:
    """The names and values of the first JSON object in `text`, in the order written; values as text.

    A list of objects with a name and a value each (`{"key": ..., "value": ...}`) is read too. Of nested objects the
    names are joined by a dot. What is not finished is left out.
    """
    for value in json_values(text, unfinished=True):
        if fields := _fields(value):
            return fields
    return {}


def parse_values(text: str) -> dict[str, float]:
    """Like `parse_fields`, for numbers: "1,234", "45%" and "$3.5" count; what is no number is left out."""
    numbers = {name: parse_number(value) for name, value in parse_fields(text).items()}
    return {name: number for name, number in numbers.items() if number is not None}


def parse_number(text: str) -> float | None:
    """The first number in `text`; commas and blanks within it part thousands."""
    found = _NUMBER.search(text)
    if found is None:
        return None
    return float(re.sub(r"[,\u00a0\u202f ]", "", found[0]).replace("−", "-"))


def _fields(value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        return _flat(value)
    fields: dict[str, str] = {}
    for item in value:
        if isinstance(item, dict) and (pair := _pair(item)):
            fields.update([pair])
        elif isinstance(item, dict) and not any(key in item for key in _NAME_KEYS):  # else half a pair
            fields.update(_flat(item))
    return fields


def _pair(item: dict[str, Any]) -> tuple[str, str] | None:
    name = next((item[key] for key in _NAME_KEYS if isinstance(item.get(key), str)), None)
    value = next((item[key] for key in _VALUE_KEYS if isinstance(item.get(key), str | int | float)), None)
    return None if name is None or value is None else (name, _text(value))


def _flat(item: dict[str, Any], prefix: str = "") -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in item.items():
        if isinstance(value, dict):
            fields.update(_flat(value, f"{prefix}{name}."))
        elif isinstance(value, list):
            fields[prefix + name] = ", ".join(_text(entry) for entry in value if not isinstance(entry, dict | list))
        else:
            fields[prefix + name] = _text(value)
    return fields


def _text(value: Any) -> str:
    """As JSON would write it, without quotes: true, not True; nothing for null."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
