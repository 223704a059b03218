"""Screens: the box and the text of every control against the pixels and glyphs, and names that fit one control only."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from qwen3vl.drawn import themes
from qwen3vl.drawn.canvas import Box, Canvas
from qwen3vl.drawn.families import sizes
from qwen3vl.drawn.fields import draw_field
from qwen3vl.drawn.naming import by_function, by_place, by_text, reading_order
from qwen3vl.drawn.sample import Split
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.screens import new_screen, screens
from qwen3vl.drawn.themes import contrast, new_look, new_theme
from qwen3vl.drawn.widgets import NoRoom, Screen, Widget

SPLITS: tuple[Split, ...] = ("train", "held_out")
GROUND = (240, 240, 240)


def drawn(split: Split, count: int = 40) -> Iterator[Screen]:
    for seed in range(count):
        rng = random.Random(f"{split} {seed}")
        try:
            yield new_screen(Scene.new(rng, split, rng.choice(sizes("screens", split))))
        except NoRoom:
            continue


def blank(seed: int = 3, language: str = "en") -> Screen:
    """A screen with nothing on it, its panel of one plain colour."""
    scene = Scene.new(random.Random(seed), "train", (320, 200))
    scene.language = "zh" if language == "zh" else "en"
    theme = replace(new_theme(scene.rng), panel=GROUND, ink=(0, 0, 0), line=(120, 120, 120), accent=(0, 90, 200))
    font = scene.font(14, style="sans", bold=False)
    look = replace(new_look(scene), icons=0.0, radius=0)
    return Screen(scene, Canvas(320, 200, GROUND), theme, look, False, "computer_use", font, font, font)


def ink(image: Image.Image) -> Box:
    ys, xs = np.nonzero((np.asarray(image) != GROUND).any(axis=2))
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def shown(screen: Screen, box: Box) -> str:
    """The glyphs whose middle is in `box`, in the order in which they were written."""
    marks = [mark for mark in screen.canvas.marks if len(mark.what) == 1]
    return "".join(m.what for m in marks if box[0] <= m.x < box[2] and box[1] <= m.y < box[3])


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_clicked_stands_in_its_box_and_in_no_other(split: Split) -> None:
    seen: Counter[str] = Counter()
    for screen in drawn(split, 100):
        for widget in screen.widgets:
            x1, y1, x2, y2 = widget.box
            assert 0 <= x1 < x2 <= screen.canvas.width
            assert 0 <= y1 < y2 <= screen.canvas.height
            assert min(x2 - x1, y2 - y1) >= 14, widget
            fields = widget.kind in ("field", "dropdown")
            expected = "" if widget.kind == "icon" else widget.value if fields else widget.text
            assert expected.replace(" ", "") in shown(screen, widget.box), widget
            for other in screen.widgets:
                apart = other.box[2] <= x1 or x2 <= other.box[0] or other.box[3] <= y1 or y2 <= other.box[1]
                assert apart or other is widget, (widget, other)
            seen[widget.kind] += 1
    assert len(seen) == 12, seen


@pytest.mark.parametrize("split", SPLITS)
def test_no_two_controls_have_one_name(split: Split) -> None:
    together = 0
    for screen in drawn(split, 100):
        names = Counter((widget.text.lower(), widget.within) for widget in screen.widgets)
        assert max(names.values(), default=1) == 1
        for widget in screen.widgets:
            alike = [other for other in screen.widgets if other.text.lower() == widget.text.lower()]
            assert len(alike) == 1 or all(other.within for other in alike)
            together += len(alike) > 1
    assert together


@pytest.mark.parametrize("main", [True, False])
@pytest.mark.parametrize("style", themes.BUTTONS)
def test_the_box_of_a_button_is_its_ink(style: str, main: bool) -> None:
    screen = blank()
    screen.look = replace(screen.look, buttons=style)
    screen.button((20, 30, 120, 56), "Save", main=main)
    assert ink(screen.canvas.image) == screen.widgets[0].box == (20, 30, 120, 56)


@pytest.mark.parametrize("style", ["box", "filled"])
@pytest.mark.parametrize("labels", themes.LABELS)
def test_the_box_of_a_field_is_its_frame(labels: str, style: str) -> None:
    screen = blank()
    screen.look = replace(screen.look, labels=labels, fields=style)
    below = draw_field(screen, 20, 30, 220, 80, focus=True)
    box = screen.widgets[0].box
    measured = ink(screen.canvas.image.crop((box[0] - 4, box[1] - 1, box[2] + 20, box[3] + 20)))
    assert measured == (4, 1, 4 + box[2] - box[0], 1 + box[3] - box[1])
    assert below == box[3]
    assert box[2] == 220


def test_bare_text_and_switches_fill_their_boxes_but_for_a_few_pixels() -> None:
    screen = blank()
    for draw in (
        lambda: screen.link(20, 40, "Home", screen.font),
        lambda: screen.tick("checkbox", 20, 40, "Home", on=True),
        lambda: screen.tick("radio", 20, 40, "Home", on=False),
        lambda: screen.switch(20, 40, 200, screen.row, "Home", on=True),
        lambda: screen.icon("close", 20, 40, (0, 0, 0)),
    ):
        screen.canvas.restart(GROUND)
        draw()
        box, found = screen.widgets[-1].box, ink(screen.canvas.image)
        assert all(box[i] <= found[i] for i in (0, 1))
        assert all(found[i] <= box[i] for i in (2, 3))
        assert found[0] - box[0] <= 6
        assert box[2] - found[2] <= 6
        assert found[1] - box[1] <= 10
        assert box[3] - found[3] <= 10


def test_the_screen_has_one_icon_of_a_kind_and_no_button_of_its_name() -> None:
    screen = blank()
    assert screen.icon("close", 0, 0, (0, 0, 0))
    assert not screen.icon("close", 50, 0, (0, 0, 0))
    assert [widget.text for widget in screen.widgets] == ["close"]
    assert screen.label([("Close", "关闭"), ("Save", "保存")], 100) != "Close"


def test_every_size_has_its_screens() -> None:
    for split in SPLITS:
        for size in sizes("screens", split):
            scene = Scene.new(random.Random(str(size)), split, size)
            screens(scene)
            assert scene.images[0].size == size
            assert scene.candidates


def test_splits_differ_by_how_parts_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: dict[Split, set[tuple[tuple[str, str], ...]]] = {"train": set(), "held_out": set()}
    combine = Scene.combine

    def noted(scene: Scene, name: str, **axes: tuple[str, ...]) -> dict[str, str]:
        chosen = combine(scene, name, **axes)
        if name == "screens":
            plans[scene.split].add(tuple(chosen.items()))
        return chosen

    monkeypatch.setattr(Scene, "combine", noted)
    for split in SPLITS:
        assert len(list(drawn(split, 150))) > 100
    assert not plans["train"] & plans["held_out"]
    parts = {split: {part for plan in plans[split] for part in plan} for split in SPLITS}
    assert parts["train"] == parts["held_out"]
    assert len(parts["train"]) == 4 + 7 + 14 + 8


def test_themes_can_be_read() -> None:
    dark = 0
    for seed in range(300):
        theme = new_theme(random.Random(seed))
        assert contrast(theme.ink, theme.panel) > 7
        assert contrast(theme.muted, theme.panel) > 3
        assert contrast(theme.link, theme.panel) > 3
        assert contrast(theme.accent, theme.panel) > 2.4
        assert contrast(theme.accent_ink, theme.accent) > 4
        assert contrast(theme.bar_ink, theme.bar) > 4
        dark += contrast(theme.panel, (0, 0, 0)) < 4
    assert 40 < dark < 140


def test_contrast_is_that_of_web_accessibility() -> None:
    """The values that checkers give for these pairs, to what rounding of their exponent leaves."""
    assert contrast((0, 0, 0), (255, 255, 255)) == 21
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.1)
    assert contrast((255, 255, 255), (0, 0, 255)) == pytest.approx(8.59, abs=0.1)


# --- names ---


def put(screen: Screen, *widgets: tuple[str, str, Box]) -> list[Widget]:
    for kind, text, box in widgets:
        screen.add(kind, text, box)
    return screen.widgets


def test_names_by_place_count_along_a_column_or_a_row() -> None:
    screen = blank()
    upper, lower = put(screen, ("field", "Name", (10, 10, 90, 30)), ("field", "City", (10, 40, 90, 60)))
    assert by_place(screen, upper) == ["the first field from the top"]
    assert by_place(screen, lower) == ["the second field from the top", "the bottom field"]
    chinese = blank(language="zh")
    tabs = put(chinese, ("tab", "Two", (60, 10, 99, 30)), ("tab", "One", (10, 10, 50, 30)))
    assert by_place(chinese, tabs[1]) == ["从左往右第一个标签"]
    assert by_place(chinese, tabs[0]) == ["从左往右第二个标签", "最右面的标签"]


def test_what_stands_here_and_there_has_no_name_by_place() -> None:
    screen = blank()
    put(screen, ("button", "A", (10, 10, 40, 30)), ("button", "B", (60, 50, 90, 70)))
    assert not by_place(screen, screen.widgets[0])
    put(screen, ("dropdown", "C", (10, 80, 40, 99)), ("field", "D", (10, 120, 40, 140)))
    assert not by_place(screen, screen.widgets[3])
    put(screen, ("checkbox", "E", (10, 150, 40, 170)))
    assert by_place(screen, screen.widgets[4]) == ["the only checkbox"]


def test_names_by_function_are_for_one_control() -> None:
    screen = blank()
    (save,) = put(screen, ("button", "Save", (10, 10, 40, 30)))
    assert "the button that saves my work" in by_function(screen, save)
    put(screen, ("button", "Log in", (60, 10, 90, 30)), ("link", "Sign in", (60, 50, 90, 70)))
    assert not by_function(screen, screen.widgets[1])
    assert not by_function(screen, Widget("button", "Blue", (0, 0, 9, 9)))


def test_equal_texts_are_told_apart_by_their_row() -> None:
    screen = blank()
    screen.add("button", "Edit", (60, 10, 90, 30), within=("row", "Anna"))
    names = {by_text(screen.scene, screen.widgets[0]) for _ in range(40)}
    assert all("Edit" in name and "Anna" in name and "row" in name for name in names)


def test_reading_order_is_by_rows() -> None:
    boxes = [(60, 12, 90, 32), (10, 10, 50, 30), (60, 40, 90, 60), (10, 44, 50, 64)]
    widgets = [Widget("button", str(i), box) for i, box in enumerate(boxes)]
    assert [widget.text for widget in reading_order(widgets)] == ["1", "0", "3", "2"]
