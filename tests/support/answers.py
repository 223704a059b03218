"""Answers as the models write them: in the forms of the released models, and in those of the shipped checkpoints.

Each is a task, its parameters, the media it is about, and the model's text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qwen3vl.tasks.results import MediaInfo, TaskResult

PICTURE = MediaInfo("image", 2000, 500)
CLIP = MediaInfo("video", 640, 360, duration=120.0)
PAGES = tuple(MediaInfo("document", 1132, 1600, page=n) for n in (1, 2, 3))


@dataclass(frozen=True)
class Recorded:
    task: str
    text: str
    params: dict[str, Any] = field(default_factory=dict)
    media: tuple[MediaInfo, ...] = (PICTURE,)
    thinking: bool = False  # the prompt has opened a thought


def same(one: TaskResult, other: TaskResult) -> bool:
    """Whether two results say the same. What is in the cache changes a confidence in its last digits."""
    told, expected = ([mark.confidence for mark in (*result.marks, *result.actions)] for result in (one, other))
    near = all(
        a == b or (a is not None and b is not None and abs(a - b) < 1e-4) for a, b in zip(told, expected, strict=True)
    )
    return near and _unsure(one) == _unsure(other)


def _unsure(result: TaskResult) -> TaskResult:
    marks = [mark.model_copy(update={"confidence": None}) for mark in result.marks]
    actions = [step.model_copy(update={"confidence": None}) for step in result.actions]
    return result.model_copy(update={"marks": marks, "actions": actions})


DRAWIO = """<mxfile host="app"><diagram name="P"><mxGraphModel dx="10"><root>
<mxCell id="0"/><mxCell id="1" parent="0"/>
<mxCell id="a" value="Start &amp;lt;b&amp;gt;" style="rounded=1" vertex="1" parent="1">
<mxGeometry x="40" y="20" width="120" height="60" as="geometry"/></mxCell>
<mxCell id="b" value="结束" vertex="1" parent="1">
<mxGeometry x="40" y="160" width="120" height="60" as="geometry"/></mxCell>
<mxCell id="e" value="yes" edge="1" parent="1" source="a" target="b">
<mxGeometry relative="1" as="geometry"/></mxCell>
</root></mxGraphModel></diagram></mxfile>"""

RECORDED: dict[str, Recorded] = {
    "boxes fenced": Recorded(
        "grounding",
        '```json\n[\n\t{"bbox_2d": [100, 200, 300, 400], "label": "red car"},\n'
        '\t{"bbox_2d": [500, 0, 1000, 1000], "label": "Straße [1]"},\n\t{"bbox_2d": [7, 8, 9, 10], '
        '"label": "狗"}\n]\n```',
        {"target": "cars"},
    ),
    "one box bare": Recorded("grounding", '{"bbox_2d": [10, 20, 30, 40], "label": "star"}', {"target": "star"}),
    "points": Recorded(
        "grounding",
        'Here:\n```json\n[{"point_2d": [447, 81], "label": "a"}, {"point_2d": [12, 999], "label": "b"}]\n```\nDone.',
        {"target": "it", "ask": "points"},
    ),
    "boxes of two pictures": Recorded(
        "grounding",
        '[{"bbox_2d": [0, 0, 500, 500], "label": "x", "picture": 2}, {"bbox_2d": [0, 0, 10, 10], "label": "y"}]',
        {"target": "it"},
        (PICTURE, MediaInfo("image", 100, 100)),
    ),
    "count": Recorded("grounding", "There are 12 of them.", {"target": "stars", "ask": "count"}),
    "boxes in space": Recorded(
        "grounding",
        '```json\n[\n\t{"bbox_3d": [-9.98, 0.36, 18.22, 4.12, 1.65, 1.7, -0.0, 0.51, 1.0], "label": "car"},\n'
        '\t{"bbox_3d": [5.1, 0.88, 7.91, 4.45, 1.75, 1.86, 0.0, 2.48, 1.01], "label": "car"}\n]\n```',
        {"target": "all cars", "ask": "boxes_3d"},
    ),
    "a tap on a phone": Recorded(
        "gui_agent",
        'Thought: The search bar is at the top.\nAction: "Tap on the search bar."\n<tool_call>\n'
        '{"name": "mobile_use", "arguments": {"action": "click", "coordinate": [447, 81]}}\n</tool_call>',
        {"goal": "search", "platform": "phone"},
    ),
    "typing on a desktop": Recorded(
        "gui_agent",
        '<tool_call>\n{"name": "computer_use", "arguments": {"action": "type", "text": "he said '
        '\\"}\\""}}\n</tool_call>',
        {"goal": "type"},
    ),
    "a plain action": Recorded(
        "gui_agent",
        '{"action": "click", "element": {"text": "Save", "bbox": [100, 200, 300, 240]}, "reasoning": "Click Save."}',
        {"goal": "save", "form": "json"},
    ),
    "text lines": Recorded(
        "ocr",
        '```json\n[\n\t{"bbox_2d": [10, 20, 300, 40], "text_content": "Total: 12,50 €"},\n'
        '\t{"bbox_2d": [10, 50, 300, 70], "text": "Danke!"}\n]\n```',
        {"form": "lines"},
    ),
    "qwenvl html": Recorded(
        "ocr",
        '```html\n<html><body>\n<h1 data-bbox="100 50 900 100">Title</h1>\n<p data-bbox="100 120 '
        '900 300">Body &amp; soul</p>\n'
        '<table data-bbox="100 320 900 500"><tr><td>a</td><td>b</td></tr><tr><td>1</td><td>2</td></tr></table>\n'
        "</body></html>\n```",
        {"form": "html"},
    ),
    "qwenvl markdown": Recorded(
        "ocr", "# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nmore text", {"form": "markdown"}
    ),
    "plain text": Recorded("ocr", "Line one\nLine two", {}),
    "two tables": Recorded(
        "tables",
        "<table><tr><th colspan=2>Head</th></tr><tr><td>1</td><td>-5</td></tr></table>\n"
        "<table><tr><td>x</td></tr><tr><td>=SUM(A1)</td></tr></table>",
    ),
    "a receipt": Recorded(
        "extract",
        '```json\n{"merchant": "Café", "items": [{"name": "Tea", "price": 2.5}], "total": 2.5, "paid": true}\n```',
        {"preset": "receipt"},
    ),
    "a page": Recorded(
        "screenshot_to_code",
        "Sure!\n```html\n<!DOCTYPE html>\n<html><body><h1>Hi</h1><script>let a = "
        "`x`;</script></body></html>\n```\nEnjoy.",
    ),
    "a bare page": Recorded("screenshot_to_code", "<html><body><p>one</p></body></html>"),
    "a chart": Recorded("chart_to_code", "```python\nimport matplotlib.pyplot as plt\nplt.bar([1], [2])\n```"),
    "chart data": Recorded("chart_to_code", '{"Apples": 12, "Pears": 7.5}', {"result": "data"}),
    "a diagram": Recorded("diagram", f"```xml\n{DRAWIO}\n```"),
    "mermaid": Recorded("diagram", "```mermaid\nflowchart TD\n  A[Start] --> B\n```", {"form": "mermaid"}),
    "svg": Recorded("diagram", '<svg width="10" height="10"><rect width="5" height="5"/></svg>', {"form": "svg"}),
    "events by range": Recorded(
        "video_events",
        '{\n"00:23.00 - 00:48.00": "trim the fat off a piece of beef.",\n"01:10.50 - 02:30.00": "fry it."\n}',
        {},
        (CLIP,),
    ),
    "events as a list": Recorded(
        "video_events",
        '```json\n[\n\t{"start": "00:00.00", "end": "00:02.50", "description": "a"},\n'
        '\t{"start": "00:03.00", "end": "00:04.00", "description": "b, c"}\n]\n```',
        {},
        (CLIP,),
    ),
    "a moment": Recorded("video_when", "It happens at 00:12.", {"what": "the goal"}, (CLIP,)),
    "chapters": Recorded(
        "video_summary",
        '[{"start": "00:00.00", "end": "00:30.00", "title": "Intro", "summary": "Hello."},'
        ' {"start": "00:30.00", "end": "01:00.00", "title": "Main", "summary": "Work."}]',
        {},
        (CLIP,),
    ),
    "citations": Recorded(
        "documents",
        '{"answer": "42 €", "citations": [{"page": 2, "quote": "Total 42 €", "bbox_2d": [100, 500, 400, 540]}]}',
        {"question": "How much?"},
        PAGES,
    ),
    "a page named": Recorded("documents", "Blue Line (page 3)", {"question": "What is the title?"}, PAGES),
    "chat with code": Recorded("chat", "Try\n```python\nprint(1)\n```\nor ask.", {"question": "how?"}, ()),
    "thought by the template": Recorded(
        "grounding",
        'I see a [box] {here}: {"bbox_2d": [1, 1, 2, 2], "label": "no"}\n</think>\n\n'
        '[{"bbox_2d": [100, 200, 300, 400], "label": "yes"}]',
        {"target": "it"},
        thinking=True,
    ),
    "thought by the model": Recorded(
        "video_events",
        '<think>\nFrom 00:01 to 00:02?\n</think>\n\n[{"start": "00:05", "end": "00:06", "description": "it"}]',
        {},
        (CLIP,),
    ),
}
