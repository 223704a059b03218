"""What an answer is worth: by hand, for right, nearly right and wrong ones of every kind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qwen3vl.bench.scoring import METRICS, TASKS, main_metric, score
from qwen3vl.drawn.tasks import TASKS as DRAWN

Expected = dict[str, tuple[float, float]]


def boxes(*items: tuple[list[int], str]) -> str:
    return f"```json\n{json.dumps([{'bbox_2d': box, 'label': label} for box, label in items])}\n```"


def points(*items: tuple[list[int], str]) -> str:
    return json.dumps([{"point_2d": point, "label": label} for point, label in items])


def lines(*items: tuple[list[int], str]) -> str:
    return json.dumps([{"bbox_2d": box, "text": text} for box, text in items])


def call(**arguments: Any) -> str:
    return f"<tool_call>\n{json.dumps({'name': 'computer_use', 'arguments': arguments})}\n</tool_call>"


def click(box: list[int], text: str) -> str:
    return json.dumps({"action": "click", "element": {"text": text, "bbox": box}, "reasoning": "Because."})


def events(*items: tuple[str, str, str]) -> str:
    return json.dumps([{"start": start, "end": end, "description": text} for start, end, text in items])


def diagram(*cells: str) -> str:
    return f"```xml\n<mxGraphModel><root>{''.join(cells)}</root></mxGraphModel>\n```"


def node(number: int, text: str) -> str:
    return f'<mxCell id="{number}" value="{text}" vertex="1"><mxGeometry x="0" y="0" width="9" height="9"/></mxCell>'


def edge(source: int, target: int) -> str:
    return f'<mxCell id="e" edge="1" source="{source}" target="{target}"/>'


A, B, FAR = [100, 100, 200, 200], [300, 300, 400, 400], [800, 800, 900, 900]
A_SHIFTED = [120, 100, 220, 200]  # IoU with A: 80 / 120
A_HALF = [150, 100, 250, 200]  # IoU with A: 50 / 150
PAGE = "```html\n<html><body><h1>Tea</h1><p>Hot</p></body></html>\n```"
TABLE = "<table><tr><th>Tea</th></tr><tr><td>1</td></tr></table>"

CASES: list[tuple[str, str, str, dict[str, Any], Expected]] = [
    ("color", " green\n", "green", {}, {"exact": (1, 1), "cer": (0, 5)}),
    ("color", "greed", "green", {}, {"exact": (0, 1), "cer": (1, 5)}),
    ("ocr_line", "Hello  world", "Hello world", {}, {"exact": (1, 1), "cer": (0, 11)}),
    ("ocr_line", "hello world", "Hello world", {}, {"exact": (0, 1), "cer": (1, 11)}),
    ("ocr_page", "a\nb\nc", "a\nx\nc", {}, {"exact": (0, 1), "cer": (1, 5), "lines": (2, 3)}),
    ("ocr_page", "a\nb\nc\nd", "a\nb", {}, {"exact": (0, 1), "cer": (4, 3), "lines": (2, 4)}),
    ("count", "3", "3", {}, {"number": (1, 1), "exact": (1, 1)}),
    ("count", "There are 3.", "3", {}, {"number": (1, 1), "exact": (0, 1)}),
    ("count", "<think>1, 2, 3, 4</think>\n3", "<think>one two</think>\n3", {}, {"number": (1, 1), "exact": (1, 1)}),
    ("count", "many", "3", {}, {"number": (0, 1), "exact": (0, 1)}),
    ("chart_value", "104", "100", {}, {"near": (1, 1), "number": (0, 1)}),
    ("chart_value", "94", "100", {}, {"near": (0, 1), "number": (0, 1)}),
    ("chart_values", '{"a": 1.04, "b": 7, "c": 1}', '{"a": 1, "b": 2}', {}, {"near": (1, 3), "exact": (0, 1)}),
    ("boxes", boxes((A, "star")), boxes((A, "star")), {}, {"iou50": (1, 1), "iou": (1, 1)}),
    ("boxes", boxes((A_SHIFTED, "Star")), boxes((A, "star")), {}, {"iou50": (1, 1), "iou": (2 / 3, 1)}),
    ("boxes", boxes((A_HALF, "star")), boxes((A, "star")), {}, {"iou50": (0, 1), "iou": (1 / 3, 1)}),
    ("boxes", boxes((A, "moon")), boxes((A, "star")), {}, {"iou50": (0, 1), "iou": (0, 1)}),
    ("boxes", boxes((A, "s"), (B, "s"), (FAR, "s")), boxes((B, "s"), (A, "s")), {}, {"iou50": (2, 3), "iou": (2, 2)}),
    ("boxes", boxes((A, "s")), boxes((A, "s"), (A, "s")), {}, {"iou50": (1, 2), "iou": (1, 2)}),
    ("boxes", boxes(), boxes(), {}, {"iou50": (1, 1)}),
    ("boxes", boxes((A, "s")), boxes(), {}, {"iou50": (0, 1)}),
    ("boxes", "", boxes(), {}, {"iou50": (0, 1)}),
    ("points", points(([190, 190], "s")), points(([150, 150], "s")), {"points": [{"box": A}]}, {"hit": (1, 1)}),
    ("points", points(([201, 150], "s")), points(([150, 150], "s")), {"points": [{"box": A}]}, {"hit": (0, 1)}),
    ("points", points(([190, 190], "s")), points(([150, 150], "s")), {}, {"hit": (1, 1)}),
    ("points", points(([201, 150], "s")), points(([150, 150], "s")), {}, {"hit": (0, 1)}),
    (
        "gui_click",
        click(A_SHIFTED, "Save"),
        click(A, "Save"),
        {},
        {"action": (1, 1), "place": (1, 1), "element": (1, 1), "right": (1, 1)},
    ),
    (
        "gui_click",
        click(A_HALF, "Save"),
        click(A, "Save"),
        {},
        {"action": (1, 1), "place": (0, 1), "element": (1, 1), "right": (0, 1)},
    ),
    (
        "gui_click",
        click(A, "Saved"),
        click(A, "Save"),
        {},
        {"action": (1, 1), "place": (1, 1), "element": (0, 1), "right": (0, 1)},
    ),
    (
        "gui_click",
        call(action="left_click", coordinate=[199, 101]),
        call(action="left_click", coordinate=[150, 150]),
        {"box": A},
        {"action": (1, 1), "place": (1, 1), "right": (1, 1)},
    ),
    (
        "gui_click",
        call(action="left_click", coordinate=[201, 150]),
        call(action="left_click", coordinate=[150, 150]),
        {"box": A},
        {"action": (1, 1), "place": (0, 1), "right": (0, 1)},
    ),
    (
        "gui_click",
        "I do not know.",
        call(action="left_click", coordinate=[150, 150]),
        {},
        {"action": (0, 1), "place": (0, 1), "right": (0, 1)},
    ),
    (
        "gui_type",
        call(action="type", text="Ada"),
        call(action="type", text="Eda"),
        {},
        {"action": (1, 1), "text": (0, 1), "right": (0, 1)},
    ),
    (
        "gui_key",
        call(action="key", keys=["Ctrl", "S"]),
        call(action="key", keys=["ctrl", "s"]),
        {},
        {"action": (1, 1), "text": (1, 1), "right": (1, 1)},
    ),
    (
        "gui_scroll",
        call(action="scroll", pixels=-20),
        call(action="scroll", pixels=-500),
        {},
        {"action": (1, 1), "text": (1, 1), "right": (1, 1)},
    ),
    (
        "gui_scroll",
        call(action="swipe", coordinate=[500, 300], coordinate2=[510, 700]),
        call(action="swipe", coordinate=[500, 700], coordinate2=[500, 300]),
        {},
        {"action": (1, 1), "text": (0, 1), "right": (0, 1)},
    ),
    ("gui_done", '{"action": "done", "reasoning": "x"}', '{"action": "done"}', {}, {"action": (1, 1), "right": (1, 1)}),
    ("gui_done", click(A, "Save"), '{"action": "done"}', {}, {"action": (0, 1), "right": (0, 1)}),
    (
        "ocr_boxes",
        lines((A, "Tea"), (B, "Milj")),
        lines((A_SHIFTED, "Tea"), (B, "Milk")),
        {},
        {"right": (1, 2), "iou50": (2, 2), "cer": (1, 8)},
    ),
    ("table_html", TABLE, TABLE, {}, {"exact": (1, 1), "cells": (2, 2)}),
    ("table_html", TABLE.replace("1", "2"), TABLE, {}, {"exact": (0, 1), "cells": (1, 2)}),
    ("key_values", '{"b": "2", "a": 1}', '{"a": "1", "b": "2"}', {}, {"exact": (1, 1), "pairs": (2, 2)}),
    ("key_values", '{"a": "1", "c": "2", "d": ""}', '{"a": "1", "b": "2"}', {}, {"exact": (0, 1), "pairs": (1, 3)}),
    ("html", PAGE, PAGE, {}, {"exact": (1, 1), "cer": (0, 48), "tags": (1, 1), "tag_similarity": (16, 16)}),
    (
        "html",
        PAGE.replace("Hot", "Hat"),
        PAGE,
        {},
        {"exact": (0, 1), "cer": (1, 48), "tags": (1, 1), "tag_similarity": (16, 16)},
    ),
    (
        "html",
        PAGE.replace("<p>Hot</p>", "Hot"),
        PAGE,
        {},
        {"exact": (0, 1), "cer": (7, 48), "tags": (0, 1), "tag_similarity": (12, 14)},
    ),
    (
        "drawio",
        diagram(node(5, "a"), node(6, "b"), edge(5, 6)),
        diagram(node(2, "a"), node(3, "b"), edge(2, 3)),
        {},
        {"exact": (1, 1), "nodes": (2, 2), "edges": (1, 1)},
    ),
    (
        "drawio",
        diagram(node(2, "a"), node(3, "b"), edge(3, 2)),
        diagram(node(2, "a"), node(3, "b"), node(4, "b"), edge(2, 3)),
        {},
        {"exact": (0, 1), "nodes": (2, 3), "edges": (0, 1)},
    ),
    ("video_when", "00:03.50", "00:02.50", {}, {"within_1s": (1, 1), "read": (1, 1), "time_error": (1, 1)}),
    ("video_when", "00:04.00", "00:02.50", {}, {"within_1s": (0, 1), "read": (1, 1), "time_error": (1.5, 1)}),
    ("video_when", "later", "00:02.50", {}, {"within_1s": (0, 1), "read": (0, 1)}),
    (
        "video_events",
        events(("00:01", "00:02", "a"), ("00:05", "00:06", "b")),
        events(("00:01.50", "00:02", "a"), ("00:07", "00:08", "b"), ("00:09", "00:10", "c")),
        {},
        {"within_1s": (1, 3), "time_error": (0.25 + 2, 2)},
    ),
    ("video_chapters", "nothing", events(("00:01", "00:02", "a")), {}, {"within_1s": (0, 1)}),
]  # fmt: skip


@pytest.mark.parametrize(("task", "answer", "reference", "truth", "expected"), CASES)
def test_score(task: str, answer: str, reference: str, truth: dict[str, Any], expected: Expected) -> None:
    parts = score(task, answer, reference, truth)
    assert {name: tuple(map(float, part)) for name, part in parts.items()} == {
        name: pytest.approx(pair) for name, pair in expected.items()
    }
    assert main_metric(task) in parts
    assert set(parts) <= set(METRICS)


def test_every_drawn_task_has_a_score() -> None:
    assert set(DRAWN) <= set(TASKS)


def test_every_kind_of_score_is_tested() -> None:
    assert {TASKS[task] for task, *_ in CASES} == set(TASKS.values())


def test_an_unknown_task_is_plain_text() -> None:
    assert score("riddle", "x", "x", {}) == score("text", "x", "x", {})
    assert main_metric("riddle") == "exact"
