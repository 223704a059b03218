"""What models say of segments, as notes of the whole video, and what is found in them."""

from __future__ import annotations

import json

import pytest

from qwen3vl.engine.grammar import Grammar
from qwen3vl.tasks.results import TimedEvent
from qwen3vl.tasks.video_index import (
    Note,
    ask_chapters,
    ask_question,
    ask_segment,
    best_segments,
    clock,
    index_result,
    read_answer,
    read_chapters,
    read_segment,
    search,
)

EVENTS = [
    {"start": "00:01.00", "end": "00:03.50", "description": "A cat jumps"},
    {"start": "00:58.00", "end": "01:20.00", "description": "It sleeps"},
    {"start": "01:10.00", "end": "01:20.00", "description": "after the end"},
]
ANSWER = json.dumps({"summary": "A cat.", "events": EVENTS})
NOTES = [
    Note(0, 60, "A kitchen.", (TimedEvent(start=5, end=6, text="A cup falls"),)),
    Note(60, 120, "A garden with a red ball."),
    Note(120, 3700, "A red car.", (TimedEvent(start=130, end=131, text="A red car stops"),)),
]


def test_events_stand_at_their_place_in_the_whole_video() -> None:
    note = read_segment(ANSWER, 3600, 3660)
    assert note.summary == "A cat."
    assert [(event.start, event.end, event.text) for event in note.events] == [
        (3601, 3603.5, "A cat jumps"),
        (3658, 3660, "It sleeps"),
    ]


@pytest.mark.parametrize("length", range(len(ANSWER)))
def test_an_answer_that_is_cut_off_keeps_what_it_has(length: int) -> None:
    note = read_segment(ANSWER[:length], 0, 60)
    assert "A cat.".startswith(note.summary)
    assert [event.text for event in note.events] == ["A cat jumps", "It sleeps"][: len(note.events)]
    assert len(note.events) == sum(ANSWER[:length].count(json.dumps(event)) for event in EVENTS[:2])


@pytest.mark.parametrize(
    ("firsts", "expected"),
    [
        ([1, 3], [(0, 120), (120, 3700)]),
        ([2, 3], [(0, 120), (120, 3700)]),  # the beginning belongs to the first
        ([3, 1, 3], [(0, 120), (120, 3700)]),
        ([99, 0], [(0, 3700)]),
        ([], [(0, 3700)]),
    ],
)
def test_chapters_cover_everything_once(firsts: list[int], expected: list[tuple[float, float]]) -> None:
    answer = json.dumps([{"first": first, "title": f"t{first}", "summary": ""} for first in firsts])
    assert [(chapter.start, chapter.end) for chapter in read_chapters(answer, NOTES)] == expected


def test_an_event_goes_before_its_segment() -> None:
    hits = search(NOTES, "red")
    assert [(hit.segment, hit.text) for hit in hits] == [(2, "A red car stops"), (1, "A garden with a red ball.")]
    assert search(NOTES, "red", most=1) == hits[:1]
    assert search(NOTES, "zebra") == []


def test_the_segments_to_look_at_again() -> None:
    assert best_segments(NOTES, "Where is the red thing?", 2) == [1, 2]
    assert best_segments(NOTES, "the cup", 1) == [0]
    assert best_segments(NOTES, "xyz", 2) == [0, 1]
    assert best_segments(NOTES, "xyz", 8) == [0, 1, 2]


def test_moments_of_an_answer() -> None:
    moments = [
        {"clip": 2, "start": "00:10.00", "end": "00:11.00", "description": "it stops"},
        {"clip": 3, "start": "00:10.00", "end": "00:11.00", "description": "no such clip"},
        {"clip": True, "start": "00:10.00", "end": "00:11.00", "description": "no number"},
    ]
    text = json.dumps({"answer": "At the gate.", "moments": moments})
    result = read_answer(text, True, [NOTES[0], NOTES[2]])
    assert result.text == "At the gate."
    assert [(event.start, event.end, event.text) for event in result.events] == [(130, 131, "it stops")]
    begun = read_answer(text[: text.index('{"clip": 3')], False, [NOTES[0], NOTES[2]])
    assert begun.events == result.events
    assert read_answer("just words", True, NOTES).text == "just words"


def test_questions_have_grammars_and_name_what_they_are_about() -> None:
    asked = [ask_segment("en", "the cat"), ask_segment("zh", "猫"), ask_question("Why {this}?", 2, "en")]
    for request, words in zip(
        [*asked, ask_chapters(NOTES, "en")],
        ["the cat", "猫", "Why {this}?", "2. [01:00 - 02:00] A garden"],
        strict=True,
    ):
        assert words in request.instruction
        assert isinstance(request.grammar, Grammar)
        assert "{{" not in request.instruction


def test_exports_have_chapters_and_times() -> None:
    chapter = TimedEvent(start=0, end=120, title="Home", text="At home.")
    files = index_result(NOTES, [chapter]).exports("film")
    markdown = files["markdown"].bytes.decode()
    assert "## 00:00 Home" in markdown
    assert "**02:00 - 1:01:40** A red car." in markdown
    assert "00:01:00,000 --> 00:02:00,000\nA garden with a red ball." in files["srt"].bytes.decode()
    assert json.loads(files["json"].bytes)["data"]["chapters"][0]["title"] == "Home"


def test_clock() -> None:
    assert [clock(seconds) for seconds in (0, 59.9, 60, 3599, 3600, 36061)] == [
        "00:00", "00:59", "01:00", "59:59", "1:00:00", "10:01:01",
    ]  # fmt: skip
