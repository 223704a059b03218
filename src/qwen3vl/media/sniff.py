"""What a file is, told by its first bytes and not by its name or label. Decodes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qwen3vl.errors import MediaError

MediaKind = Literal["image", "video", "pdf"]

HEAD_BYTES = 1024  # enough of a file's start to tell its format
_STILL_BRANDS = {b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


@dataclass(frozen=True)
class FileFormat:
    """A format that can be read, and what it may be used as; the first kind is what it is when nobody says."""

    name: str
    kinds: tuple[MediaKind, ...]


PNG = FileFormat("PNG", ("image",))
JPEG = FileFormat("JPEG", ("image",))
WEBP = FileFormat("WebP", ("image",))
BMP = FileFormat("BMP", ("image",))
GIF = FileFormat("GIF", ("image", "video"))
MP4 = FileFormat("MP4", ("video",))
WEBM = FileFormat("WebM", ("video",))
PDF = FileFormat("PDF", ("pdf",))
READABLE = "PNG, JPEG, WebP, GIF or BMP (picture), MP4, WebM or GIF (video), PDF (document)"


def file_format(head: bytes) -> FileFormat:
    """The format of a file that starts with `head` (`HEAD_BYTES` suffice). Raises `MediaError` if it cannot be read."""
    if not head:
        raise MediaError("the file is empty (0 bytes)")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head[4:8] == b"ftyp" and head[8:12] not in _STILL_BRANDS:
        return MP4
    if head.startswith(b"\x1aE\xdf\xa3"):
        return WEBM
    if b"%PDF-" in head[:HEAD_BYTES]:
        return PDF
    if head.startswith(b"BM"):
        return BMP
    raise MediaError(f"the file is of no known format; readable are {READABLE}")


def media_kind(head: bytes) -> MediaKind:
    """What a file that starts with `head` is. A GIF is an image here: it is a video only where one is asked for."""
    return file_format(head).kinds[0]


def check_kind(head: bytes, wanted: MediaKind) -> FileFormat:
    """The format of a file that is to be used as `wanted`. Raises `MediaError` that names both if it cannot be."""
    found = file_format(head)
    if wanted not in found.kinds:
        raise MediaError(f"{_article(wanted)} is asked for, but the bytes are {found.name}, {_article(found.kinds[0])}")
    return found


def check_label(head: bytes, mime: str) -> None:
    """Raises `MediaError` if a media type such as `image/png` says another kind than the bytes.

    Only the kind is compared: a JPEG labelled `image/png` is common, harmless and read as the JPEG that it is.
    An empty label and `application/octet-stream` claim nothing.
    """
    mime = mime.lower()
    if mime in ("", "application/octet-stream"):
        return
    kind = "pdf" if mime == "application/pdf" else mime.partition("/")[0]
    found = file_format(head)
    if kind not in found.kinds:
        raise MediaError(f"the label says {mime}, but the bytes are {found.name}, {_article(found.kinds[0])}")


def _article(kind: MediaKind) -> str:
    return {"image": "a picture", "video": "a video", "pdf": "a PDF document"}[kind]
