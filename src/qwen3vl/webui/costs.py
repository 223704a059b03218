"""What files will cost before they are sent: visual tokens, their share of the context, memory of the KV cache.

The figures come from the model's own rules of resizing, so they are what the prompt will hold. Nothing is decoded but a
header.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from qwen3vl.errors import MediaError
from qwen3vl.media.image import decode_image
from qwen3vl.media.pdf import read_pages
from qwen3vl.media.video import read_header, sample_indices

if TYPE_CHECKING:
    from qwen3vl.engine.engine import Engine

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Measured:
    """A file as it is: sizes of its pictures (of a video the one of its frames), and how long it runs."""

    sizes: tuple[tuple[int, int], ...]  # width, height in pixels
    seconds: float | None = None
    frames: int = 1


@dataclass(frozen=True)
class Cost:
    """Of one file. `width` and `height` are those in which the model sees its first picture."""

    tokens: int
    width: int
    height: int
    pictures: int  # pages, or frames that are looked at
    share: float  # of the context
    bytes: int  # of keys and values


@lru_cache(maxsize=512)
def measure(path: Path, kind: str) -> Measured:
    """A file whose bytes never change. Raises `MediaError`."""
    if kind == "video":
        header = read_header(path)
        return Measured(((header.width, header.height),), header.seconds, header.frames)
    data = path.read_bytes()
    if kind == "pdf":
        return Measured(tuple((page.width, page.height) for page in read_pages(data)))
    picture = decode_image(data)
    return Measured(((picture.width, picture.height),))


def cost_of(measured: Measured, engine: Engine, max_pixels: int | None, fps: float | None) -> Cost:
    """Raises `MediaError` for what the model cannot take."""
    patches = engine.prompt_builder.patches
    if measured.seconds is not None:
        (width, height), rate = measured.sizes[0], measured.frames / max(measured.seconds, 1e-6)
        sampling = patches.sampling if fps is None else replace(patches.sampling, fps=fps)
        seen = len(sample_indices(measured.frames, rate, sampling))
        size = patches.video_size(seen, height, width, None, max_pixels)
        tokens = patches.tokens(*size) * -(-seen // patches.temporal_patch_size)
        return _cost(tokens, size, seen, engine)
    sizes = [patches.picture_size(height, width, None, max_pixels) for width, height in measured.sizes]
    return _cost(sum(patches.tokens(*size) for size in sizes), sizes[0], len(sizes), engine)


def pixel_range(engine: Engine) -> tuple[int, int]:
    """Between which bounds of a picture a person may choose."""
    bounds = engine.prompt_builder.patches.picture_bounds
    return bounds.min_pixels, min(bounds.max_pixels, engine.info.max_pixels)


def kv_bytes(engine: Engine) -> int:
    """Of keys and values that one token takes in the cache."""
    text = engine.prompt_builder.config.text
    return text.num_layers * 2 * text.num_kv_heads * text.head_dim * _BYTES[engine.info.dtype]


def measured_all(files: Sequence[tuple[Path, str]]) -> list[Measured | str]:
    """Each file, or what is wrong with it."""
    found: list[Measured | str] = []
    for path, kind in files:
        try:
            found.append(measure(path, kind))
        except (MediaError, OSError) as error:
            found.append(str(error))
    return found


def _cost(tokens: int, size: tuple[int, int], pictures: int, engine: Engine) -> Cost:
    share = tokens / engine.info.max_context
    return Cost(tokens, size[1], size[0], pictures, share, tokens * kv_bytes(engine))
