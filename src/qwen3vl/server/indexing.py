"""Long videos described in the background, one at a time, segment by segment, each kept as it comes.

Whatever ends the work (a pause, an error, the end of the process) loses at most the segment that was being looked at;
what was `working` when the process ended goes on when the next one starts.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from qwen3vl.errors import StoreError
from qwen3vl.media.segments import Segment, SegmentRule, decode_segment, find_segments
from qwen3vl.media.types import Video, VideoSampling
from qwen3vl.server.access import Caller, acting_as
from qwen3vl.server.errors import ApiError, describe
from qwen3vl.server.threads import in_thread
from qwen3vl.server.writing import Use
from qwen3vl.store.database import Store
from qwen3vl.store.indexes import VideoIndex, VideoSegment
from qwen3vl.tasks.base import TaskRequest
from qwen3vl.tasks.reading import Reader
from qwen3vl.tasks.results import TaskResult, TimedEvent
from qwen3vl.tasks.video_index import (
    CHAPTERS_AT_ONCE,
    Note,
    ask_chapters,
    ask_segment,
    read_chapters,
    read_segment,
)

if TYPE_CHECKING:
    from qwen3vl.server.serving import Served

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 2.0  # between two tries while people's requests fill the queue
_TOO_MANY = 429

T = TypeVar("T")


class Indexing:
    """Belongs to the event loop that calls it, between `start` and `close`."""

    def __init__(self, store: Store, use: Use) -> None:
        self._store, self._use = store, use
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(1)
        self._searched: dict[str, float] = {}

    async def start(self) -> None:
        """Goes on with what an earlier process has left."""
        for index in await asyncio.to_thread(self._store.indexes.working):
            self.begin(index)

    async def close(self) -> None:
        """Ends all work; it goes on with the next `start`."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def begin(self, index: VideoIndex) -> None:
        """Works on an index that is `working`, unless that is being done already."""
        if index.state == "working" and index.id not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._work(index))
            self._tasks[index.id] = task
            task.add_done_callback(lambda _: self._tasks.pop(index.id, None))

    def searched(self, index: VideoIndex) -> float | None:
        """Seconds of the video that were looked through for scenes, while that is being done."""
        return self._searched.get(index.id)

    async def pause(self, index: VideoIndex) -> VideoIndex:
        """Ends the work until `resume`. Raises `ApiError` 409 for an index that nobody works on."""
        if index.state != "working":
            raise ApiError(409, f"the index is {index.state}; only one that is being worked on can pause")
        await self._stop(index)
        now = await asyncio.to_thread(self._store.indexes.get, index.id, index.owner)
        if now is None or now.state != "working":  # it came to its end meanwhile
            return now or index
        return await asyncio.to_thread(self._store.indexes.set_state, index.id, "paused")

    async def resume(self, index: VideoIndex) -> VideoIndex:
        """Goes on where the work ended. Raises `ApiError` 409 for an index that is done."""
        if index.state == "done":
            raise ApiError(409, "the index is done")
        if index.state != "working":
            await self._stop(index)  # of one that has just failed, the last steps
            index = await asyncio.to_thread(self._store.indexes.set_state, index.id, "working")
        self.begin(index)
        return index

    async def delete(self, index: VideoIndex) -> None:
        """Ends the work and forgets what was found."""
        await self._stop(index)
        await asyncio.to_thread(self._store.indexes.delete, index.id)

    async def _stop(self, index: VideoIndex) -> None:
        if (task := self._tasks.get(index.id)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _work(self, index: VideoIndex) -> None:
        with acting_as(Caller(index.owner or None, endpoint="/v1/indexes")):
            try:
                async with self._turn:
                    await self._index(index)
            except Exception as error:
                said = describe(error)[1]["error"]["message"]  # logs what nobody foresaw
                try:
                    await asyncio.to_thread(self._store.indexes.set_state, index.id, "failed", said)
                except StoreError:
                    logger.exception("the index %s failed (%s), which could not be kept", index.id, said)

    async def _index(self, index: VideoIndex) -> None:
        kept, path = self._store.indexes, self._store.media.path(index.sha256)
        if not path.is_file():
            raise StoreError("the bytes of the video are not in the store any more")
        segments = await in_thread(kept.segments, index.id) or await self._cut(index, path)
        for segment in segments:
            if segment.summary is None:
                note = await self._patiently(index, _look, path, segment)
                events = [event.model_dump() for event in note.events]
                await in_thread(kept.describe, index.id, segment.number, summary=note.summary, events=events)
        notes = notes_of(await in_thread(kept.segments, index.id))
        chapters: list[TimedEvent] = []
        for first in range(0, len(notes), CHAPTERS_AT_ONCE):
            group = notes[first : first + CHAPTERS_AT_ONCE]
            chapters += await self._patiently(index, _chapters, group)
        await in_thread(kept.finish, index.id, [chapter.model_dump() for chapter in chapters])

    async def _cut(self, index: VideoIndex, path: Path) -> Sequence[VideoSegment]:
        longest = float(index.settings["segment_seconds"])
        rule = SegmentRule(longest=longest, shortest=min(SegmentRule.shortest, longest / 2))
        stopped = threading.Event()

        def progress(seconds: float) -> None:
            self._searched[index.id] = seconds
            if stopped.is_set():
                raise _Stopped

        try:
            found = await in_thread(find_segments, path, rule, progress=progress, stop=stopped)
        finally:
            self._searched.pop(index.id, None)
        await in_thread(self._store.indexes.cut, index.id, [(each.start, each.end) for each in found])
        return await in_thread(self._store.indexes.segments, index.id)

    async def _patiently(self, index: VideoIndex, question: Callable[..., Awaitable[T]], *args: Any) -> T:
        """What `question` makes of the index's model. While the requests of people fill the queue, this waits."""
        while True:
            try:
                async with self._use(index.settings["model"]) as model:
                    return await question(model, index, *args)
            except ApiError as error:
                if error.status != _TOO_MANY:
                    raise
            await asyncio.sleep(_AGAIN_SECONDS)


class _Stopped(Exception):
    """Ends a search in its thread."""


def notes_of(segments: Sequence[VideoSegment]) -> list[Note]:
    """Of the segments that have been described."""
    return [
        Note(each.start, each.end, each.summary, tuple(TimedEvent(**event) for event in each.events or ()))
        for each in segments
        if each.summary is not None
    ]


def clip(model: Served, path: Path, start: float, end: float, fps: float, max_pixels: int | None) -> Video:
    """The frames of a part of a video, in the size in which the model sees them. Raises `MediaError`."""
    patches = model.prompt_builder.patches
    return decode_segment(
        path,
        Segment(start, end),
        VideoSampling(fps=fps, min_frames=2),
        frame_size=lambda frames, height, width: patches.video_size(frames, height, width, max_pixels=max_pixels),
    )


def harmless(notes: Sequence[Note], model: Served) -> list[Note]:
    """Without control tokens in what a model wrote: a question that holds one would be refused."""
    return [replace(note, summary=model.prompt_builder.tokenizer.harmless(note.summary)) for note in notes]


async def _look(model: Served, index: VideoIndex, path: Path, segment: VideoSegment) -> Note:
    settings = index.settings
    frames = await in_thread(clip, model, path, segment.start, segment.end, settings["fps"], settings["max_pixels"])
    asked = ask_segment(settings["language"], settings["focus"])
    answer = await _answer(model, index, asked, [{"type": "video", "video": frames}])
    return read_segment(answer, segment.start, segment.end)


async def _chapters(model: Served, index: VideoIndex, notes: Sequence[Note]) -> list[TimedEvent]:
    notes = harmless(notes, model)
    return read_chapters(await _answer(model, index, ask_chapters(notes, index.settings["language"]), []), notes)


async def _answer(model: Served, index: VideoIndex, asked: TaskRequest, media: list[dict[str, Any]]) -> str:
    """What the model says, without its thought."""
    options: dict[str, Any] = {**asked.options, "grammar": asked.grammar}
    for name in ("mode", "max_tokens", "max_pixels"):
        if index.settings[name] is not None:
            options[name] = index.settings[name]
    content = [*media, {"type": "text", "text": asked.instruction}]
    result = await model.agenerate([{"role": "user", "content": content}], task="video_index", **options)
    return Reader(lambda text, whole: TaskResult(text=text), thinking=model.thinks).finish(result.text).text
