"""Indexes of long videos: what is to be described, and the descriptions as they come. What they say is the caller's."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, select

from qwen3vl.errors import InputError, StoreError
from qwen3vl.store.sessions import Database
from qwen3vl.store.tables import MediaRow, VideoIndexRow, VideoSegmentRow
from qwen3vl.store.text import check_storable, storable

IndexState = Literal["working", "paused", "done", "failed"]


@dataclass(frozen=True)
class VideoIndex:
    """`error`: a sentence, of one that failed. `chapters`: None until they are known."""

    id: str
    owner: str
    sha256: str
    name: str
    settings: Mapping[str, Any]
    state: IndexState
    error: str
    chapters: list[Any] | None
    created: float


@dataclass(frozen=True)
class VideoSegment:
    """`summary` and `events` are None until the segment has been described."""

    number: int  # from 0
    start: float  # seconds
    end: float
    summary: str | None
    events: list[Any] | None


class VideoIndexes:
    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, owner: str, sha256: str, *, name: str, settings: Mapping[str, Any]) -> VideoIndex:
        """The owner's index of that video with these settings, with all that is known; a new one is `working`.

        Raises `InputError` for settings that cannot be kept, and if the video is not among the media.
        """
        check_storable(settings, "the settings of the index")
        id_ = _id(owner, sha256, settings)
        with self._database.writing() as session:
            if session.get(MediaRow, sha256) is None:
                raise InputError(f"there is no media {sha256!r} in the store")
            row = session.get(VideoIndexRow, id_)
            if row is None:
                row = VideoIndexRow(
                    id=id_,
                    owner=owner,
                    sha256=sha256,
                    name=storable(name),
                    settings=dict(settings),
                    state="working",
                    error="",
                    chapters=None,
                    created=time.time(),
                )
                session.add(row)
            return _record(row)

    def get(self, index: str, owner: str) -> VideoIndex | None:
        """None also for somebody else's."""
        with self._database.reading() as session:
            row = session.get(VideoIndexRow, index)
            return _record(row) if row is not None and row.owner == owner else None

    def list(self, owner: str) -> list[VideoIndex]:
        """Newest first."""
        chosen = select(VideoIndexRow).where(VideoIndexRow.owner == owner)
        with self._database.reading() as session:
            rows = session.scalars(chosen.order_by(VideoIndexRow.created.desc(), VideoIndexRow.id))
            return [_record(row) for row in rows]

    def working(self) -> Sequence[VideoIndex]:
        """Everybody's that are not finished, oldest first: what a process that ended has left."""
        chosen = select(VideoIndexRow).where(VideoIndexRow.state == "working").order_by(VideoIndexRow.created)
        with self._database.reading() as session:
            return [_record(row) for row in session.scalars(chosen)]

    def segments(self, index: str) -> Sequence[VideoSegment]:
        """In order. Empty until the video has been cut."""
        chosen = select(VideoSegmentRow).where(VideoSegmentRow.video_index == index).order_by(VideoSegmentRow.number)
        with self._database.reading() as session:
            return [VideoSegment(r.number, r.start, r.end, r.summary, r.events) for r in session.scalars(chosen)]

    def cut(self, index: str, segments: Sequence[tuple[float, float]]) -> None:
        """Says once where the segments begin and end. Raises `StoreError` if the index is gone."""
        with self._database.writing() as session:
            session.add_all(
                VideoSegmentRow(video_index=index, number=number, start=start, end=end, summary=None, events=None)
                for number, (start, end) in enumerate(segments)
            )

    def describe(self, index: str, number: int, *, summary: str, events: Sequence[Any]) -> None:
        """Keeps what was seen in a segment. Raises `StoreError` if the index is gone."""
        with self._database.writing() as session:
            row = session.get(VideoSegmentRow, (index, number))
            if row is None:
                raise StoreError(f"segment {number} of the index {index} is no longer there")
            row.summary, row.events = storable(summary), storable(events)

    def finish(self, index: str, chapters: Sequence[Any]) -> None:
        """Keeps the chapters; the index is `done`. Raises `StoreError` if it is gone."""
        with self._database.writing() as session:
            row = _row(session.get(VideoIndexRow, index), index)
            row.chapters, row.state, row.error = storable(chapters), "done", ""

    def set_state(self, index: str, state: IndexState, error: str = "") -> VideoIndex:
        """Raises `StoreError` if the index is gone."""
        with self._database.writing() as session:
            row = _row(session.get(VideoIndexRow, index), index)
            row.state, row.error = state, storable(error)
            return _record(row)

    def delete(self, index: str) -> None:
        """The video's bytes go with the next sweep unless something else refers to them."""
        with self._database.writing() as session:
            session.execute(delete(VideoSegmentRow).where(VideoSegmentRow.video_index == index))
            session.execute(delete(VideoIndexRow).where(VideoIndexRow.id == index))


def _id(owner: str, sha256: str, settings: Mapping[str, Any]) -> str:
    said = json.dumps([owner, sha256, settings], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _row(row: VideoIndexRow | None, index: str) -> VideoIndexRow:
    if row is None:
        raise StoreError(f"the index {index} is no longer there")
    return row


def _record(row: VideoIndexRow) -> VideoIndex:
    return VideoIndex(
        id=row.id,
        owner=row.owner,
        sha256=row.sha256,
        name=row.name,
        settings=row.settings,
        state=row.state,  # type: ignore[arg-type]  # the column holds one of them
        error=row.error,
        chapters=row.chapters,
        created=row.created,
    )
