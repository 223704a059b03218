"""What people call a control: by its text, by what it does, or by where it stands. Only names that fit one control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from qwen3vl.drawn.interface import ICON_NAMES, ICONS, function_of, purposes
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.widgets import Screen, Widget

KIND_NAMES: Mapping[str, tuple[str, str]] = {
    "button": ("button", "按钮"),
    "field": ("field", "输入框"),
    "dropdown": ("dropdown", "下拉框"),
    "checkbox": ("checkbox", "复选框"),
    "switch": ("switch", "开关"),
    "radio": ("option", "单选项"),
    "tab": ("tab", "标签"),
    "menu": ("menu", "菜单"),
    "item": ("item", "条目"),
    "link": ("link", "链接"),
    "tile": ("icon", "图标"),
}
COUNTED = ("button", "field", "checkbox", "switch", "radio", "tab", "item")  # kinds that look like nothing else
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
NUMERALS = "一二三四五六七八"
BY_TEXT = 0.62  # how many names are by text where others would do


def reading_order(widgets: Sequence[Widget]) -> list[Widget]:
    """From top to bottom, and from left to right those that stand in one row."""
    rows: list[list[Widget]] = []
    for widget in sorted(widgets, key=lambda w: (w.box[1] + w.box[3], w.box[0])):
        first = rows[-1][0].box if rows else (0, 0, 0, 0)
        if rows and first[1] <= (widget.box[1] + widget.box[3]) / 2 < first[3]:
            rows[-1].append(widget)
        else:
            rows.append([widget])
    return [widget for row in rows for widget in sorted(row, key=lambda w: w.box[0])]


def spoken(screen: Screen, widget: Widget) -> str:
    """One name for `widget`, in the question's language."""
    scene = screen.scene
    others = [*by_function(screen, widget), *by_place(screen, widget)]
    if others and scene.rng.random() > BY_TEXT:
        return scene.rng.choice(others)
    return by_text(scene, widget)


def by_text(scene: Scene, widget: Widget) -> str:
    chinese, text = scene.language == "zh", widget.text
    for name, calls in ICON_NAMES.items():
        if widget.kind == "icon" and text == scene.say(*ICONS[name]):
            return scene.rng.choice(calls[chinese])
    kind = KIND_NAMES[widget.kind][chinese]
    if chinese:
        called = scene.rng.choice((f"“{text}”", f"“{text}”{kind}", f"{text}{kind}", text))
    else:
        called = scene.rng.choice((f'"{text}"', f"the {text} {kind}", f'the "{text}" {kind}', text))
    if widget.within is None:
        return called
    place, name = widget.within
    if chinese:
        return f"“{name}”{'那一行' if place == 'row' else '卡片'}里的{called}"
    return scene.rng.choice((f'{called} in the "{name}" {place}', f"{called} in the {place} {name}"))


def by_function(screen: Screen, widget: Widget) -> list[str]:
    """Names by what it does, if nothing else on the screen does that."""
    function = function_of(widget.text)
    alike = [other for other in screen.widgets if function_of(other.text) == function]
    if function is None or len(alike) > 1:
        return []
    return purposes(function, screen.scene.language == "zh")


def clear(screen: Screen, kind: str) -> bool:
    """Whether everybody would count the same controls of a kind: lists are fields to some, bare words no buttons."""
    if kind == "button":
        return screen.look.buttons != "text"
    return kind != "field" or all(widget.kind != "dropdown" for widget in screen.widgets)


def by_place(screen: Screen, widget: Widget) -> list[str]:
    """Names by its place among all of its kind, if these stand in one column or one row and nowhere else."""
    alike = [other for other in screen.widgets if other.kind == widget.kind]
    if widget.kind not in COUNTED or not clear(screen, widget.kind) or len(alike) > len(ORDINALS):
        return []
    english, chinese = KIND_NAMES[widget.kind]
    say = screen.scene.say
    if len(alike) == 1:
        return [say(f"the only {english}", f"唯一的{chinese}")]
    for axis, words in enumerate((("left", "rightmost", "左", "右"), ("top", "bottom", "上", "下"))):
        ranked = sorted(alike, key=lambda other: other.box[axis])
        across = {other.box[1 - axis] for other in alike}
        if len(across) == 1 and all(a.box[axis + 2] <= b.box[axis] for a, b in pairwise(ranked)):
            start, end, first, last = words
            place = ranked.index(widget)
            counted = say(
                f"the {ORDINALS[place]} {english} from the {start}", f"从{first}往{last}第{NUMERALS[place]}个{chinese}"
            )
            if place == len(ranked) - 1:
                return [counted, say(f"the {end} {english}", f"最{last}面的{chinese}")]
            return [counted]
    return []
