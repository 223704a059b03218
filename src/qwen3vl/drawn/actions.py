"""What is asked about a screen: what to click, type, scroll or press, whether it is done, and where its widgets are.

A GUI answer has two forms: the released models' own tool call, and plain JSON with the element's text and box. The
prompt says which: a system prompt, words in the question, or nothing, which means the tool call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qwen3vl.drawn.canvas import centre, relative
from qwen3vl.drawn.interface import ICONS
from qwen3vl.drawn.naming import KIND_NAMES, clear, reading_order, spoken
from qwen3vl.drawn.scene import Scene, fenced_json, listing
from qwen3vl.drawn.widgets import Screen, Widget

PLURALS = {"button": "buttons", "checkbox": "checkboxes", "switch": "switches", "field": "fields"}
MOST_OF_A_KIND = 6
CLICKED, TYPED = 5, 2  # controls of a screen that are asked for: more is time spent on what is not chosen
SCREEN_NAMES = {"computer_use": ("computer", "电脑"), "mobile_use": ("phone", "手机")}
SCROLLED = 500  # pixels of one scroll step in the tool call
SWIPE = {"down": ([500, 700], [500, 300]), "up": ([500, 300], [500, 700])}  # content moves against the finger
KEYS = (
    *("Ctrl+S", "Ctrl+C", "Ctrl+V", "Ctrl+X", "Ctrl+Z", "Ctrl+A", "Ctrl+F", "Ctrl+P", "Ctrl+N", "Alt+Tab", "Alt+F4"),
    *("Enter", "Esc", "Tab", "Delete", "Backspace", "F1", "F5", "Page Down", "Page Up", "Home", "End"),
)
PHONE_KEYS = (("Back", "返回"), ("Home", "主页"), ("Menu", "菜单"))


class Agent:
    """Puts actions into words and into the form that this sample's prompt asks for."""

    def __init__(self, scene: Scene, tool: str) -> None:
        self.scene, self.tool = scene, tool
        self.form = scene.rng.choice(("tool_call", "json"))
        if scene.rng.random() < 0.5:
            scene.system = self._say(f"gui_system_{self.form}")
            self.cue = False
        else:
            self.cue = True

    def _say(self, key: str) -> str:
        scene = self.scene
        return scene.fill(key, tool=self.tool, screen=scene.say(*SCREEN_NAMES[self.tool]))

    def ask(
        self,
        task: str,
        key: str,
        call: Mapping[str, Any],
        plain: Mapping[str, Any],
        reasoning: str,
        truth: Mapping[str, Any],
        weight: float,
        /,
        **slots: str,
    ) -> None:
        """Adds a turn. `call`: the tool's arguments; `plain`: the JSON answer without its reasoning."""
        if self.form == "tool_call":
            arguments = json.dumps({"name": self.tool, "arguments": call}, ensure_ascii=False)
            answer = f"<tool_call>\n{arguments}\n</tool_call>"
        else:
            answer = json.dumps({**plain, "reasoning": reasoning}, ensure_ascii=False)
        nothing = {"element": None, "box": None, "point": None}
        known = {"form": self.form, "tool": self.tool, "action": plain["action"], **nothing, **truth}
        cue = ""
        if self.cue and (self.form == "json" or self.scene.rng.random() < 0.5):
            cue = self._say(f"gui_cue_{self.form}")
        self.scene.ask(task, key, answer, known, weight, after=cue, why=reasoning, **slots)


def ask_about(screen: Screen) -> None:
    scene, widgets = screen.scene, screen.widgets
    agent = Agent(scene, screen.tool)
    fields = [widget for widget in widgets if widget.kind == "field"]
    for widget in scene.rng.sample(widgets, min(CLICKED, len(widgets))):
        _ask_click(screen, agent, widget, 3.0 / CLICKED)
    for widget in scene.rng.sample(fields, min(TYPED, len(fields))):
        _ask_type(screen, agent, widget)
    _ask_scroll(scene, agent)
    _ask_key(scene, agent)
    _ask_places(screen)
    _ask_describe(screen)


def _element(scene: Scene, widget: Widget) -> dict[str, Any]:
    return {"text": widget.text, "bbox": relative(widget.box, scene.size)}


def _ask_click(screen: Screen, agent: Agent, widget: Widget, weight: float) -> None:
    scene = screen.scene
    box, point = relative(widget.box, scene.size), relative(centre(widget.box), scene.size)
    truth = {"element": widget.text, "box": box, "point": point}
    call = {"action": "left_click" if screen.tool == "computer_use" else "click", "coordinate": point}
    plain = {"action": "click", "element": _element(scene, widget)}
    name = widget.text
    why = scene.say(f"Click {name}.", f"点击{name}。")
    if widget.kind == "radio" and widget.on:
        return
    if widget.kind in ("checkbox", "switch"):
        asked_on = scene.rng.random() < 0.5
        key = "gui_tick" if asked_on else "gui_untick"
        if asked_on == widget.on:
            done = {"action": "terminate", "status": "success"}
            reason = scene.say(
                f"{name} is already {'on' if widget.on else 'off'}.", f"{name}已经{'打开' if widget.on else '关闭'}。"
            )
            agent.ask("gui_done", key, done, {"action": "done"}, reason, {}, weight * 2, target=spoken(screen, widget))
        else:
            agent.ask("gui_click", key, call, plain, why, truth, weight, target=spoken(screen, widget))
        return
    closes = widget.kind == "icon" and widget.text == scene.say(*ICONS["close"])
    key = "gui_close" if closes and scene.rng.random() < 0.5 else "gui_click"
    agent.ask("gui_click", key, call, plain, why, truth, weight, target=spoken(screen, widget))


