"""What several tasks need: schemas of places and times, marks and steps in the right picture, JSON of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qwen3vl.tasks.actions import Action, parse_actions
from qwen3vl.tasks.base import Language
from qwen3vl.tasks.grounding import SCALE, parse_numbered_marks
from qwen3vl.tasks.loose_json import json_values
from qwen3vl.tasks.results import BoxMark, MediaInfo, NamedValue, PointMark, Step, placed

COORDINATE = {"type": "integer", "minimum": 0, "maximum": SCALE}
BOX = {"type": "array", "items": COORDINATE, "minItems": 4, "maxItems": 4}
POINT = {"type": "array", "items": COORDINATE, "minItems": 2, "maxItems": 2}
TEXT = {"type": "string"}
LABEL = {"type": "string", "maxLength": 100}  # a bound, because a model that has lost itself closes no string
TIME = {"type": "string", "pattern": r"^\d{2,3}:[0-5]\d\.\d{2}$"}


def object_of(properties: Mapping[str, Any], optional: Sequence[str] = ()) -> dict[str, Any]:
    """A schema of an object with these properties in this order and no others."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}


def list_of(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


def without_fence(strict: bool, language: Language) -> str:
    """Says that only JSON is wanted, where a grammar allows nothing else: models like to put a code fence around it."""
    if not strict:
        return ""
    return {"en": " Only the JSON, without a code fence.", "zh": "只输出 JSON，不要代码块标记。"}[language]


def marks_in(answer: str, media: Sequence[MediaInfo]) -> list[BoxMark | PointMark]:
    """Boxes and points, each in the picture whose number (from 1) its item names, else in the first."""
    marks = []
    for mark, number in parse_numbered_marks(answer, SCALE, SCALE):
        known = number is not None and 1 <= number <= len(media)
        marks.append(placed(mark, number - 1 if known and number else 0, media))
    return marks


def steps_in(answer: str, media: Sequence[MediaInfo]) -> list[Step]:
    """The actions of an answer, on the latest screenshot."""
    screen = len(media) - 1 if media else 0
    return [_step(action, screen, media) for action in parse_actions(answer, SCALE, SCALE)]


def _step(action: Action, screen: int, media: Sequence[MediaInfo]) -> Step:
    end = None if action.end is None else placed(action.end, screen, media)
    return Step(
        action=action.kind,
        target=None if action.target is None else placed(action.target, screen, media),
        end=end if isinstance(end, PointMark) else None,
        text=action.text,
        direction=action.direction,
        amount=action.amount,
        reason=action.reason,
    )


def which_picture(media: Sequence[MediaInfo], language: Language) -> str:
    """Asks for the number of the picture, where there are several."""
    if len(media) < 2:
        return ""
    more = {"en": ' Give each item the number of its picture as "picture": 1 for the first.'}
    return more.get(language, '每一项再用 "picture" 写明是第几张图，从 1 开始。')


def numbered(properties: Mapping[str, Any], media: Sequence[MediaInfo]) -> dict[str, Any]:
    """`properties`, and the number of the picture where there are several."""
    if len(media) < 2:
        return dict(properties)
    return {**properties, "picture": {"type": "integer", "minimum": 1, "maximum": len(media)}}


def first_json(answer: str, *, whole: bool) -> Any:
    """The first JSON object or list of the answer; also one that is cut off, if the answer is at its end."""
    return next(json_values(answer, unfinished=whole), None)


def unfinished_warnings(answer: str) -> list[str]:
    """That the JSON of the whole answer was not finished, if what is read of it had to be closed for it."""
    if next(json_values(answer), None) == first_json(answer, whole=True):
        return []
    return ["the JSON of the answer is not finished; what there is of it was taken"]


def named_values(fields: Mapping[str, str]) -> list[NamedValue]:
    return [NamedValue(name=name, value=value) for name, value in fields.items()]
