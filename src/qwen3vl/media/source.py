"""Where media come from: bytes, Pillow pictures, data URLs and, only where allowed, local files. Fetches nothing."""

from __future__ import annotations

import binascii
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import PIL.Image

from qwen3vl.errors import MediaError
from qwen3vl.media.image import from_pil
from qwen3vl.media.sniff import check_label
from qwen3vl.media.types import DEFAULT_LIMITS, Image, MediaLimits


def read_source(source: object, *, allow_files: bool, limits: MediaLimits = DEFAULT_LIMITS) -> bytes | Image:
    """The bytes behind `source`, or the picture if it already is one.

    Takes bytes, a Pillow picture, an `Image`, a base64 data URL and, if `allow_files`, a path or `file://` URL. The
    label of a data URL must agree with its bytes. Lengths are checked before anything is read.

    Raises `MediaError` for anything else: addresses are never fetched, so that a server cannot be sent to look into
    the network it stands in.
    """
    if isinstance(source, Image):
        return source
    if isinstance(source, PIL.Image.Image):
        return from_pil(source, limits)
    if isinstance(source, bytes | bytearray | memoryview):
        limits.check_bytes(len(source))
        return bytes(source)
    if isinstance(source, Path):
        return _read_file(source, allow_files, limits)
    if not isinstance(source, str):
        raise MediaError(f"media of type {type(source).__name__} is not supported; send a data URL")
    scheme = source[:8].partition(":")[0].lower()
    if scheme == "data":
        return _read_data_url(source, limits)
    if scheme in ("http", "https"):
        raise MediaError(
            "fetching URLs is not allowed here; send the file itself as a data URL (data:image/png;base64,...)"
        )
    return _read_file(_file_url(source) if scheme == "file" else Path(source), allow_files, limits)


def _read_data_url(url: str, limits: MediaLimits) -> bytes:
    header, comma, payload = url.partition(",")
    mime, *parameters = header[len("data:") :].split(";")
    if not comma or "base64" not in (parameter.strip().lower() for parameter in parameters[-1:]):
        raise MediaError("a data URL must look like data:image/png;base64,<data>")
    limits.check_bytes(len(payload) * 3 // 4)
    try:
        data = binascii.a2b_base64(payload, strict_mode=True)
    except ValueError as error:  # binascii.Error, or a letter beyond ASCII
        raise MediaError(f"the data URL is not valid base64: {error}") from error
    check_label(data, mime.strip())
    return data


def _file_url(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise MediaError(f"a file URL must name a file on this machine (file:///path), got the host {parts.netloc!r}")
    return Path(url2pathname(parts.path))


def _read_file(path: Path, allow_files: bool, limits: MediaLimits) -> bytes:
    if not allow_files:
        raise MediaError(
            "local files may not be named here; send the file itself as a data URL (data:image/png;base64,...)"
        )
    try:
        if not path.is_file():  # also turns away pipes and devices, which may never end
            raise MediaError(f"{path} is not an existing, plain file")
        limits.check_bytes(path.stat().st_size)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError(f"the file {path} cannot be read: {error}") from error
