"""The next step towards a goal on a screen: as a tool call of the released models, or as a plain JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from qwen3vl.engine.grammar import Grammar
from qwen3vl.tasks.base import Language, StrictParams, Task, TaskRequest, Words, param, words
from qwen3vl.tasks.kinds.shared import BOX, LABEL, POINT, TEXT, object_of, steps_in
from qwen3vl.tasks.results import MediaInfo, TaskResult

Platform = Literal["desktop", "phone", "web"]

_DESKTOP: Mapping[str, Any] = {
    "action": {
        "type": "string",
        "enum": [
            *("left_click", "double_click", "triple_click", "right_click", "middle_click", "mouse_move"),
            *("left_click_drag", "type", "key", "scroll", "hscroll", "wait", "answer", "terminate"),
        ],
    },
    "coordinate": POINT,
    "coordinate2": POINT,
    "text": TEXT,
    "keys": {"type": "array", "items": LABEL, "maxItems": 5},
    "pixels": {"type": "integer", "minimum": -10000, "maximum": 10000},
    "time": {"type": "number", "minimum": 0, "maximum": 60},
    "status": {"enum": ["success", "failure"]},
}
_PHONE: Mapping[str, Any] = {
    "action": {
        "type": "string",
        "enum": ["click", "long_press", "swipe", "type", "system_button", "wait", "answer", "terminate"],
    },
    "coordinate": POINT,
    "coordinate2": POINT,
    "text": TEXT,
    "button": {"enum": ["Back", "Home", "Menu", "Enter"]},
    "time": {"type": "number", "minimum": 0, "maximum": 60},
    "status": {"enum": ["success", "failure"]},
}
_PLAIN: Mapping[str, Any] = {
    "action": {
        "enum": [
            "click",
            "double_click",
            "right_click",
            "long_press",
            "drag",
            "type",
            "key",
            "scroll",
            "wait",
            "answer",
            "done",
        ]
    },
    "text": TEXT,
    "keys": {"type": "array", "items": LABEL, "maxItems": 5},
    "direction": {"enum": ["up", "down", "left", "right"]},
    "element": object_of({"text": LABEL, "bbox": BOX}),
    "reasoning": {"type": "string", "maxLength": 400},
}
_TOOLS: Mapping[Platform, tuple[str, Mapping[str, Any]]] = {
    "desktop": ("computer_use", _DESKTOP),
    "web": ("computer_use", _DESKTOP),
    "phone": ("mobile_use", _PHONE),
}
_SCREENS: Mapping[Platform, Words] = {
    "desktop": words("computer", "电脑"),
    "web": words("web browser", "浏览器"),
    "phone": words("phone", "手机"),
}
_NATIVE = words(
    "You are a GUI agent. You control a {screen}. Answer with one {tool} tool call.\n\n# Tools\n"
    "<tools>\n{schema}\n</tools>\nCoordinates run from 0 to 1000 over the screenshot's width and height. Answer:\n"
    'Thought: why\nAction: "what"\n<tool_call>\n{{"name": "{tool}", "arguments": {{...}}}}\n</tool_call>',
    "你是界面操作助手，在操作一台{screen}，用 {tool} 工具回答。\n\n# Tools\n<tools>\n{schema}\n</tools>\n"
    "坐标以截图的宽和高为 0 到 1000。回答格式：\n"
    'Thought: 理由\nAction: "动作"\n<tool_call>\n{{"name": "{tool}", "arguments": {{...}}}}\n</tool_call>',
)
_JSON = words(
    "You are a GUI agent. You control a {screen}. Answer with one JSON action.\n"
    '{{"action": "click|double_click|right_click|long_press|drag|type|key|scroll|wait|answer|done", "text": "...", '
    '"keys": ["ctrl", "s"], "direction": "up|down|left|right", "element": {{"text": "...", "bbox": [x1, y1, x2, y2]}}, '
    '"reasoning": "..."}}\nLeave out what the action does not need. bbox is 0 to 1000 over the screenshot.',
    "你是界面操作助手，在操作一台{screen}，用 JSON 动作回答。\n"
    '{{"action": "click|double_click|right_click|long_press|drag|type|key|scroll|wait|answer|done", "text": "...", '
    '"keys": ["ctrl", "s"], "direction": "up|down|left|right", "element": {{"text": "...", "bbox": [x1, y1, x2, y2]}}, '
    '"reasoning": "..."}}\n动作用不到的键可以省略。bbox 以截图的宽和高为 0 到 1000。',
)
_DONE = words("Done so far:", "已经完成的步骤：")


class GuiParams(StrictParams):
    goal: str = param(
        ..., ("Goal", "What should be achieved on this screen."), ("目标", "要在这个界面上完成的事。"), min_length=1
    )
    platform: Platform = param(
        "desktop", ("Screen", "What the screenshot shows."), ("界面", "截图来自电脑、手机还是网页。")
    )
    form: Literal["native", "json"] = param(
        "native",
        ("Form", "The model's own tool call, or plain JSON with the element's text and box."),
        ("形式", "模型自带的工具调用，或带有元素文字和框的 JSON。"),
    )
    history: list[str] = Field(
        default_factory=list,
        title="Steps done",
        description="What was already done, oldest first.",
        json_schema_extra={"zh": {"title": "已完成的步骤", "description": "已经做过的步骤，按先后顺序。"}},
    )


class GuiAgent(Task[GuiParams]):
    name = "gui_agent"
    titles = words("Operate a screen", "操作界面")
    summaries = words(
        "Proposes the next action on a screenshot: what to click, type, scroll or press.",
        "根据截图给出下一步动作：点击、输入、滚动或按键。",
    )
    accepts = frozenset({"text", "image"})
    needs = frozenset({"image"})
    text_param = "goal"
    params = GuiParams

    def _ask(self, params: GuiParams, media: Sequence[MediaInfo], language: Language) -> TaskRequest:
        tool, properties = _TOOLS[params.platform]
        screen = _SCREENS[params.platform][language]
        if params.form == "json":
            system = _JSON[language].format(screen=screen)
        else:
            function = {"name": tool, "parameters": _call(properties)}
            schema = json.dumps({"type": "function", "function": function}, ensure_ascii=False)
            system = _NATIVE[language].format(screen=screen, tool=tool, schema=schema)
        lines = [params.goal]
        if params.history:
            lines += [_DONE[language], *(f"{number}. {step}" for number, step in enumerate(params.history, 1))]
        options = {"logprobs": 0, "temperature": 0.0, "presence_penalty": 0.0}
        return TaskRequest(system, "\n".join(lines), _grammar(params, tool, properties), options)

    def _read(self, answer: str, whole: bool, params: GuiParams, media: Sequence[MediaInfo]) -> TaskResult:
        steps = steps_in(answer, media)
        missing = ["no action was found in the answer"] if whole and not steps else []
        return TaskResult(text=answer, actions=steps, warnings=missing)


def _call(properties: Mapping[str, Any]) -> dict[str, Any]:
    return object_of(properties, optional=[name for name in properties if name != "action"])


def _grammar(params: GuiParams, tool: str, properties: Mapping[str, Any]) -> Grammar | None:
    if not params.strict:
        return None
    if params.form == "json":
        return Grammar.json_schema(_call(_PLAIN))
    call = object_of({"name": {"const": tool}, "arguments": _call(properties)})
    return Grammar(
        "lark",
        'start: THOUGHT? "<tool_call>\\n" call "\\n</tool_call>"\n'
        f"THOUGHT: /Thought: [^<]{{1,400}}/\ncall: %json {json.dumps(call)}",
    )
