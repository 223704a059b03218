"""Names and values in the forms that models give them."""

from __future__ import annotations

import pytest

from qwen3vl.tasks.fields import parse_fields, parse_number, parse_values

FORM = '{"Name": "Ada", "Age": 36, "Member": true, "Note": null, "City": "伦敦"}'
FIELDS = {"Name": "Ada", "Age": "36", "Member": "true", "Note": "", "City": "伦敦"}

READ: dict[str, tuple[str, dict[str, str]]] = {
    "plain": (FORM, FIELDS),
    "fenced": (f"Found:\n```json\n{FORM}\n```", FIELDS),
    "list of pairs": ('[{"key": "Name", "value": "Ada"}, {"key": "Age", "value": 36}]', {"Name": "Ada", "Age": "36"}),
    "list of objects": ('[{"Name": "Ada"}, {"Age": 36}]', {"Name": "Ada", "Age": "36"}),
    "nested": ('{"to": {"name": "Ada"}, "items": ["tea", "milk"]}', {"to.name": "Ada", "items": "tea, milk"}),
    "a line break in a value": ('{"Address": "1 High St\nLondon"}', {"Address": "1 High St\nLondon"}),
    "list of pairs, cut off": ('[{"key": "Name", "value": "Ada"}, {"key": "Age", "val', {"Name": "Ada"}),
    "cut off in a value": ('{"Name": "Ada", "City": "Lon', {"Name": "Ada"}),
    "cut off in a number": ('{"Name": "Ada", "Age": 3', {"Name": "Ada"}),
    "cut off after a backslash": ('{"Name": "Ada", "City": "\\', {"Name": "Ada"}),
    "cut off in a name": ('{"Name": "Ada", "Ci', {"Name": "Ada"}),
    "broken": ('{"Name": "Ada" "City": "London"}', {}),
    "prose": ("There is no form.", {}),
    "nothing": ("", {}),
}


@pytest.mark.parametrize("name", READ)
def test_parse(name: str) -> None:
    text, fields = READ[name]
    assert parse_fields(text) == fields


def test_growing_fields_only_grow() -> None:
    for end in range(len(FORM) + 1):
        seen = parse_fields(FORM[:end])
        assert list(seen.items()) == list(FIELDS.items())[: len(seen)]
    assert seen == FIELDS


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("-3.5", -3.5), ("$1,234.50", 1234.5), ("1 234", 1234), ("45 %", 45), ("−2", -2), (".5", 0.5),
     ("1e3", 1000), ("about 12 or 13", 12), ("none", None), ("", None)],
)  # fmt: skip
def test_number(text: str, number: float | None) -> None:
    assert parse_number(text) == number


def test_values_of_a_chart() -> None:
    assert parse_values('{"2020": 12, "2021": "1,300", "2022": "45%", "2023": "unknown"}') == {
        "2020": 12,
        "2021": 1300,
        "2022": 45,
    }
