"""The index of a long video: what the model is asked about each segment, about chapters and about a question, and what
its answers say. All times that leave here are seconds of the whole video.

Knows nothing of files, models and databases.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwen3vl.engine.grammar import Grammar
from qwen3vl.tasks.base import Language, TaskRequest, words
from qwen3vl.tasks.events import Event, parse_events
from qwen3vl.tasks.kinds.shared import TIME, first_json, list_of, object_of
from qwen3vl.tasks.loose_json import json_objects
from qwen3vl.tasks.ranking import rank
from qwen3vl.tasks.results import TaskResult, TimedEvent

CHAPTERS_AT_ONCE = 60  # segments that one question about chapters takes in
_LINE = {"type": "string", "minLength": 1, "maxLength": 300}  # a bound, because a lost model closes no string
_TITLE = {"type": "string", "minLength": 1, "maxLength": 80}
_OPTIONS: Mapping[str, Any] = {"temperature": 0.0, "presence_penalty": 0.0, "stop_loops": True}


@dataclass(frozen=True)
class Note:
    """What was seen in a segment."""

    start: float  # seconds
    end: float
    summary: str
    events: tuple[TimedEvent, ...] = ()


@dataclass(frozen=True)
class Hit:
    """An event, or a segment as a whole, that has to do with a query."""

    segment: int  # its number, from 0
    start: float
    end: float
    text: str
    score: float


def ask_segment(language: Language, focus: str = "", *, most: int = 20) -> TaskRequest:
    """Asks for a summary of a clip and for what happens in it."""
    ask = words(
        'Describe this clip of a longer video in JSON: {"summary": "one sentence", "events": [{"start": "mm:ss.ff", '
        '"end": "mm:ss.ff", "description": "..."}]}. Times are those within the clip.',
        '用 JSON 描述这段视频片段：{"summary": "一句话概括", "events": [{"start": "mm:ss.ff", "end": "mm:ss.ff", '
        '"description": "..."}]}。时间以片段开头为零。',
    )[language]
    if focus:
        ask += {"en": f" Above all: {focus}", "zh": f"重点关注：{focus}"}[language]
    event = object_of({"start": TIME, "end": TIME, "description": _LINE})
    schema = object_of({"summary": _LINE, "events": {**list_of(event), "maxItems": most}})
    return TaskRequest(None, ask, Grammar.json_schema(schema), _OPTIONS)


def read_segment(answer: str, start: float, end: float) -> Note:
    """What a model said of the segment. Events that do not begin within it are left out. Never raises."""
    summary = next(
        (s for item in json_objects(answer, unfinished=True) if isinstance(s := item.get("summary"), str)), ""
    )
    events = [placed for event in parse_events(answer) if (placed := _placed(event, start, end))]
    return Note(start, end, summary.strip(), tuple(events))


def ask_chapters(notes: Sequence[Note], language: Language) -> TaskRequest:
    """Asks how segments that follow each other make chapters."""
    lines = [
        f"{number}. [{clock(note.start)} - {clock(note.end)}] {note.summary}" for number, note in enumerate(notes, 1)
    ]
    ask = words(
        "These are the segments of a video, in order:\n\n{lines}\n\nGroup them into chapters, in JSON: "
        '[{{"first": number of the first segment, "title": "...", "summary": "..."}}].',
        "以下是一个视频按顺序排列的片段：\n\n{lines}\n\n把它们合并成章节，用 JSON 回答："
        '[{{"first": 第一个片段的编号, "title": "...", "summary": "..."}}]。',
    )[language].format(lines="\n".join(lines))
    chapter = object_of(
        {"first": {"type": "integer", "minimum": 1, "maximum": len(notes)}, "title": _TITLE, "summary": _LINE}
    )
    most = max(1, min(len(notes), 20))
    schema = {**list_of(chapter), "minItems": 1, "maxItems": most}
    return TaskRequest(None, ask, Grammar.json_schema(schema), _OPTIONS)


def read_chapters(answer: str, notes: Sequence[Note]) -> list[TimedEvent]:
    """Chapters that follow each other from the first segment to the last: each ends where the next begins, and the
    first begins at the beginning, whatever the model wrote. Without any in the answer, all is one. Never raises.
    """
    named: dict[int, tuple[str, str]] = {}
    for item in json_objects(answer):
        first, title = item.get("first"), item.get("title")
        if (
            isinstance(first, int)
            and not isinstance(first, bool)
            and 1 <= first <= len(notes)
            and isinstance(title, str)
        ):
            summary = item.get("summary")
            named.setdefault(first, (title.strip(), summary.strip() if isinstance(summary, str) else ""))
    firsts = sorted(named)
    if not firsts:
        return [TimedEvent(start=notes[0].start, end=notes[-1].end, text=notes[0].summary)]
    starts = [notes[0].start, *(notes[first - 1].start for first in firsts[1:])]
    ends = [*starts[1:], notes[-1].end]
    return [
        TimedEvent(start=start, end=end, title=named[first][0], text=named[first][1])
        for first, start, end in zip(firsts, starts, ends, strict=True)
    ]


def search(notes: Sequence[Note], query: str, most: int = 20) -> list[Hit]:
    """Events and segments that share words with `query`, the best first. A segment of which an event is found is not
    named by itself as well.
    """
    entries = [
        (number, start, end, text)
        for number, note in enumerate(notes)
        for start, end, text in [
            *((event.start, event.end, event.text) for event in note.events),
            (note.start, note.end, note.summary),
        ]
    ]
    hits = [Hit(*entries[found.number], found.score) for found in rank(query, [entry[3] for entry in entries])]
    within = {hit.segment for hit in hits if not _whole(hit, notes)}
    return [hit for hit in hits if hit.segment not in within or not _whole(hit, notes)][:most]


def best_segments(notes: Sequence[Note], question: str, most: int) -> list[int]:
    """Numbers of the segments to look at again for a question, in the order of the video. Where no word of it is in
    any note, segments spread over the whole video.
    """
    texts = [" ".join([note.summary, *(event.text for event in note.events)]) for note in notes]
    found = [ranked.number for ranked in rank(question, texts)[:most]]
    if not found:
        found = [i * len(notes) // min(most, len(notes)) for i in range(min(most, len(notes)))]
    return sorted(found)


def clip_heading(number: int, note: Note, language: Language) -> str:
    """What stands before clip `number` (from 1) of a question."""
    heading = words("Clip {n}, {start} to {end} of the video: {text}", "片段 {n}，视频的 {start} 至 {end}：{text}")
    return heading[language].format(n=number, start=clock(note.start), end=clock(note.end), text=note.summary)


def ask_question(question: str, clips: int, language: Language) -> TaskRequest:
    """Asks about `clips` clips, which stand before it."""
    ask = words(
        'Answer from the clips above, in JSON: {"answer": "...", "moments": [{"clip": 1, "start": "mm:ss.ff", '
        '"end": "mm:ss.ff", "description": "..."}]}. Times are those within the clip.',
        '根据以上片段用 JSON 回答：{"answer": "...", "moments": [{"clip": 1, "start": "mm:ss.ff", "end": "mm:ss.ff", '
        '"description": "..."}]}。时间以片段开头为零。',
    )[language]
    number = {"type": "integer", "minimum": 1, "maximum": clips}
    moment = object_of({"clip": number, "start": TIME, "end": TIME, "description": _LINE})
    answer = {"type": "string", "minLength": 1, "maxLength": 2000}
    schema = object_of({"answer": answer, "moments": {**list_of(moment), "maxItems": 10}})
    return TaskRequest(None, f"{question}\n\n{ask}", Grammar.json_schema(schema), _OPTIONS)


def read_answer(answer: str, whole: bool, clips: Sequence[Note]) -> TaskResult:
    """The answer, with its moments as events of the whole video. Never raises."""
    events = []
    for item in json_objects(answer):
        number = item.get("clip")
        if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= len(clips):
            clip = clips[number - 1]
            for event in parse_events(json.dumps(item)):
                if placed := _placed(event, clip.start, clip.end):
                    events.append(placed)
    data = first_json(answer, whole=True) if whole else None
    said = data.get("answer") if isinstance(data, dict) else None
    return TaskResult(text=said if isinstance(said, str) else answer, data=data, events=events)


def index_result(notes: Sequence[Note], chapters: Sequence[TimedEvent]) -> TaskResult:
    """The whole index as a result, for exports: chapters and summaries as text, events with their times."""
    parts = [f"## {clock(chapter.start)} {chapter.title}\n\n{chapter.text}\n" for chapter in chapters]
    for note in notes:
        parts.append(f"- **{clock(note.start)} - {clock(note.end)}** {note.summary}")
        parts += [f"  - {clock(event.start)} - {clock(event.end)} {event.text}" for event in note.events]
    events = [
        event
        for note in notes
        for event in note.events or (TimedEvent(start=note.start, end=note.end, text=note.summary),)
    ]
    data = {
        "chapters": [chapter.model_dump(exclude={"kind"}) for chapter in chapters],
        "segments": [
            {
                "start": note.start,
                "end": note.end,
                "summary": note.summary,
                "events": [event.model_dump(exclude={"kind", "title"}) for event in note.events],
            }
            for note in notes
        ],
    }
    return TaskResult(text="\n".join(parts), data=data, events=events)


def clock(seconds: float) -> str:
    """`1:02:03`, or `02:03` within the first hour."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def _placed(event: Event, start: float, end: float) -> TimedEvent | None:
    """An event of a segment, in the whole video; None for one that begins after the segment's end."""
    if start + event.start > end:
        return None
    return TimedEvent(start=start + event.start, end=min(start + event.end, end), text=event.text, title=event.title)


def _whole(hit: Hit, notes: Sequence[Note]) -> bool:
    note = notes[hit.segment]
    return (hit.start, hit.end, hit.text) == (note.start, note.end, note.summary)
