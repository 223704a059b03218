"""Confidence: the geometric mean over just the tokens that decide, whatever the tokens' borders."""

from __future__ import annotations

import math

import pytest

from qwen3vl.engine.outputs import TokenLogprob
from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.results import MediaInfo, TaskResult

SCREEN = (MediaInfo("image", 1000, 1000),)


def logprobs(tokens: list[tuple[str, float]]) -> list[TokenLogprob]:
    return [TokenLogprob(number, text, math.log(p)) for number, (text, p) in enumerate(tokens)]


def result(task: str, tokens: list[tuple[str, float]], text: str | None = None, **params: object) -> TaskResult:
    known = TASKS[task]
    whole = "".join(token for token, _ in tokens) if text is None else text
    return known.reader(known.params(**params), SCREEN).finish(whole, logprobs(tokens))


def test_an_action_is_as_sure_as_its_name_and_place() -> None:
    tokens = [
        ("Thought: it is there.\n", 0.01),
        ('<tool_call>\n{"name": "computer_use", "arguments": {"action": "', 0.5),
        ("left_click", 0.9),
        ('", "coordinate": [', 0.3),
        ("10", 0.8),
        ("0", 0.5),
        (", ", 1.0),
        ("200", 0.7),
        ("]}}\n</tool_call>", 0.2),
    ]
    found = result("gui_agent", tokens, goal="x").actions[0].confidence
    # The quote before the name, the brackets and the comma belong to the values; 0.3 and 0.2 hold a bracket each.
    expected = (0.5 * 0.9 * 0.3 * 0.8 * 0.5 * 1.0 * 0.7 * 0.2) ** (1 / 8)
    assert found == pytest.approx(expected)


def test_what_was_thought_does_not_count() -> None:
    answer = [('{"bbox_2d": ', 0.1), ("[1, 2, 3, 4]", 0.6), (', "label": "x"}', 0.1)]
    thought = [('<think>{"bbox_2d": [9, 9, 9, 9]}', 0.9), ("</think>\n\n", 0.9)]
    assert result("grounding", thought + answer, target="x").marks[0].confidence == pytest.approx(0.6)


def test_each_mark_has_its_own() -> None:
    tokens = [('[{"bbox_2d": ', 0.1), ("[1, 2, 3, 4]", 0.9), (', "label": "x"}, {"bbox_2d": ', 0.1)]
    tokens += [("[5, 6, 7, 8]", 0.4), (', "label": "y"}]', 0.1)]
    marks = result("grounding", tokens, target="x").marks
    assert [mark.confidence for mark in marks] == [pytest.approx(0.9), pytest.approx(0.4)]


def test_tokens_that_are_parts_of_a_character_and_control_tokens() -> None:
    """Three tokens make one character, and the end of the turn is no text at all."""
    part = "\N{REPLACEMENT CHARACTER}"
    tokens = [('{"label": "', 0.1), (part, 0.1), (part, 0.1), (part, 0.1), ('", "bbox_2d": ', 0.1)]
    tokens += [("[1, 2, 3, 4]", 0.7), ("}", 0.1), ("<|im_end|>", 0.1)]
    text = '{"label": "中", "bbox_2d": [1, 2, 3, 4]}'
    assert result("grounding", tokens, text, target="x").marks[0].confidence == pytest.approx(0.7)


def test_without_probabilities_there_is_none() -> None:
    known = TASKS["grounding"]
    text = '{"bbox_2d": [1, 2, 3, 4], "label": "x"}'
    assert known.reader(known.params(target="x"), SCREEN).finish(text).marks[0].confidence is None


def test_what_cannot_be_matched_has_none() -> None:
    """Two places are written, one of them is no box: nobody can say which is which."""
    tokens = [('[{"bbox_2d": [1, 2]}, {"bbox_2d": [1, 2, 3, 4], "label": "x"}]', 0.5)]
    assert [mark.confidence for mark in result("grounding", tokens, target="x").marks] == [None]
