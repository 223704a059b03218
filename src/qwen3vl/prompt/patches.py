"""Pixels to patches, as the checkpoint's processor files ask. Knows nothing of tokens beyond their number.

Patches stay uint8: the vision tower computes x / 127.5 - 1, which is what mean = std = 0.5 means, so a prompt holds a
quarter of the memory and its hash costs a quarter of the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qwen3vl.checkpoints.config import VisionConfig
from qwen3vl.checkpoints.files import read_json
from qwen3vl.errors import CheckpointError, InputError
from qwen3vl.media.image import resize
from qwen3vl.media.types import Pixels, VideoSampling
from qwen3vl.prompt.resize import picture_size, video_size


@dataclass(frozen=True)
class PixelBounds:
    """How many pixels a picture, or all frames of a video together, may have after resizing."""

    min_pixels: int
    max_pixels: int

    def override(self, min_pixels: int | None, max_pixels: int | None) -> PixelBounds:
        """With the caller's own bounds; a default that contradicts the one bound that was given gives way to it."""
        low = self.min_pixels if min_pixels is None else min_pixels
        high = self.max_pixels if max_pixels is None else max_pixels
        if min_pixels is None:
            low = min(low, high)
        elif max_pixels is None:
            high = max(low, high)
        return PixelBounds(low, high)


@dataclass(frozen=True, eq=False)
class Grid:
    """The patches of one picture, or of one group of frames, before it has a place in a prompt."""

    patches: torch.Tensor  # [rows * columns, channel * time * patch row * patch column] uint8, merge blocks in a row
    rows: int  # patches, before merging
    columns: int

    @property
    def key(self) -> bytes:
        """128 bits that are equal where the pixels and the grid are."""
        digest = blake2b(self.patches.numpy().data, digest_size=16)
        digest.update(f"{self.rows}x{self.columns}".encode())
        return digest.digest()


