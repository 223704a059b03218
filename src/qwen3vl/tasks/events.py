"""Events, chapters and moments of a video: from an answer's text to seconds.

Reads a JSON object whose keys are ranges, a list of objects with `start` and `end`, and lines of prose with a range in
them, whole or still being written. Knows nothing of frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from qwen3vl.tasks.loose_json import json_objects

# No number is longer, and none begins within another: else a search through a long row of digits would take its square.
_CLOCK = r"(?:\d{1,3}:)?\d{1,3}:\d{1,2}(?:\.\d{1,20})?"
_SECONDS = r"(?<!\d)\d{1,10}(?:\.\d{1,20})?"
_UNIT = r"\s*(?:seconds?\b|secs?\b|s\b|秒)"
_MOMENT = re.compile(rf"({_CLOCK})|({_SECONDS}){_UNIT}|\b({_SECONDS})\b")
_RANGE = re.compile(
    rf"({_CLOCK}|{_SECONDS})(?:{_UNIT})?\s*(?:-+|–|—|~|～|\bto\b|\band\b|,|至|到)\s*({_CLOCK}|{_SECONDS})(?:{_UNIT})?"
)
_TEXT_KEYS = ("description", "title", "event", "caption", "label", "summary", "text", "content")
_START_KEYS = ("start", "start_time", "begin", "time", "timestamp")
_LATEST = 1e9  # seconds; comparing with it, unlike converting, works for integers of any size
_END_KEYS = ("end", "end_time")


@dataclass(frozen=True)
class Event:
    """Something from `start` to `end`, in seconds; both are the same for a moment."""

    start: float
    end: float
    text: str
    title: str = ""  # of a chapter that has a description beside it


def parse_events(text: str) -> list[Event]:
    """The events that `text` holds, in the order written. One that is not finished is left out."""
    found = [event for item in json_objects(text) for event in _events(item)]
    if found or "{" in text:
        return found or [event for item in json_objects(text, unfinished=True) for event in _ranges(item)]
    return [event for line in text.splitlines() if (event := _line(line))]


def parse_time(text: str) -> float | None:
    """The first moment that `text` names, in seconds: `01:23.45`, `1:02:03`, `12.5 seconds`, `12.5s`, or a bare number.

    A clock time or a number of seconds goes before a bare number, which may count something else.
    """
    moments = list(_MOMENT.finditer(text))
    best = next((moment for moment in moments if not moment[3]), moments[0] if moments else None)
    return None if best is None else _seconds(best[1] or best[2] or best[3])


def _events(item: dict[str, Any]) -> Iterator[Event]:
    texts = [item[key] for key in _TEXT_KEYS if isinstance(item.get(key), str)]
    description = texts[0] if texts else None
    title = item.get("title")
    start, end = _time_of(item, _START_KEYS), _time_of(item, _END_KEYS)
    if description is None or start is None:
        yield from _ranges(item)
    elif end is not None or not any(key in item for key in _END_KEYS):
        event = _event(start[0], start[1] if end is None else end[1], description)
        if isinstance(title, str) and title != description:
            event = replace(event, title=title.strip())
        elif len(texts) > 1 and description == title:  # a chapter's title is no description where there is one
            event = replace(event, title=event.text, text=texts[1].strip())
        yield event


def _ranges(item: dict[str, Any]) -> Iterator[Event]:
    """The events of an object whose keys are ranges."""
    for key, value in item.items():
        if isinstance(value, str) and (whole := _RANGE.fullmatch(key.strip())):
            yield _event(_seconds(whole[1]), _seconds(whole[2]), value)


def _time_of(item: dict[str, Any], keys: tuple[str, ...]) -> tuple[float, float] | None:
    """Start and end of the first of `keys` that holds a time; a range may stand under a single key."""
    for key in keys:
        value = item.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST:
            return float(value), float(value)
        if isinstance(value, str):
            if both := _RANGE.fullmatch(value.strip()):
                return _seconds(both[1]), _seconds(both[2])
            if (moment := parse_time(value)) is not None:
                return moment, moment
    return None


def _line(line: str) -> Event | None:
    """`00:10 - 00:12 A title`, `- 00:10: a title`, or a sentence that says from when to when."""
    if both := _RANGE.search(line):
        start, end = both[1], both[2]
        place = both.span()
    elif (moment := _MOMENT.search(line)) and moment[1]:
        start = end = moment[1]
        place = moment.span()
    else:
        return None
    before, after = line[: place[0]].strip(" \t-*•<[(#"), line[place[1] :].strip(" \t-–—:>])。.：")
    return _event(_seconds(start), _seconds(end), after if not before else line.strip())


def _event(start: float, end: float, text: str) -> Event:
    return Event(min(start, end), max(start, end), text.strip())


def _seconds(text: str) -> float:
    total = 0.0
    for part in text.split(":"):
        total = total * 60 + float(part)
    return min(total, _LATEST)
