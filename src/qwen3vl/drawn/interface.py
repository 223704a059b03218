"""What stands on screens: the everyday words of interfaces in English and Chinese, and what they are there for."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

from qwen3vl.drawn.words import pairs

BUTTONS = pairs("buttons")
FIELDS = pairs("fields")
CHECKS = pairs("checks")
PLACES = pairs("places")
MENUS = pairs("menus")
COLUMNS = pairs("columns")

# What a small picture alone says: its name in an answer, and what people call it.
ICONS: Mapping[str, tuple[str, str]] = {
    "close": ("close", "关闭"),
    "menu": ("menu", "菜单"),
    "search": ("search", "搜索"),
    "back": ("back", "返回"),
    "more": ("more", "更多"),
    "add": ("add", "添加"),
}
ICON_NAMES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "close": (("the close button", "the X", "the cross"), ("关闭按钮", "叉号", "关闭的叉")),
    "menu": (("the menu button", "the hamburger menu", "the three lines"), ("菜单按钮", "三条横线", "菜单图标")),
    "search": (("the search icon", "the magnifying glass", "the search button"), ("搜索图标", "放大镜", "搜索按钮")),
    "back": (("the back button", "the back arrow"), ("返回按钮", "返回箭头")),
    "more": (("the three dots", "the more button"), ("三个点", "更多按钮")),
    "add": (("the plus button", "the plus sign", "the add button"), ("加号", "添加按钮")),
}


@cache
def _functions() -> dict[str, dict[str, list[str]]]:
    text = resources.files("qwen3vl.drawn").joinpath("data", "functions.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def _function_of() -> dict[str, str]:
    return {label: name for name, entry in _functions().items() for label in entry["labels"]}


def function_of(label: str) -> str | None:
    """What something with this everyday label, in either language, is there for: a name that equal ones share."""
    return _function_of().get(label.lower())


def purposes(function: str, chinese: bool) -> list[str]:
    """How people name a control by what it does, not by what stands on it."""
    return _functions()[function]["zh" if chinese else "en"]