@dataclass(frozen=True)
class PatchConfig:
    """How pictures and videos are cut, and the bounds within which they are resized first."""

    patch_size: int
    temporal_patch_size: int
    merge_size: int
    picture_bounds: PixelBounds
    video_bounds: PixelBounds
    sampling: VideoSampling

    @classmethod
    def from_folder(cls, folder: Path, vision: VisionConfig) -> PatchConfig:
        """Reads `preprocessor_config.json` and `video_preprocessor_config.json`, or the one `processor_config.json`
        that newer tools write. Raises `CheckpointError` if they are absent or do not suit `vision`."""
        picture = _read_processor(folder, "preprocessor_config.json", "image_processor", vision)
        video = _read_processor(folder, "video_preprocessor_config.json", "video_processor", vision)
        if video.get("cap_pixels_per_frame"):
            raise CheckpointError("the video processor asks for cap_pixels_per_frame, which no released Qwen3-VL does")
        usual = VideoSampling()
        return cls(
            patch_size=vision.patch_size,
            temporal_patch_size=vision.temporal_patch_size,
            merge_size=vision.merge_size,
            picture_bounds=_bounds(picture, "preprocessor_config.json"),
            video_bounds=_bounds(video, "video_preprocessor_config.json"),
            sampling=VideoSampling(
                fps=float(video.get("fps") or usual.fps),
                min_frames=int(video.get("min_frames") or usual.min_frames),
                max_frames=int(video.get("max_frames") or usual.max_frames),
            ),
        )

    @property
    def factor(self) -> int:
        """Side in pixels of the square that becomes one token."""
        return self.patch_size * self.merge_size

    def tokens(self, height: int, width: int) -> int:
        """Tokens of one grid of this size in pixels, which must be multiples of `factor`."""
        return (height // self.factor) * (width // self.factor)

    def check_bounds(self, min_pixels: int | None, max_pixels: int | None, ceiling: int) -> None:
        """Raises `InputError` for a caller's bounds that contradict each other or that no picture can meet."""
        for name, value in (("min_pixels", min_pixels), ("max_pixels", max_pixels)):
            if value is not None and not self.factor**2 <= value <= ceiling:
                block = f"one block of {self.factor}x{self.factor}"
                raise InputError(f"{name} must be from {self.factor**2} ({block}) to {ceiling}, got {value}")
        if min_pixels is not None and max_pixels is not None and min_pixels > max_pixels:
            raise InputError(f"min_pixels {min_pixels} is above max_pixels {max_pixels}")

    def picture_size(
        self, height: int, width: int, min_pixels: int | None = None, max_pixels: int | None = None
    ) -> tuple[int, int]:
        """Height and width in which the model sees a picture. Raises `MediaError` for strips beyond 200 to 1."""
        bounds = self.picture_bounds.override(min_pixels, max_pixels)
        return picture_size(
            height, width, factor=self.factor, min_pixels=bounds.min_pixels, max_pixels=bounds.max_pixels
        )

    def video_size(
        self, frames: int, height: int, width: int, min_pixels: int | None = None, max_pixels: int | None = None
    ) -> tuple[int, int]:
        """Height and width in which the model sees each of `frames` frames. A caller's bounds are those of one frame;
        the checkpoint's upper bound for the whole video still holds."""
        total = self.video_bounds
        low = total.min_pixels if min_pixels is None else min_pixels * frames
        high = total.max_pixels if max_pixels is None else min(max_pixels * frames, total.max_pixels)
        return video_size(
            frames,
            height,
            width,
            temporal_factor=self.temporal_patch_size,
            factor=self.factor,
            min_pixels=min(low, high),
            max_pixels=high,
        )

    def cut(self, frames: Sequence[Pixels], height: int, width: int) -> Grid:
        """One grid of `temporal_patch_size` frames, each resized to height x width; the last is repeated to fill up, so
        that a picture is its own second frame."""
        resized = [resize(frame, height, width) for frame in frames]
        resized += [resized[-1]] * (self.temporal_patch_size - len(resized))
        merge, side = self.merge_size, self.patch_size
        rows, columns = height // side, width // side
        clip = np.stack(resized).reshape(len(resized), rows // merge, merge, side, columns // merge, merge, side, -1)
        # (block row, block column, row in block, column in block, channel, time, patch row, patch column)
        patches = np.ascontiguousarray(clip.transpose(1, 4, 2, 5, 7, 0, 3, 6)).reshape(rows * columns, -1)
        return Grid(torch.from_numpy(patches), rows, columns)


def _read_processor(folder: Path, name: str, section: str, vision: VisionConfig) -> Mapping[str, Any]:
    content = read_json(folder / name)
    if content is None:
        content = (read_json(folder / "processor_config.json") or {}).get(section)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{folder} has no {name}")
    for key in ("image_mean", "image_std"):
        if list(content.get(key) or ()) != [0.5] * 3:
            raise CheckpointError(f"{name}: {key} must be [0.5, 0.5, 0.5] for Qwen3-VL, got {content.get(key)}")
    for key in ("patch_size", "temporal_patch_size", "merge_size"):
        if content.get(key, getattr(vision, key)) != getattr(vision, key):
            raise CheckpointError(f"{name}: {key} is {content[key]}, but config.json says {getattr(vision, key)}")
    for key in ("do_resize", "do_rescale", "do_normalize"):
        if content.get(key, True) is not True:
            raise CheckpointError(f"{name}: {key} false is not a Qwen3-VL processor")
    if content.get("resample", 3) != 3:
        raise CheckpointError(f"{name}: resample must be 3 (bicubic), got {content['resample']}")
    return content


def _bounds(content: Mapping[str, Any], name: str) -> PixelBounds:
    size = content.get("size") or {}
    low, high = (
        content.get(flat) or size.get(edge) or size.get(flat)
        for flat, edge in (("min_pixels", "shortest_edge"), ("max_pixels", "longest_edge"))
    )
    if not (isinstance(low, int) and isinstance(high, int) and 0 < low <= high):
        raise CheckpointError(f"{name}: size must have shortest_edge and longest_edge, in pixels, got {dict(size)}")
    return PixelBounds(low, high)
