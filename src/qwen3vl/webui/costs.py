"""What files will cost before they are sent: visual tokens, their share of the context, memory of the KV cache.

The figures come from the model's own rules of resizing, so they are what the prompt will hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qwen3vl.media.video import sample_indices
from qwen3vl.server.answer_results import Measured

if TYPE_CHECKING:
    from qwen3vl.engine.engine import Engine


@dataclass(frozen=True)
class Cost:
    """Of one file. `width` and `height` are those in which the model sees its first picture."""

    tokens: int
    width: int
    height: int
    pictures: int  # pages, or frames that are looked at
    share: float  # of the context
    bytes: int  # of keys and values


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


def _cost(tokens: int, size: tuple[int, int], pictures: int, engine: Engine) -> Cost:
    share = tokens / engine.info.max_context
    return Cost(tokens, size[1], size[0], pictures, share, tokens * engine.info.cache_token_bytes)
