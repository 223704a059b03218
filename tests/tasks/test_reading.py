"""Every task's reader on the answers that the models write: streamed in any pieces, whole, cut off and broken."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3vl.tasks.reading import Reader, Update
from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.results import BoxMark, PointMark, SpaceMark, TaskResult
from support.answers import RECORDED, Recorded

QUICK = settings(max_examples=40, deadline=None)
names = st.sampled_from(sorted(RECORDED))


def reader_of(recorded: Recorded) -> Reader:
    task = TASKS[recorded.task]
    return task.reader(task.params(**recorded.params), recorded.media, thinking=recorded.thinking)


def read(recorded: Recorded) -> TaskResult:
    return reader_of(recorded).finish(recorded.text)


def streamed(recorded: Recorded, pieces: list[str]) -> list[Update]:
    reader = reader_of(recorded)
    return [update for piece in pieces for update in reader.feed(piece)]


def found(updates: list[Update]) -> dict[str, list[Any]]:
    lists: dict[str, list[Any]] = {}
    for update in updates:
        if update.kind == "item":
            items = lists.setdefault(update.list, [])
            assert update.index == len(items), "an item came twice, or one was passed over"
            items.append(update.item)
    return lists


def in_the_end(result: TaskResult) -> dict[str, list[Any]]:
    lists: dict[str, list[Any]] = {}
    for name, _, item in result.items():
        lists.setdefault(name, []).append(item)
    return lists


def cut(text: str, places: list[int]) -> list[str]:
    bounds = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in itertools.pairwise(bounds)]


@pytest.mark.parametrize("name", RECORDED)
def test_a_stream_letter_by_letter_tells_each_thing_once_and_nothing_else(name: str) -> None:
    recorded = RECORDED[name]
    updates = streamed(recorded, list(recorded.text))
    told, whole = found(updates), in_the_end(read(recorded))
    for kind, items in told.items():
        assert items == whole[kind][: len(items)]
    if recorded.task in ("grounding", "gui_agent", "video_events", "video_summary"):  # lists: all but what ends with it
        assert {k: len(v) for k, v in told.items()} == {k: len(v) for k, v in whole.items()}


@pytest.mark.parametrize("name", RECORDED)
def test_text_and_thought_arrive_complete(name: str) -> None:
    recorded = RECORDED[name]
    updates = streamed(recorded, list(recorded.text))
    result = read(recorded)
    assert "".join(u.text for u in updates if u.kind == "thinking") == result.thinking
    assert "</think>" not in result.text
    if recorded.task != "documents":  # whose text is the answer inside the JSON
        assert "".join(u.text for u in updates if u.kind == "text").rstrip() == result.text


@QUICK
@given(names, st.lists(st.integers(0, 5000), max_size=12))
def test_the_pieces_do_not_matter(name: str, places: list[int]) -> None:
    recorded = RECORDED[name]
    updates = streamed(recorded, cut(recorded.text, places))
    whole = in_the_end(read(recorded))
    for kind, items in found(updates).items():
        assert items == whole[kind][: len(items)]


@QUICK
@given(names, st.integers(0, 5000), st.lists(st.integers(0, 5000), max_size=6))
def test_an_answer_that_is_cut_off_gives_what_was_finished(name: str, end: int, places: list[int]) -> None:
    """And JSON can hold the result: no infinity, no half a character."""
    recorded = RECORDED[name]
    prefix = recorded.text[: end % (len(recorded.text) + 1)]
    reader = reader_of(recorded)
    for piece in cut(prefix, places):
        reader.feed(piece)
    result = reader.finish(prefix, None, "length")
    assert result.warnings
    json.dumps(result.model_dump(mode="json"), allow_nan=False)
    assert reader_of(recorded).finish(prefix, None, "length") == result
    complete = in_the_end(read(recorded))
    for kind in ("marks", "actions", "events") if recorded.task != "documents" else ():
        items = in_the_end(result).get(kind, [])
        if not recorded.thinking and name not in ("a moment",):
            assert items == complete.get(kind, [])[: len(items)]


NASTY = st.sampled_from(
    [
        *(
            "[",
            "]",
            "{",
            "}",
            '"',
            "\\",
            "`",
            "```",
            "<",
            ">",
            "</",
            "<![",
            "<!--",
            "&#x110000;",
            "|",
            "1e999",
            "NaN",
            "-",
        ),
        *("9" * 400, "9" * 5000, "null", "true", "\x00", "\ud800", "</think>", "<think>", "<table>", "</table>", "00:"),
        *(
            "<td colspan=99999 rowspan=99999>",
            "－",
            "٣",
            "<mxCell id='a' parent='a'",
            "vertex='1'>",
            "x='nan'",
            "data-bbox='",
        ),
    ]
)
pieces = st.one_of(NASTY, st.text(max_size=3))


@settings(max_examples=150, deadline=None)
@given(names, st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 30), pieces), min_size=1, max_size=5))
def test_broken_answers_never_raise(name: str, changes: list[tuple[int, int, str]]) -> None:
    recorded = RECORDED[name]
    text = recorded.text
    for place, removed, added in changes:
        at = place % (len(text) + 1)
        text = text[:at] + added + text[at + removed :]
    reader = reader_of(recorded)
    for start in range(0, len(text), 7):
        reader.feed(text[start : start + 7])
    result = reader.finish(text)
    if "\ud800" not in text:
        json.dumps(result.model_dump(mode="json"), allow_nan=False)
        assert all(export.bytes for export in result.exports().values())


@settings(max_examples=100, deadline=None)
@given(names, st.lists(pieces, max_size=20))
def test_rubbish_never_raises(name: str, parts: list[str]) -> None:
    recorded = RECORDED[name]
    reader = reader_of(recorded)
    for part in parts:
        reader.feed(part)
    reader.finish("".join(parts))


@pytest.mark.parametrize("lines", [400, 1600])
def test_a_long_answer_is_read_a_fixed_number_of_times(lines: int) -> None:
    """Characters are counted and not seconds: reading again from the beginning at each new thing would be quadratic."""
    line = '\t{"bbox_2d": [100, 200, 300, 400], "label": "brick"},\n'
    text = "[\n" + line * lines + "]"
    recorded = Recorded("grounding", text, {"target": "bricks"})
    parse, lengths = reader_of(recorded)._read, []

    def counted(answer: str, whole: bool) -> TaskResult:
        lengths.append(len(answer))
        return parse(answer, whole)

    reader = Reader(counted, thinking=False)
    updates = [update for letter in text for update in reader.feed(letter)]
    assert len(found(updates)["marks"]) >= 0.95 * lines
    assert sum(lengths) < 100 * len(text)


@pytest.mark.parametrize("task", ["video_events", "video_when"])
@pytest.mark.parametrize("unit", ["7", "1:", "1.", "7 ", "1 -", "0:1 "])
def test_a_row_of_digits_is_read_at_once(task: str, unit: str) -> None:
    """A search that began anew within each number would take minutes."""
    recorded = next(each for each in RECORDED.values() if each.task == task)
    began = time.process_time()
    read(replace(recorded, text=unit * (100_000 // len(unit))))
    assert time.process_time() - began < 5


def test_places_are_in_pixels_and_in_thousandths() -> None:
    marks = read(RECORDED["boxes fenced"]).marks
    assert marks[0] == BoxMark(
        label="red car", pixels=(200.0, 100.0, 600.0, 200.0), relative=(100.0, 200.0, 300.0, 400.0)
    )
    point = read(RECORDED["points"]).marks[0]
    assert isinstance(point, PointMark)
    assert point.pixels == (894.0, 40.5)


def test_each_picture_has_its_own_marks() -> None:
    first, second = read(RECORDED["boxes of two pictures"]).marks
    assert isinstance(first, BoxMark)
    assert (first.picture, first.pixels) == (1, (0.0, 0.0, 50.0, 50.0))
    assert isinstance(second, BoxMark)
    assert (second.picture, second.pixels) == (0, (0.0, 0.0, 20.0, 5.0))


def test_what_a_thought_says_is_no_answer() -> None:
    assert [mark.label for mark in read(RECORDED["thought by the template"]).marks] == ["yes"]
    assert [event.start for event in read(RECORDED["thought by the model"]).events] == [5.0]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("12", 12),
        ("There are three.", 3),
        ("一共有五个。", 5),
        ("I see none", None),
        ("1.5", None),
        ("3,000 birds", None),
        ('[{"point_2d": [1, 2], "label": "a"}, {"point_2d": [3, 4], "label": "a"}]', 2),
    ],
)
def test_counting(text: str, count: int | None) -> None:
    data = read(Recorded("grounding", text, {"target": "birds", "ask": "count"})).data
    assert data == (None if count is None else {"count": count})


def test_actions() -> None:
    tap = read(RECORDED["a tap on a phone"]).actions[0]
    assert (tap.action, tap.reason) == ("click", "The search bar is at the top.")
    assert tap.target is not None
    assert tap.target.pixels == (894.0, 40.5)
    assert read(RECORDED["typing on a desktop"]).actions[0].text == 'he said "}"'
    plain = read(RECORDED["a plain action"]).actions[0]
    assert isinstance(plain.target, BoxMark)
    assert (plain.target.label, plain.target.pixels) == ("Save", (200.0, 100.0, 600.0, 120.0))


def test_documents_as_html_and_markdown() -> None:
    html = read(RECORDED["qwenvl html"])
    assert [mark.label for mark in html.marks][:2] == ["Title", "Body & soul"]
    assert html.tables[0].rows == [["a", "b"], ["1", "2"]]
    assert html.code[0].source.startswith("<html>")
    markdown = read(RECORDED["qwenvl markdown"])
    assert markdown.tables[0].rows == [["a", "b"], ["1", "2"], ["3", "4"]]


def test_times_stay_inside_the_clip() -> None:
    first, second = read(RECORDED["events by range"]).events
    assert (first.start, first.end, first.text) == (23.0, 48.0, "trim the fat off a piece of beef.")
    assert (second.start, second.end) == (70.5, 120.0)
    late = read(
        Recorded(
            "video_events", '[{"start": "09:00", "end": "09:10", "description": "x"}]', {}, RECORDED["a moment"].media
        )
    )
    assert late.events == []
    assert "after the end" in late.warnings[0]
    moment = read(RECORDED["a moment"]).events[0]
    assert (moment.start, moment.end) == (12.0, 12.0)
    chapter = read(RECORDED["chapters"]).events[1]
    assert (chapter.title, chapter.text, chapter.start) == ("Main", "Work.", 30.0)


def test_citations() -> None:
    result = read(RECORDED["citations"])
    citation = result.pages[0]
    assert (result.text, citation.page, citation.quote) == ("42 €", 2, "Total 42 €")
    assert citation.box is not None
    assert citation.box.picture == 1
    assert citation.box.pixels == pytest.approx((113.2, 800.0, 452.8, 864.0))
    assert [c.page for c in read(RECORDED["a page named"]).pages] == [3]
    assert read(Recorded("documents", "See page 9", {"question": "?"}, RECORDED["citations"].media)).pages == []


def test_code_is_taken_out_of_its_fence() -> None:
    page = read(RECORDED["a page"]).code[0]
    assert page.source.startswith("<!DOCTYPE html>")
    assert page.source.endswith("</html>")
    assert read(RECORDED["a chart"]).code[0].language == "python"
    assert read(RECORDED["chart data"]).data == {"Apples": 12, "Pears": 7.5}


def test_boxes_in_space_have_corners_in_the_picture() -> None:
    car = read(RECORDED["boxes in space"]).marks[0]
    assert isinstance(car, SpaceMark)
    assert car.size == (4.12, 1.65, 1.7)
    assert len(car.corners) == 8
    assert all(corner is not None and corner[0] < 1000 for corner in car.corners), "it stands on the left"


@pytest.mark.parametrize(("reason", "warned"), [("stop", []), ("loop", ["repeated"]), ("length", ["cut off"])])
def test_how_it_ended_is_said(reason: str, warned: list[str]) -> None:
    result = reader_of(RECORDED["plain text"]).finish("abc", None, reason)
    assert len(result.warnings) == len(warned)
    assert all(word in said for word, said in zip(warned, result.warnings, strict=True))
