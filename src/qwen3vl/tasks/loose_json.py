"""JSON out of an answer's text: alone, fenced or amid prose, whole, broken, or still being written.

Knows nothing of what the values mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

_OPENING = re.compile(r"[\[{]")
_CUT_OFF = re.compile(r'(?:"(?:[^"\\]|\\.)*\\?|[\w.+-]*)\s*\Z', re.DOTALL)  # what the decoder stumbles over at the end
_UNFINISHED_WORD = re.compile(r"[\w.+-]+\Z")  # "12" may become "125", "tru" becomes true
_MAX_FAILURES = 256  # brackets that begin no value, before the text is given up: keeps the time linear

_decoder = json.JSONDecoder(strict=False)  # models write line breaks into strings


def json_values(text: str, *, unfinished: bool = False) -> Iterator[Any]:
    """Each outermost complete JSON object or list of `text`; of a broken one, those inside it.

    With `unfinished`, one that the end of the text cuts off comes too, as far as it goes: without the item, string or
    number that is itself cut off.
    """
    return (value for value, _, _ in json_spans(text, unfinished=unfinished))


def json_spans(text: str, *, unfinished: bool = False) -> Iterator[tuple[Any, int, int]]:
    """Like `json_values`, each with where in `text` it begins and ends."""
    failures = 0
    opening = _OPENING.search(text)
    while opening and failures < _MAX_FAILURES:
        start = opening.start()
        try:
            value, end = _decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:  # also a number of thousands of digits
            end = start + 1
            failures += 1
            if unfinished and isinstance(error, json.JSONDecodeError) and _CUT_OFF.match(text, error.pos):
                yield _begun(text[start:]), start, len(text)
                return
        else:
            yield value, start, end
        opening = _OPENING.search(text, end)


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in `value`, outer before inner, in the order written."""
    pending = [value]
    while pending:
        current = pending.pop()
        if isinstance(current, dict):
            yield current
            pending.extend(reversed(current.values()))
        elif isinstance(current, list):
            pending.extend(reversed(current))


def json_objects(text: str, *, unfinished: bool = False) -> Iterator[dict[str, Any]]:
    """Every JSON object of `text`, outer before inner."""
    for value in json_values(text, unfinished=unfinished):
        yield from objects_in(value)


def _begun(text: str) -> Any:
    """The value that `text` begins. An empty list if it cannot be said: it has a line break in a string."""
    try:
        return from_json(_UNFINISHED_WORD.sub("", text).encode(errors="replace"), allow_partial=True)
    except ValueError:
        return []
