"""What happens in a video and when: events, the moment of one, chapters. Times are seconds within the clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qwen3vl.engine.grammar import Grammar
from qwen3vl.tasks.base import Accepted, Language, StrictParams, Task, TaskRequest, param, words
from qwen3vl.tasks.events import parse_events, parse_time
from qwen3vl.tasks.kinds.shared import TEXT, TIME, list_of, object_of, without_fence
from qwen3vl.tasks.results import MediaInfo, TaskResult, TimedEvent

_VIDEO: frozenset[Accepted] = frozenset({"video"})
_OPTIONS: Mapping[str, Any] = {"temperature": 0.0, "presence_penalty": 0.0, "stop_loops": True}


class EventsParams(StrictParams):
    focus: str = param("", ("Only about", "Leave empty for everything."), ("只关注", "留空则列出全部事件。"))


class WhenParams(StrictParams):
    what: str = param(
        ..., ("What happens", "The moment you look for."), ("什么事", "想找的时刻发生了什么。"), min_length=1
    )


class SummaryParams(StrictParams):
    most: int | None = param(None, ("Chapters", "At most so many."), ("章节数", "最多多少个章节。"), ge=1, le=100)


class VideoEvents(Task[EventsParams]):
    name = "video_events"
    titles = words("Video events", "视频事件")
    summaries = words("Lists what happens, with start and end.", "列出视频中发生的事及其起止时间。")
    accepts = frozenset({"text", "video"})
    needs = _VIDEO
    text_param = "focus"
    params = EventsParams

    def _ask(self, params: EventsParams, media: Sequence[MediaInfo], language: Language) -> TaskRequest:
        ask = words(
            'List all events in the video in JSON, with "start", "end" (mm:ss.ff) and "description".',
            "用 JSON 列出视频中的所有事件，每项包含 start、end（mm:ss.ff）和 description。",
        )[language]
        if params.focus:
            ask += {"en": f" Only about: {params.focus}", "zh": f"只关注：{params.focus}"}[language]
        ask += without_fence(params.strict, language)
        return TaskRequest(None, ask, _grammar(params, {"description": TEXT}), _OPTIONS)

    def _read(self, answer: str, whole: bool, params: EventsParams, media: Sequence[MediaInfo]) -> TaskResult:
        return _result(answer, whole, media)


class VideoWhen(Task[WhenParams]):
    name = "video_when"
    titles = words("When in the video", "视频定位时刻")
    summaries = words("Finds the moment or span in which something happens.", "找出某件事发生的时刻或时间段。")
    accepts = frozenset({"text", "video"})
    needs = _VIDEO
    text_param = "what"
    params = WhenParams

    def _ask(self, params: WhenParams, media: Sequence[MediaInfo], language: Language) -> TaskRequest:
        ask = params.what.strip()
        if not ask.endswith(("?", "？")):
            ask = {"en": f"When does this happen: {ask}", "zh": f"{ask}发生在什么时候？"}[language]
        if params.strict:
            ask += words(
                ' Answer in JSON with "start", "end" (mm:ss.ff) and "description".',
                "用 JSON 回答，包含 start、end（mm:ss.ff）和 description。",
            )[language]
        ask += without_fence(params.strict, language)
        return TaskRequest(None, ask, _grammar(params, {"description": TEXT}), _OPTIONS)

    def _read(self, answer: str, whole: bool, params: WhenParams, media: Sequence[MediaInfo]) -> TaskResult:
        result = _result(answer, whole, media)
        if whole and not result.events and (moment := parse_time(answer)) is not None:
            event = _clamped(moment, moment, params.what, "", media)
            return result.model_copy(update={"events": [event] if event else [], "warnings": []})
        return result


class VideoSummary(Task[SummaryParams]):
    name = "video_summary"
    titles = words("Video chapters", "视频章节")
    summaries = words("Splits a video into chapters with titles and summaries.", "把视频分成带标题和摘要的章节。")
    accepts = frozenset({"text", "video"})
    needs = _VIDEO
    params = SummaryParams

    def _ask(self, params: SummaryParams, media: Sequence[MediaInfo], language: Language) -> TaskRequest:
        ask = words(
            'Split the video into chapters in JSON, with "start", "end" (mm:ss.ff), "title" and "summary".',
            "把视频分成章节，用 JSON 回答，每项包含 start、end（mm:ss.ff）、title 和 summary。",
        )[language]
        if params.most:
            ask += {"en": f" At most {params.most} chapters.", "zh": f"最多 {params.most} 个章节。"}[language]
        ask += without_fence(params.strict, language)
        return TaskRequest(None, ask, _grammar(params, {"title": TEXT, "summary": TEXT}, params.most), _OPTIONS)

    def _read(self, answer: str, whole: bool, params: SummaryParams, media: Sequence[MediaInfo]) -> TaskResult:
        return _result(answer, whole, media)


def _grammar(params: StrictParams, said: Mapping[str, Any], most: int | None = None) -> Grammar | None:
    if not params.strict:
        return None
    events = list_of(object_of({"start": TIME, "end": TIME, **said}))
    return Grammar.json_schema({**events, "minItems": 1, **({"maxItems": most} if most else {})})


def _result(answer: str, whole: bool, media: Sequence[MediaInfo]) -> TaskResult:
    if not whole and "{" not in answer:
        answer_lines = answer[: answer.rfind("\n") + 1]  # a line of prose is finished with its end
        found = parse_events(answer_lines)
    else:
        found = parse_events(answer)
    events = [event for e in found if (event := _clamped(e.start, e.end, e.text, e.title, media))]
    warnings = []
    if whole and not found:
        warnings.append("no times were found in the answer")
    if whole and len(events) < len(found):
        warnings.append(f"{len(found) - len(events)} events begin after the end of the video and were left out")
    return TaskResult(text=answer, events=events, warnings=warnings)


def _clamped(start: float, end: float, text: str, title: str, media: Sequence[MediaInfo]) -> TimedEvent | None:
    """The part of an event that lies in the clip; None for one that begins after its end."""
    duration = next((medium.duration for medium in media if medium.duration is not None), None)
    if duration is not None and start > duration:
        return None
    return TimedEvent(start=start, end=end if duration is None else min(end, duration), text=text, title=title)
