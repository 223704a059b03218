"""Which size the model sees a picture or video in: multiples of one merge block, within bounds of pixels.

The two functions follow the reference processors number by number, their rounding included.
"""

from __future__ import annotations

import math

from qwen3vl.errors import MediaError

_MAX_ASPECT_RATIO = 200


def picture_size(height: int, width: int, *, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Height and width after resizing, multiples of `factor`. Raises `MediaError` for strips beyond 200 to 1.

    A strip may need more than `max_pixels`, since no side gets shorter than `factor`.
    """
    _check_aspect(height, width)
    new_height, new_width = round(height / factor) * factor, round(width / factor) * factor
    if new_height * new_width > max_pixels:
        return _shrink(height, width, math.sqrt(height * width / max_pixels), factor)
    if new_height * new_width < min_pixels:
        return _grow(height, width, math.sqrt(min_pixels / (height * width)), factor)
    return new_height, new_width


def video_size(
    frames: int, height: int, width: int, *, temporal_factor: int, factor: int, min_pixels: int, max_pixels: int
) -> tuple[int, int]:
    """Height and width of each frame after resizing, where the bounds hold for all `frames` together.

    A single frame counts as `temporal_factor` frames, since it is repeated to fill them.
    """
    frames = max(frames, temporal_factor)
    if height < factor or width < factor:
        scale = max(factor / height, factor / width)
        height, width = int(height * scale), int(width * scale)
    _check_aspect(height, width)
    new_height, new_width = round(height / factor) * factor, round(width / factor) * factor
    pixels = round(frames / temporal_factor) * temporal_factor * new_height * new_width
    if pixels > max_pixels:
        return _shrink(height, width, math.sqrt(frames * height * width / max_pixels), factor)
    if pixels < min_pixels:
        return _grow(height, width, math.sqrt(min_pixels / (frames * height * width)), factor)
    return new_height, new_width


def _check_aspect(height: int, width: int) -> None:
    if max(height, width) > _MAX_ASPECT_RATIO * min(height, width):
        raise MediaError(f"{width}x{height} is too long a strip; sides may differ by {_MAX_ASPECT_RATIO} to 1")


def _shrink(height: int, width: int, scale: float, factor: int) -> tuple[int, int]:
    return (
        max(factor, math.floor(height / scale / factor) * factor),
        max(factor, math.floor(width / scale / factor) * factor),
    )


def _grow(height: int, width: int, scale: float, factor: int) -> tuple[int, int]:
    return math.ceil(height * scale / factor) * factor, math.ceil(width * scale / factor) * factor
