"""What decoding yields: pixels, and for video the true times. Knows nothing of patches, tokens or models."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3vl.errors import MediaError

Pixels = NDArray[np.uint8]  # [height, width, 3], RGB


@dataclass(frozen=True, eq=False)
class Image:
    """One picture, EXIF orientation applied, transparency flattened on white."""

    pixels: Pixels

    def __post_init__(self) -> None:
        _check_pixels(self.pixels)

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


@dataclass(frozen=True, eq=False)
class Video:
    """The sampled frames of one video and where they stood in it."""

    frames: list[Pixels]  # all of one size
    frame_indices: list[int]  # of each frame in the source, ascending
    source_fps: float  # of the source, so that index / source_fps is the time in seconds
    source_frames: int  # how many the source has

    def __post_init__(self) -> None:
        if not self.frames or len(self.frames) != len(self.frame_indices):
            raise MediaError(
                f"a video of {len(self.frames)} frames needs as many indices, got {len(self.frame_indices)}"
            )
        for frame in self.frames:
            _check_pixels(frame)
        if len({frame.shape for frame in self.frames}) > 1:
            raise MediaError("the frames of a video must all be of one size")
        if self.frame_indices[0] < 0 or any(
            b <= a for a, b in zip(self.frame_indices, self.frame_indices[1:], strict=False)
        ):
            raise MediaError("the frame indices of a video must ascend from 0 or more")
        if not (math.isfinite(self.source_fps) and self.source_fps > 0):
            raise MediaError(f"the frame rate of a video must be above 0, got {self.source_fps}")
        if self.source_frames <= self.frame_indices[-1]:
            raise MediaError(
                f"frame {self.frame_indices[-1]} is past the end of a video of {self.source_frames} frames"
            )


@dataclass(frozen=True)
class VideoSampling:
    """Which frames of a video are looked at."""

    fps: float = 2.0
    min_frames: int = 4
    max_frames: int = 768


@dataclass(frozen=True)
class MediaLimits:
    """Refused before memory is spent. Pixels are counted from the file's header, before anything is decoded."""

    max_bytes: int = 512 * 2**20
    max_pixels: int = 100_000_000  # of a picture, or of one frame
    max_video_pixels: int = 512 * 2**20  # of all sampled frames together, in the size in which they are kept
    max_aspect_ratio: float = 200.0
    max_video_seconds: float = 4 * 3600.0
    max_pdf_pages: int = 200

    def check_bytes(self, count: int) -> None:
        """Raises `MediaError` for an empty file and for one that is too long."""
        if count == 0:
            raise MediaError("the file is empty (0 bytes)")
        if count > self.max_bytes:
            raise MediaError(f"the file has {count:,} bytes; at most {self.max_bytes:,} are allowed")

    def check_size(self, width: int, height: int) -> None:
        """Raises `MediaError` for a picture, frame or page that is empty, too large or too long a strip."""
        if width < 1 or height < 1:
            raise MediaError(f"a size of {width}x{height} has no pixels")
        if width * height > self.max_pixels:
            raise MediaError(f"{width}x{height} is {width * height:,} pixels; at most {self.max_pixels:,} are allowed")
        if max(width, height) > self.max_aspect_ratio * min(width, height):
            raise MediaError(
                f"{width}x{height} is too long a strip; sides may differ by {self.max_aspect_ratio:g} to 1"
            )


DEFAULT_LIMITS = MediaLimits()
DEFAULT_SAMPLING = VideoSampling()


def _check_pixels(pixels: Pixels) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise MediaError(f"pixels must be uint8 [height, width, 3], got {pixels.dtype} {list(pixels.shape)}")
