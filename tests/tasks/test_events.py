"""Events in the recorded forms, moments in all ways to write them."""

from __future__ import annotations

import pytest

from qwen3vl.tasks.events import Event, parse_events, parse_time

EVENTS = [Event(23.0, 48.0, "trim the fat off a piece of beef."), Event(48.5, 63.25, "season it.")]
LIST = (
    '```json\n[\n\t{"start": "00:23.00", "end": "00:48.00", "description": "trim the fat off a piece of beef."},\n'
    '\t{"start": "00:48.50", "end": "01:03.25", "description": "season it."}\n]\n```'
)
RANGES = '{\n"00:23.00 - 00:48.00": "trim the fat off a piece of beef.",\n"00:48.50 - 01:03.25": "season it."\n}'

READ: dict[str, tuple[str, list[Event]]] = {
    "list": (LIST, EVENTS),
    "ranges as keys": (RANGES, EVENTS),
    "ranges as keys, fenced": (f"In order:\n```json\n{RANGES}\n```", EVENTS),
    "other names": ('[{"start_time": 23, "end_time": 48.0, "title": "Trim"}]', [Event(23, 48, "Trim")]),
    "a range in one value": ('[{"timestamp": "00:23 - 00:48", "label": "Trim"}]', [Event(23, 48, "Trim")]),
    "a moment": ('[{"time": "00:04", "event": "red circle appears"}]', [Event(4, 4, "red circle appears")]),
    "hours": ('[{"start": "1:00:01", "end": "1:00:02.5", "description": "x"}]', [Event(3601, 3602.5, "x")]),
    "swapped": ('[{"start": "00:48", "end": "00:23", "description": "x"}]', [Event(23, 48, "x")]),
    "nested": ('{"chapters": [{"start": "00:23", "end": "00:48", "title": "x"}]}', [Event(23, 48, "x")]),
    "cut off": (LIST[: LIST.index("season")], EVENTS[:1]),
    "cut off after a start": ('[{"description": "x", "start": "00:23", "end": "00:4', []),
    "one is broken": (LIST.replace('"00:48.50",', '"00:48.50"'), EVENTS[:1]),
    "lines": ("00:23 - 00:48 Trim\n00:48 – 01:03: Season", [Event(23, 48, "Trim"), Event(48, 63, "Season")]),
    "list of moments": ("- 00:23 Trim\n- 00:48: Season", [Event(23, 23, "Trim"), Event(48, 48, "Season")]),
    "a sentence": (
        "The given query happens in 24.3 - 30.4 seconds.",
        [Event(24.3, 30.4, "The given query happens in 24.3 - 30.4 seconds.")],
    ),
    "a sentence in Chinese": ("从 2 秒到 3.5 秒出现。", [Event(2, 3.5, "从 2 秒到 3.5 秒出现。")]),
    "no times": ("Nothing happens in this video.", []),
    "nothing": ("", []),
}


@pytest.mark.parametrize("name", READ)
def test_parse(name: str) -> None:
    text, events = READ[name]
    assert parse_events(text) == events


@pytest.mark.parametrize("text", [LIST, RANGES])
def test_a_growing_list_never_loses_an_event(text: str) -> None:
    counts = []
    for end in range(len(text) + 1):
        seen = parse_events(text[:end])
        assert seen == EVENTS[: len(seen)]
        counts.append(len(seen))
    assert counts == sorted(counts)
    assert counts[-1] == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:02.50", 2.5),
        ("1:02:03", 3723),
        ("It appears at 01:10.", 70),
        ("at 2.5 seconds", 2.5),
        ("2.5s", 2.5),
        ("在第 3 秒", 3),
        ("4", 4),
        ("The 2 circles appear at 5 s.", 5),
        ("never", None),
        ("", None),
    ],
)
def test_time(text: str, seconds: float | None) -> None:
    assert parse_time(text) == seconds
