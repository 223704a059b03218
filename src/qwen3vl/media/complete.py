"""Whether a video file is all there, told from the sizes that its container states. Decodes nothing.

A cut-off video would otherwise be answered for as if it ended where the download did.
"""

from __future__ import annotations

from typing import BinaryIO

from qwen3vl.errors import MediaError
from qwen3vl.media.sniff import GIF, MP4, FileFormat

_SEGMENT = b"\x18\x53\x80\x67"


def check_complete(file: BinaryIO, size: int, format_: FileFormat) -> None:
    """Raises `MediaError` if `file` of `size` bytes ends before its container says. Leaves `file` at its start."""
    file.seek(0)
    if format_ is MP4:
        end = _mp4_end(file, size)
    elif format_ is GIF:
        end = _gif_end(file, size)
    else:
        end = _webm_end(file, size)
    file.seek(0)
    if end > size:
        raise MediaError(f"the {format_.name} video is cut off: it should have at least {end:,} bytes and has {size:,}")


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Where the last box ends: every box starts with its own length."""
    position = 0
    while position < size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:  # the true length follows in 64 bits
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:  # to the end of the file
            return size
        if length < 8:  # padding or rubbish after the last box: nothing more to hold against the size
            return size
        position += length
    return position


def _webm_end(file: BinaryIO, size: int) -> int:
    """Where the segment ends. A live recording states no length; then any end is an end."""
    file.read(4)
    header_length, _ = _varint(file)
    if header_length is None:
        return size
    file.seek(header_length, 1)
    if file.read(4) != _SEGMENT:
        return size
    length, _ = _varint(file)
    return size if length is None else file.tell() + length


def _varint(file: BinaryIO) -> tuple[int | None, int]:
    """An EBML length and its width in bytes; None is EBML's "unknown", all ones."""
    first = (file.read(1) or b"\0")[0]
    if first == 0:
        return None, 1
    width = 9 - first.bit_length()
    value = int.from_bytes(bytes([first & (0xFF >> width)]) + file.read(width - 1), "big")
    return (None if value == (1 << 7 * width) - 1 else value), width


def _gif_end(file: BinaryIO, size: int) -> int:
    """The last byte must be the trailer, but for zero padding."""
    file.seek(max(0, size - 64))
    return size if file.read().rstrip(b"\0").endswith(b";") else size + 1
