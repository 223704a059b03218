"""What an agent should do next on a screen: from an answer's text to typed actions.

Reads the models' own tool calls (`computer_use` on a desktop, `mobile_use` on a phone), with or without the `Thought:`
and `Action:` lines before them, and a plain JSON object with `action` and `element`. Only what is finished is read:
half an action is none. Coordinates become pixels here. Carries nothing out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from qwen3vl.tasks.grounding import Mark, Point, box_of, point_of
from qwen3vl.tasks.loose_json import json_objects
from qwen3vl.tasks.thinking import split_thinking

ActionKind = Literal[
    "click", "double_click", "triple_click", "right_click", "middle_click", "long_press", "move", "drag",
    "type", "key", "button", "scroll", "wait", "answer", "done",
]  # fmt: skip
Direction = Literal["up", "down", "left", "right"]

_KINDS: Mapping[str, ActionKind] = {kind: kind for kind in get_args(ActionKind)} | {
    "left_click": "click",
    "tap": "click",
    "mouse_move": "move",
    "left_click_drag": "drag",
    "swipe": "drag",
    "input": "type",
    "press": "key",
    "hotkey": "key",
    "system_button": "button",
    "hscroll": "scroll",
    "terminate": "done",
    "finish": "done",
}
_TEXT_NAMES: Mapping[ActionKind, tuple[str, ...]] = {
    "type": ("value", "text", "content"),
    "key": ("keys", "key", "text"),
    "answer": ("text",),
    "button": ("button",),
    "done": ("status",),
}
_LARGEST = 1e9  # comparing with it, unlike converting, works for integers of any size
_THOUGHT = re.compile(r"Thought:\s*(.*?)\s*(?=\n\s*Action:|<tool_call>|```|\{|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Action:
    """One step. What a kind does not need is left empty.

    `text` is what is typed or answered, the keys that are pressed together (`ctrl+s`), the system button, or how the
    task ended (`success`, `failure`).
    """

    kind: ActionKind
    target: Mark | None = None  # where, in pixels: the element's box, its label the element's text, or just a point
    end: Point | None = None  # where a drag ends
    text: str = ""
    direction: Direction | None = None  # of a scroll: which way the view moves
    amount: float | None = None  # pixels that are scrolled, seconds that are waited or pressed
    reason: str = ""


def parse_actions(text: str, width: int, height: int) -> list[Action]:
    """The actions that `text` asks for on a screen of `width` x `height` pixels, in the order written."""
    answer = split_thinking(text).answer
    actions = [action for item in _items(answer) if (action := _action(item, width, height))]
    thought = _THOUGHT.search(answer)
    if actions and thought and not actions[0].reason:
        actions[0] = replace(actions[0], reason=thought[1])
    return actions


def _items(answer: str) -> list[dict[str, Any]]:
    """Every object with an action; the arguments of a call may be JSON in a string."""
    items = []
    for item in json_objects(answer):
        arguments = item.get("arguments")
        items += [item, *(json_objects(arguments) if isinstance(arguments, str) else ())]
    return [item for item in items if isinstance(item.get("action"), str)]


def _action(item: dict[str, Any], width: int, height: int) -> Action | None:
    name = item["action"].strip().lower()
    kind = _KINDS.get(name)
    if kind is None:
        return None
    element = item.get("element")
    if isinstance(element, dict):
        label = _string(element.get("text"))
    else:  # the element's box and text may stand beside the action; what is typed then goes by another name
        element, label = item, "" if kind in _TEXT_NAMES and "value" not in item else _string(item.get("text"))
    target: Mark | None = box_of(element.get("bbox", element.get("bbox_2d")), width, height, label)
    target = target or point_of(item.get("coordinate"), width, height, label)
    direction, amount = _movement(item, name)
    return Action(
        kind,
        target,
        end=point_of(item.get("coordinate2"), width, height),
        text=_text(item, kind),
        direction=direction if kind == "scroll" else None,
        amount=amount,
        reason=_string(item.get("reasoning", item.get("thought"))),
    )


def _text(item: dict[str, Any], kind: ActionKind) -> str:
    value = next((item[name] for name in _TEXT_NAMES.get(kind, ()) if name in item), "")
    if kind == "key":
        return "+".join(_string(key) for key in (value if isinstance(value, list) else [value])).lower()
    return _string(value)


def _movement(item: dict[str, Any], name: str) -> tuple[Direction | None, float | None]:
    """Which way, and how far or how long. The tools count pixels upwards, or to the right, as positive."""
    seconds, pixels = _number(item.get("time")), _number(item.get("pixels", item.get("amount")))
    asked = _string(item.get("direction")).lower()
    if asked in get_args(Direction):
        return asked, None if pixels is None else abs(pixels)  # type: ignore[return-value]  # one of the four
    if pixels is None:
        return None, seconds
    ways: tuple[Direction, Direction] = ("right", "left") if name == "hscroll" else ("up", "down")
    return ways[pixels < 0], abs(pixels)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST
    return float(value) if known else None