def _ask_type(screen: Screen, agent: Agent, widget: Widget) -> None:
    """Types into the field that has the focus; any other field has to be clicked first, unless JSON names it."""
    scene, words = screen.scene, screen.scene.words
    text = scene.rng.choice((words.cased, words.code, words.name, lambda: words.zh(2, 4)))()
    slots = {"text": text, "target": spoken(screen, widget)}
    box, point = relative(widget.box, scene.size), relative(centre(widget.box), scene.size)
    truth = {"element": widget.text, "box": box, "point": point}
    why = scene.say(f"Type into {widget.text}.", f"在{widget.text}中输入。")
    plain: dict[str, Any] = {"action": "type", "text": text, "element": _element(scene, widget)}
    if widget.on or agent.form == "json":
        agent.ask(
            "gui_type", "gui_type", {"action": "type", "text": text}, plain, why, {**truth, "text": text}, 0.9, **slots
        )
        return
    call = {"action": "left_click" if screen.tool == "computer_use" else "click", "coordinate": point}
    agent.ask("gui_click", "gui_type", call, {"action": "click"}, why, truth, 0.3, **slots)


def _ask_scroll(scene: Scene, agent: Agent) -> None:
    direction = scene.rng.choice(("down", "up"))
    if agent.tool == "computer_use":
        call: dict[str, Any] = {"action": "scroll", "pixels": -SCROLLED if direction == "down" else SCROLLED}
    else:
        start, end = SWIPE[direction]
        call = {"action": "swipe", "coordinate": start, "coordinate2": end}
    plain = {"action": "scroll", "direction": direction}
    why = scene.say(f"Scroll {direction}.", f"向{'下' if direction == 'down' else '上'}滚动。")
    agent.ask("gui_scroll", f"gui_scroll_{direction}", call, plain, why, {"direction": direction}, 0.5)


def _ask_key(scene: Scene, agent: Agent) -> None:
    if agent.tool == "computer_use":
        said = scene.rng.choice(KEYS)
        names = said.lower().replace(" ", "").split("+")
        call: dict[str, Any] = {"action": "key", "keys": names}
    else:
        pair = scene.rng.choice(PHONE_KEYS)
        said, names = scene.say(*pair), [pair[0]]
        call = {"action": "system_button", "button": pair[0]}
    plain = {"action": "key", "keys": names}
    why = scene.say(f"Press {said}.", f"按{said}。")
    agent.ask("gui_key", "gui_key", call, plain, why, {"keys": names}, 0.5, keys=said)


def _ask_places(screen: Screen) -> None:
    scene = screen.scene
    if not screen.widgets:
        return
    for task, weight in (("boxes", 0.6), ("points", 0.4)):
        one = scene.rng.choice(screen.widgets)
        box, point = relative(one.box, scene.size), relative(centre(one.box), scene.size)
        place = {"bbox_2d": box} if task == "boxes" else {"point_2d": point}
        truth = {"box": box, "label": one.text} | ({"point": point} if task == "points" else {})
        answer = fenced_json([{**place, "label": one.text}])
        scene.ask(task, task, answer, {task: [truth]}, weight, what=spoken(screen, one))
    for widget in screen.widgets:
        if widget.value:
            scene.ask("form_value", "form_value", widget.value, {"value": widget.value}, 0.4, field=widget.text)
    for kind in ("button", "checkbox", "switch", "field"):
        group = reading_order([widget for widget in screen.widgets if widget.kind == kind])
        if 1 < len(group) <= MOST_OF_A_KIND and clear(screen, kind):
            boxes = [{"box": relative(w.box, scene.size), "label": w.text} for w in group]
            items = [{"bbox_2d": item["box"], "label": item["label"]} for item in boxes]
            plural = scene.say(f"all {PLURALS[kind]}", f"所有{KIND_NAMES[kind][1]}")
            scene.ask("boxes", "boxes", fenced_json(items), {"boxes": boxes}, 0.4, what=plural)


def _ask_describe(screen: Screen) -> None:
    scene = screen.scene
    kind = scene.say(
        *{"computer_use": ("A screen", "一个界面"), "mobile_use": ("A phone screen", "一个手机界面")}[screen.tool]
    )
    titled = scene.say(f' titled "{screen.title}"', f"，标题是“{screen.title}”") if screen.title else ""
    texts = [widget.text for widget in reading_order(screen.widgets) if widget.kind == "button"]
    texts = list(dict.fromkeys(texts))[:3] if clear(screen, "button") else []
    buttons = ""
    if texts:
        noun = "buttons" if len(texts) > 1 else "button"
        buttons = scene.say(f" with the {noun} {listing(texts, 'en')}", f"，有{listing(texts, 'zh')}按钮")
    text = f"{kind}{titled}{buttons}{scene.say('.', '。')}"
    scene.ask("describe", "describe", text, {"text": text}, 0.5)
