"""`/v1/indexes`: long videos that are described in the background, searched, asked about and exported."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from qwen3vl.engine.options import GenerationOptions
from qwen3vl.errors import InputError
from qwen3vl.server.access import current_caller
from qwen3vl.server.answering import Writer, answer
from qwen3vl.server.bodies import COMPLETION_ERRORS, errors, or_stream
from qwen3vl.server.contents import take_in
from qwen3vl.server.errors import ApiError
from qwen3vl.server.indexing import clip, harmless, notes_of
from qwen3vl.server.places import renamed
from qwen3vl.server.schema import Number, SamplingRequest
from qwen3vl.server.services import Services
from qwen3vl.server.serving import Served, ServedStream
from qwen3vl.server.tasks import TaskAnswer, TaskChunk, TaskWriter
from qwen3vl.store.indexes import IndexState, VideoIndex, VideoSegment
from qwen3vl.tasks.base import Language
from qwen3vl.tasks.reading import Reader
from qwen3vl.tasks.results import TimedEvent
from qwen3vl.tasks.video_index import ask_question, best_segments, clip_heading, index_result, read_answer, search

IndexId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_FILES: dict[str, Any] = {"content": {kind: {} for kind in ("text/markdown", "application/json", "text/csv")}}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class IndexSettings(_Body):
    """The same video with the same settings is the same index."""

    language: Language = Field("en", description="in which the model is asked")
    focus: str = Field("", max_length=1000, description="what to look for above all")
    segment_seconds: Number = Field(60.0, ge=4, le=300, description="no segment is longer")
    fps: Number = Field(1.0, ge=0.1, le=4, description="frames a second that the model sees")
    model: str | None = Field(None, description="without: the one that answers")
    mode: StrictInt | str | None = None
    max_pixels: StrictInt | None = Field(None, description="of a frame")
    max_tokens: StrictInt | None = Field(1024, description="of what is said of a segment")

    def check(self) -> None:
        """Raises `InputError` for what no model can honour."""
        names = ("mode", "max_pixels", "max_tokens")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        GenerationOptions.from_mapping(given)


class IndexRequest(IndexSettings):
    video: dict[str, Any] = Field(
        description="one content part: video_url, file, or {type: video, media: its hash here}"
    )


class SegmentBody(_Body):
    """`summary` is null until the segment has been described."""

    number: int
    start: float
    end: float
    summary: str | None
    events: list[TimedEvent]


class Progress(_Body):
    """`segments` is null while the video is searched for scenes; `searched`: seconds of it that have been."""

    described: int
    segments: int | None
    searched: float | None


class IndexBody(_Body):
    id: str
    object: Literal["video_index"]
    created: int
    name: str
    media: str = Field(description="the video's hash, for GET /v1/media/{sha256}")
    state: IndexState
    error: str
    settings: IndexSettings
    progress: Progress
    chapters: list[TimedEvent] | None


class IndexWhole(IndexBody):
    segments: list[SegmentBody]


class IndexList(_Body):
    object: Literal["list"]
    data: list[IndexBody]


class IndexDeleted(_Body):
    id: str
    object: Literal["video_index"]
    deleted: bool


class HitBody(_Body):
    segment: int
    start: float
    end: float
    text: str
    score: float


class HitList(_Body):
    object: Literal["list"]
    data: list[HitBody]


class IndexQuestion(SamplingRequest):
    """A question that is answered from the segments that have to do with it, which the model sees again."""

    said_as: ClassVar[Mapping[str, str]] = {"messages": "question"}

    question: str = Field(min_length=1, max_length=4000)
    clips: StrictInt = Field(3, ge=1, le=8, description="segments to look at")
    language: Language = "en"

    def further_options(self) -> dict[str, Any]:
        if self.n not in (None, 1):
            raise InputError("a question has one answer; leave 'n' out", param="n")
        return {}


def indexes_router(services: Services) -> APIRouter:
    router = APIRouter(prefix="/v1/indexes", tags=["indexes"])
    kept, indexing, media = services.store.indexes, services.indexing, services.store.media

    async def own(index_id: str) -> VideoIndex:
        found = await asyncio.to_thread(kept.get, index_id, current_caller().owner)
        if found is None:
            raise ApiError(404, f"there is no index {index_id!r}", code="index_not_found")
        return found

    async def segments_of(index: VideoIndex) -> list[VideoSegment]:
        return list(await asyncio.to_thread(kept.segments, index.id))

    async def body(index: VideoIndex) -> dict[str, Any]:
        return _body(index, await segments_of(index), indexing.searched(index))

    @router.post("", response_model=IndexBody, responses=errors())
    async def begin(request: IndexRequest) -> dict[str, Any]:
        """Begins to describe a video. One that was begun with the same settings goes on where it ended."""
        request.check()
        try:
            [part] = await take_in([request.video], services)
        except InputError as error:
            raise renamed(error, ["video"], {"content[0]": "video"}) from error
        if part["type"] != "video":
            raise InputError("'video' must be a video", param="video")
        settings = request.model_dump(exclude={"video"})
        owner = current_caller().owner
        index = await asyncio.to_thread(lambda: kept.open(owner, part["media"], name=part["name"], settings=settings))
        return await body(index if index.state == "done" else await indexing.resume(index))

    @router.get("", response_model=IndexList, responses=errors())
    async def indexes() -> dict[str, Any]:
        """This key's indexes, the newest first."""
        found = await asyncio.to_thread(kept.list, current_caller().owner)
        return {"object": "list", "data": [await body(index) for index in found]}

    @router.get("/{index_id}", response_model=IndexWhole, responses=errors(404))
    async def index_by_id(index_id: IndexId) -> dict[str, Any]:
        """With all segments, those that are not described yet too."""
        index = await own(index_id)
        segments = await segments_of(index)
        told = [
            {"number": s.number, "start": s.start, "end": s.end, "summary": s.summary, "events": s.events or []}
            for s in segments
        ]
        return {**_body(index, segments, indexing.searched(index)), "segments": told}

    @router.post("/{index_id}/pause", response_model=IndexBody, responses=errors(404, 409))
    async def pause(index_id: IndexId) -> dict[str, Any]:
        """Ends the work for now; what has been described stays, and can be searched."""
        return await body(await indexing.pause(await own(index_id)))

    @router.post("/{index_id}/resume", response_model=IndexBody, responses=errors(404, 409))
    async def resume(index_id: IndexId) -> dict[str, Any]:
        """Goes on after a pause or a failure."""
        return await body(await indexing.resume(await own(index_id)))

    @router.delete("/{index_id}", response_model=IndexDeleted, responses=errors(404))
    async def delete(index_id: IndexId) -> dict[str, Any]:
        """Ends the work and forgets what was found. The video goes within the hour unless something else needs it."""
        index = await own(index_id)
        await indexing.delete(index)
        return {"id": index.id, "object": "video_index", "deleted": True}

    @router.get("/{index_id}/search", response_model=HitList, responses=errors(404))
    async def find(
        index_id: IndexId,
        query: Annotated[str, Query(min_length=1, max_length=1000)],
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> dict[str, Any]:
        """Events and segments whose descriptions share words with the query, the best first."""
        segments = [segment for segment in await segments_of(await own(index_id)) if segment.summary is not None]
        hits = await asyncio.to_thread(search, notes_of(segments), query, limit)
        data = [{**vars(hit), "segment": segments[hit.segment].number} for hit in hits]
        return {"object": "list", "data": data}

    @router.get("/{index_id}/export", response_class=Response, responses={200: _FILES, **errors(404, 409)})
    async def export(
        index_id: IndexId, format: Annotated[Literal["markdown", "json", "srt", "csv"], Query()] = "markdown"
    ) -> Response:
        """What has been described so far as a file: `markdown`, `json`, `srt` (subtitles) or `csv`."""
        index = await own(index_id)
        notes = notes_of(await segments_of(index))
        if not notes:
            raise ApiError(409, "nothing of the video has been described yet", code="index_empty")
        chapters = [TimedEvent(**chapter) for chapter in index.chapters or []]
        name = index.name.rpartition(".")[0] or index.name or "video"
        file = index_result(notes, chapters).exports(name)[format]
        disposition = f"attachment; filename*=utf-8''{quote(file.filename, safe='')}"
        return Response(file.bytes, media_type=file.media_type, headers={"Content-Disposition": disposition})

    @router.post(
        "/{index_id}/ask",
        response_model=None,
        responses={200: or_stream(TaskAnswer, TaskChunk), **COMPLETION_ERRORS, **errors(409)},
    )
    async def ask(request: Request, index_id: IndexId, question: IndexQuestion) -> Response:
        """Answers a question; the events of the result are the moments of the whole video that it names."""
        index = await own(index_id)
        options = question.options()
        notes = notes_of(await segments_of(index))
        if not notes:
            raise ApiError(409, "nothing of the video has been described yet", code="index_empty")

        async def begin(model: Served) -> tuple[Writer, ServedStream]:
            said = harmless(notes, model)
            chosen = [said[number] for number in best_segments(said, question.question, question.clips)]
            content: list[dict[str, Any]] = []
            for number, note in enumerate(chosen, 1):
                fps, pixels = index.settings["fps"], index.settings["max_pixels"]
                path = media.path(index.sha256)
                frames = await asyncio.to_thread(clip, model, path, note.start, note.end, fps, pixels)
                content.append({"type": "text", "text": clip_heading(number, note, question.language)})
                content.append({"type": "video", "video": frames})
            asked = ask_question(question.question, len(chosen), question.language)
            content.append({"type": "text", "text": asked.instruction})
            reader = Reader(lambda text, whole: read_answer(text, whole, chosen), thinking=model.thinks)
            everything = {**asked.options, **({} if pixels is None else {"max_pixels": pixels}), **options}
            stream = model.astream(
                [{"role": "user", "content": content}], task="video_index", **everything, grammar=asked.grammar
            )
            return TaskWriter("video_index", model.info.name, reader), stream

        return await answer(request, services, question, begin)

    return router


def _body(index: VideoIndex, segments: list[VideoSegment], searched: float | None) -> dict[str, Any]:
    described = sum(segment.summary is not None for segment in segments)
    return {
        "id": index.id,
        "object": "video_index",
        "created": int(index.created),
        "name": index.name,
        "media": index.sha256,
        "state": index.state,
        "error": index.error,
        "settings": index.settings,
        "progress": {"described": described, "segments": len(segments) or None, "searched": searched},
        "chapters": index.chapters,
    }
