"""Tool calls as the models' authors recorded them, the plain form, and what must not be taken for an action."""

from __future__ import annotations

import pytest

from qwen3vl.tasks.actions import Action, parse_actions
from qwen3vl.tasks.grounding import Box, Point

# On a screen of 200 x 100, so that 1000 becomes 200 or 100.
PHONE = (
    "Thought: To find the settings I need to open the menu first.\n"
    'Action: "Tap the menu icon at the top."\n'
    '<tool_call>\n{"name": "mobile_use", "arguments": {"action": "click", "coordinate": [450, 80]}}\n</tool_call>'
)
THOUGHT = "To find the settings I need to open the menu first."


def desktop(arguments: str) -> str:
    return f'<tool_call>\n{{"name": "computer_use", "arguments": {arguments}}}\n</tool_call>'


READ: dict[str, tuple[str, list[Action]]] = {
    "phone": (PHONE, [Action("click", Point(90, 8), reason=THOUGHT)]),
    "click": (desktop('{"action": "left_click", "coordinate": [500, 250]}'), [Action("click", Point(100, 25))]),
    "right click": (
        desktop('{"action": "right_click", "coordinate": [500, 250]}'),
        [Action("right_click", Point(100, 25))],
    ),
    "type": (desktop('{"action": "type", "text": "hello 你好"}'), [Action("type", text="hello 你好")]),
    "keys": (desktop('{"action": "key", "keys": ["Ctrl", "s"]}'), [Action("key", text="ctrl+s")]),
    "key": (desktop('{"action": "key", "text": "Enter"}'), [Action("key", text="enter")]),
    "scroll down": (
        desktop('{"action": "scroll", "pixels": -300, "coordinate": [500, 500]}'),
        [Action("scroll", Point(100, 50), direction="down", amount=300)],
    ),
    "scroll up": (desktop('{"action": "scroll", "pixels": 300}'), [Action("scroll", direction="up", amount=300)]),
    "sideways": (desktop('{"action": "hscroll", "pixels": 20}'), [Action("scroll", direction="right", amount=20)]),
    "wait": (desktop('{"action": "wait", "time": 2.5}'), [Action("wait", amount=2.5)]),
    "end": (desktop('{"action": "terminate", "status": "success"}'), [Action("done", text="success")]),
    "answer": (desktop('{"action": "answer", "text": "Blue."}'), [Action("answer", text="Blue.")]),
    "swipe": (
        desktop('{"action": "swipe", "coordinate": [500, 800], "coordinate2": [500, 200]}'),
        [Action("drag", Point(100, 80), end=Point(100, 20))],
    ),
    "button": (desktop('{"action": "system_button", "button": "Back"}'), [Action("button", text="Back")]),
    "arguments in a string": (
        '{"name": "computer_use", "arguments": "{\\"action\\": \\"left_click\\", \\"coordinate\\": [500, 250]}"}',
        [Action("click", Point(100, 25))],
    ),
    "two calls": (
        desktop('{"action": "left_click", "coordinate": [500, 250]}')
        + "\n"
        + desktop('{"action": "type", "text": "x"}'),
        [Action("click", Point(100, 25)), Action("type", text="x")],
    ),
    "plain": (
        '{"action": "click", "element": {"text": "Save", "bbox": [100, 200, 300, 400]}, "reasoning": "It saves."}',
        [Action("click", Box(20, 20, 60, 40, "Save"), reason="It saves.")],
    ),
    "plain, fenced": (
        '```json\n{"action": "click", "element": {"text": "Save", "bbox": [100, 200, 300, 400]}}\n```',
        [Action("click", Box(20, 20, 60, 40, "Save"))],
    ),
    "plain type": (
        '{"action": "type", "element": {"text": "Name", "bbox": [100, 200, 300, 400]}, "text": "Ada"}',
        [Action("type", Box(20, 20, 60, 40, "Name"), text="Ada")],
    ),
    "plain scroll": ('{"action": "scroll", "direction": "down"}', [Action("scroll", direction="down")]),
    "plain key": ('{"action": "key", "keys": "ctrl+s"}', [Action("key", text="ctrl+s")]),
    "element beside the action": (
        '{"action": "click", "text": "Save", "bbox_2d": [100, 200, 300, 400]}',
        [Action("click", Box(20, 20, 60, 40, "Save"))],
    ),
    "typed value beside the action": (
        '{"action": "type", "text": "Name", "value": "Ada", "bbox_2d": [100, 200, 300, 400]}',
        [Action("type", Box(20, 20, 60, 40, "Name"), text="Ada")],
    ),
    "only considered": (
        '<think>I could {"action": "terminate"} now.</think>' + desktop('{"action": "wait", "time": 1}'),
        [Action("wait", amount=1)],
    ),
    "no known action": (desktop('{"action": "dance"}'), []),
    "action of another type": ('{"action": 7}', []),
    "no usable place": (
        desktop('{"action": "left_click", "coordinate": ["a", 2]}'),
        [Action("click")],
    ),
    "prose": ("There is nothing to click here.", []),
    "empty": ("", []),
}


@pytest.mark.parametrize("name", READ)
def test_parse(name: str) -> None:
    text, actions = READ[name]
    assert parse_actions(text, 200, 100) == actions


@pytest.mark.parametrize("name", READ)
def test_half_an_action_is_none(name: str) -> None:
    """Character by character: only whole actions come, in their order. (What a thought is made of may grow.)"""
    text, actions = READ[name]
    counts = []
    for end in range(len(text) + 1):
        seen = parse_actions(text[:end], 200, 100)
        if "<think>" not in text[:end] or "</think>" in text[:end]:
            assert [(a.kind, a.target, a.text) for a in seen] == [
                (a.kind, a.target, a.text) for a in actions[: len(seen)]
            ]
        counts.append(len(seen))
    assert counts == sorted(counts)
    assert counts[text.find("}")] == 0
