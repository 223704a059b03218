"""What a picture, video or document is: its kind, size and length. For whoever keeps it; keeps nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

from qwen3vl.media.image import decode_image
from qwen3vl.media.pdf import count_pages
from qwen3vl.media.sniff import BMP, GIF, JPEG, MP4, PDF, PNG, WEBM, WEBP, FileFormat, MediaKind, check_kind, media_kind
from qwen3vl.media.types import DEFAULT_LIMITS, MediaLimits
from qwen3vl.media.video import read_header

_MEDIA_TYPES: dict[FileFormat, str] = {
    PNG: "image/png",
    JPEG: "image/jpeg",
    WEBP: "image/webp",
    BMP: "image/bmp",
    GIF: "image/gif",
    MP4: "video/mp4",
    WEBM: "video/webm",
    PDF: "application/pdf",
}
MEDIA_TYPES = frozenset(_MEDIA_TYPES.values())


@dataclass(frozen=True)
class Description:
    """Width and height are those of the upright picture or frame; a PDF has pages instead."""

    kind: MediaKind
    media_type: str
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    pages: int | None = None


def describe(data: bytes, kind: MediaKind | None = None, limits: MediaLimits = DEFAULT_LIMITS) -> Description:
    """Describes `data`, used as `kind` or as what its bytes are. A picture is decoded, and of a video the first frame.

    Raises `MediaError` for what is empty, damaged, of another kind, or larger than `limits`.
    """
    kind = kind or media_kind(data)
    media_type = _MEDIA_TYPES[check_kind(data, kind)]
    if kind == "pdf":
        return Description(kind, media_type, pages=count_pages(data, limits))
    if kind == "video":
        header = read_header(data, limits)
        return Description(kind, media_type, header.width, header.height, header.seconds)
    picture = decode_image(data, limits)
    return Description(kind, media_type, picture.width, picture.height)
