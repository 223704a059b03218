"""Films of plain scenes, each of one colour, encoded as cameras and editors do: lossily, with few key frames."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from support.media_files import Array

COLOURS = [(220, 30, 30), (30, 200, 40), (40, 40, 210), (230, 220, 40), (20, 20, 20), (240, 240, 240)]


def scene(colour: tuple[int, int, int], second: float) -> Array:
    """A plain picture with a small bar that moves."""
    pixels = np.full((48, 64, 3), colour, np.uint8)
    at = int(second * 4) % 60
    pixels[20:24, at : at + 4] = 128
    return pixels


def film(
    scenes: list[tuple[int, float]], *, container: str = "mp4", fps: int = 5, begin: float = 0.0, gop: int = 250
) -> bytes:
    """`scenes`: colour number and seconds. Encoded lossily with the encoder's own choice of key frames."""
    codec = {"mp4": "libx264", "webm": "libvpx-vp9"}[container]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"film.{container}")
        with av.open(str(path), "w") as output:
            stream: Any = output.add_stream(codec, rate=Fraction(fps), options={"g": str(gop)})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            number = 0
            for colour, seconds in scenes:
                for _ in range(round(seconds * fps)):
                    frame = av.VideoFrame.from_ndarray(scene(COLOURS[colour], number / fps), format="rgb24")
                    frame.pts, frame.time_base = number + round(begin * fps), Fraction(1, fps)
                    output.mux(stream.encode(frame))
                    number += 1
            output.mux(stream.encode())
        return path.read_bytes()
