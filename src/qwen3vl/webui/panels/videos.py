"""What the place of long videos asks for beside `/v1/indexes`: a picture of each segment."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Annotated

import PIL.Image
from fastapi import APIRouter
from fastapi import Path as PathParameter
from fastapi.responses import Response

from qwen3vl.media.segments import Segment, decode_segment
from qwen3vl.media.types import VideoSampling
from qwen3vl.server.access import current_caller
from qwen3vl.server.errors import ApiError

if TYPE_CHECKING:
    from qwen3vl.server import Services

_WIDTH = 320  # pixels
_HEADERS = {"Cache-Control": "private, max-age=86400"}

IndexId = Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$")]
Number = Annotated[int, PathParameter(ge=0, le=1_000_000)]


def videos_router(services: Services) -> APIRouter:
    router = APIRouter(prefix="/indexes")
    kept, media = services.store.indexes, services.store.media

    @router.get("/{index_id}/segments/{number}/picture")
    def picture(index_id: IndexId, number: Number) -> Response:
        """How a segment begins, which is a key frame where a scene does, so that little has to be decoded."""
        index = kept.get(index_id, current_caller().owner)
        segments = kept.segments(index.id) if index is not None else []
        if index is None or number >= len(segments):
            raise ApiError(404, f"there is no segment {number} of an index {index_id!r}", code="index_not_found")
        path = media.path(index.sha256)
        if not path.is_file():
            raise ApiError(404, "the bytes of the video are not in the store any more", code="media_not_found")
        segment = Segment(segments[number].start, segments[number].end)
        frames = decode_segment(path, segment, VideoSampling(min_frames=1, max_frames=1), frame_size=_small).frames
        buffer = io.BytesIO()
        PIL.Image.fromarray(frames[0]).save(buffer, "JPEG", quality=82)
        return Response(buffer.getvalue(), media_type="image/jpeg", headers=_HEADERS)

    return router


def _small(frames: int, height: int, width: int) -> tuple[int, int]:
    return max(1, round(height * _WIDTH / width)), _WIDTH
