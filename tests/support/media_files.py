"""Small media files, made in memory by other programs than the ones under test wherever there is one."""

from __future__ import annotations

import base64
import struct
import tempfile
import zlib
from collections.abc import Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
from numpy.typing import NDArray

Array = NDArray[np.uint8]
Picture = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.bool_]

# Lossless, so that frames can be compared pixel by pixel.
CODECS = {"mp4": ("libx264rgb", "rgb24", {"crf": "0"}), "webm": ("libvpx-vp9", "gbrp", {"lossless": "1"})}


def noise(height: int, width: int, seed: int = 0) -> Array:
    """Blocky random colours, so that resizing has edges to work on. [height, width, 3]"""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 3 + 1, width // 3 + 1, 3), dtype=np.uint8)
    return coarse.repeat(3, axis=0).repeat(3, axis=1)[:height, :width]


def clip(frames: int, height: int = 48, width: int = 64) -> list[Array]:
    """Frames that differ from each other everywhere."""
    return [noise(height, width, seed) for seed in range(frames)]


def encode(pixels: Picture, format_: str, **options: Any) -> bytes:
    """A picture file by Pillow."""
    file = BytesIO()
    PIL.Image.fromarray(pixels).save(file, format_, **options)
    return file.getvalue()


def video(
    frames: Sequence[Array], fps: Fraction | int = 10, container: str = "mp4", times: Sequence[int] | None = None
) -> bytes:
    """A lossless MP4 (index first, as for streaming) or WebM. `times` are presentation times in ticks of 1/fps."""
    codec, pixel_format, options = CODECS[container]
    # FFmpeg moves the index to the front by reopening the file by its name.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"video.{container}")
        with av.open(str(path), "w", options={"movflags": "faststart"} if container == "mp4" else {}) as output:
            stream: Any = output.add_stream(codec, rate=Fraction(fps), options=options)
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = pixel_format
            for i, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pixel_format)
                frame.pts, frame.time_base = (times[i] if times else i), 1 / Fraction(fps)
                output.mux(stream.encode(frame))
            output.mux(stream.encode())
        return path.read_bytes()


def gif(frames: Sequence[Array], milliseconds: int | list[int] = 100) -> bytes:
    """An animated GIF by Pillow; exact where a frame has at most 256 colours."""
    first, *others = [PIL.Image.fromarray(frame) for frame in frames]
    file = BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
    return file.getvalue()


def rotated(mp4: bytes, quarter_turns: int) -> bytes:
    """The MP4 with the note "turn me clockwise by this many quarters" in its track header, as phones write it."""
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter_turns % 4]
    matrix = [cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30]
    start = mp4.index(b"tkhd") + 4 + 40  # version 0: forty bytes stand before the matrix
    return mp4[:start] + struct.pack(">9i", *matrix) + mp4[start + 36 :]


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of a few KB whose header claims width x height pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def pdf(*pages: tuple[int, int], draw: str = "", extra: str = "", trailer: str = "") -> bytes:
    """A PDF with pages of these sizes in points. `draw` is a content stream that all pages share, `extra` goes into the
    dictionary of each page and `trailer` into the trailer."""
    kids = " ".join(f"{4 + i} 0 R" for i in range(len(pages)))
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        f"<< /Length {len(draw)} >>\nstream\n{draw}\nendstream",
        *(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Contents 3 0 R {extra} >>"
            for width, height in pages
        ),
    ]
    return pdf_of_objects(bodies, trailer)


def pdf_of_objects(bodies: Sequence[str], trailer: str = "") -> bytes:
    """A PDF file of these objects, numbered from 1; the first is the catalog."""
    data = "%PDF-1.7\n"
    offsets = []
    for number, body in enumerate(bodies, start=1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(bodies) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\n"
    return (data + end + f"startxref\n{len(data)}\n%%EOF\n").encode("latin-1")


def data_url(data: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
