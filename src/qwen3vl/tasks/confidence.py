"""How sure the model was: from the log-probabilities of an answer's tokens to one figure for each place and action.

The figure is the geometric mean of the probabilities of the tokens in which the model could have said something else:
the coordinates of a mark; the name, text and coordinates of an action. The model is never asked how sure it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from qwen3vl.engine.outputs import TokenLogprob
from qwen3vl.tasks.loose_json import json_spans

if TYPE_CHECKING:
    from qwen3vl.tasks.results import TaskResult

Span = tuple[int, int]

_VALUE = r'"(?:{names})"\s*:\s*("(?:[^"\\]|\\.)*"|\[[^\[\]]*\])'
_PLACE = re.compile(_VALUE.format(names="bbox_2d|point_2d|bbox_3d"))
_DECISION = re.compile(_VALUE.format(names="action|coordinate2?|text|keys?|button|value|bbox(?:_2d)?|direction"))
_NAMES_ACTION = re.compile(r'"action"\s*:\s*"')
_LONGEST_GAP = 8  # characters in which the text and its tokens may disagree: parts of characters, held back


def with_confidence(result: TaskResult, text: str, start: int, logprobs: Sequence[TokenLogprob]) -> TaskResult:
    """`result` with the confidence of its marks and actions, of an answer that begins at `start` of `text`.

    Where what was found cannot be matched with what was written, it has none.
    """
    if not result.marks and not result.actions:
        return result
    spans = _token_spans(text, logprobs)
    places = [match.span(1) for match in _PLACE.finditer(text, start)]
    marks = result.marks
    if len(places) == len(marks):
        sure = [_mean(spans, logprobs, [place]) for place in places]
        marks = [mark.model_copy(update={"confidence": c}) for mark, c in zip(marks, sure, strict=True)]
    calls = [
        (a + start, b + start)
        for _, a, b in json_spans(text[start:])
        if _NAMES_ACTION.search(text, a + start, b + start)
    ]
    actions = result.actions
    if len(calls) == len(actions):
        decisions = [[match.span(1) for match in _DECISION.finditer(text, *call)] for call in calls]
        sure = [_mean(spans, logprobs, decision) for decision in decisions]
        actions = [action.model_copy(update={"confidence": c}) for action, c in zip(actions, sure, strict=True)]
    return result.model_copy(update={"marks": marks, "actions": actions})


def _token_spans(text: str, logprobs: Sequence[TokenLogprob]) -> list[Span]:
    """Where in `text` each token stands. A token that is part of a character, or not shown, stands nowhere."""
    spans = []
    place = 0
    for entry in logprobs:
        found = text.find(entry.token, place, place + len(entry.token) + _LONGEST_GAP) if entry.token else -1
        if found < 0:
            spans.append((place, place))
        else:
            place = found + len(entry.token)
            spans.append((found, place))
    return spans


def _mean(spans: Sequence[Span], logprobs: Sequence[TokenLogprob], places: Iterable[Span]) -> float | None:
    wanted = list(places)
    values = [
        entry.logprob
        for entry, (start, end) in zip(logprobs, spans, strict=True)
        if any(start < last and end > first for first, last in wanted)
    ]
    return math.exp(sum(values) / len(values)) if values else None
