"""What needs no browser: escaping, figures, and the samples that the page ships."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from qwen3vl.engine.outputs import Usage
from qwen3vl.tasks.grounding import Box, Point
from qwen3vl.webui.answering import Answer
from qwen3vl.webui.page import SAMPLES
from qwen3vl.webui.pieces import as_markdown, statistics_html
from qwen3vl.webui.stage import stage_html
from qwen3vl.webui.texts import ENGLISH
from qwen3vl.webui.views import View
from support import drawing


@pytest.mark.parametrize("name", ["window", "shapes", "note", "page"])
def test_the_samples_are_what_the_tests_draw(name: str) -> None:
    with Image.open(SAMPLES / f"{name}.png") as sample:
        drawn = getattr(drawing, name)().image
        assert sample.size == drawn.size
        # Not bit by bit: FreeType draws letters a little differently from version to version.
        assert np.abs(np.asarray(sample.convert("RGB"), int) - np.asarray(drawn, int)).mean() < 1


def test_every_suggestion_has_its_sample() -> None:
    assert {sample.file for sample in ENGLISH.samples} == {file.name for file in SAMPLES.iterdir()}


def test_nothing_in_a_name_or_a_label_becomes_markup() -> None:
    evil = '"><script>alert(1)</script>'
    html = stage_html([View(evil, "a.png", 100, 50, 4)], ENGLISH, [Box(0, 20, 50, 50, evil), Point(1, 2, evil)])
    assert "<script" not in html
    assert html.count("&lt;script") == html.count("alert(1)") > 0
    assert '"&gt;' not in html  # the quotation mark is escaped too


def test_marks_are_placed_in_percent_on_the_picture_chosen() -> None:
    views = [View("a", "a.png", 100, 50, 4), View("b", "b.png", 200, 100, 4)]
    html = stage_html(views, ENGLISH, [Box(20, 10, 60, 60, "x")], target=1)
    first, second = html.split("</figure>")[:2]
    assert "mark" not in first
    assert "left:10.000%;top:10.000%;width:20.000%;height:50.000%" in second


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<html></html>", "```html\n<html></html>\n```"),
        ('{"a": 1}', '```json\n{"a": 1}\n```'),
        ("[1, 2]", "```json\n[1, 2]\n```"),
        ('Here:\n```json\n{"a": 1}\n```', 'Here:\n```json\n{"a": 1}\n```'),
        ("red circle", "red circle"),
        ("", ""),
    ],
)
def test_bare_markup_is_fenced(text: str, shown: str) -> None:
    assert as_markdown(text) == shown


def test_figures_under_the_answer() -> None:
    usage = Usage(120, 31, 0, 96, 2, 0.0, 0.2, 0.5)
    line = statistics_html(Answer("x", 31, 0.25, 0.55, "done", usage), ENGLISH)
    for figure in ("<b>31</b> tokens", "<b>100</b> tokens/s", "<b>250 ms</b>", "<b>120</b> prompt", "<b>2</b> experts"):
        assert figure in line
    waiting = statistics_html(Answer(), ENGLISH)
    assert "<b>" not in waiting  # no figure before there is one
