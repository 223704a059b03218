"""Conversations of every input kind, drawn from a seed, and how many visuals each of their videos has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image

from qwen3vl.media.types import Video


@dataclass(frozen=True)
class Case:
    messages: list[dict[str, Any]]
    clips: tuple[int, ...] = ()  # visuals of each video


def picture(width: int, height: int, seed: int) -> PIL.Image.Image:
    """Coarse coloured blocks with a little noise: structure at several scales, never the same twice."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (-(-height // 24), -(-width // 24), 3), dtype=np.uint8)
    pixels = np.kron(blocks, np.ones((24, 24, 1), dtype=np.uint8))[:height, :width]
    return PIL.Image.fromarray((pixels // 2 + rng.integers(0, 100, pixels.shape, dtype=np.uint8)).astype(np.uint8))


def clip(frames: int, width: int, height: int, fps: float, step: int, seed: int) -> Video:
    """`frames` sampled frames, every `step`-th of a source with `fps` frames a second."""
    pictures = [np.asarray(picture(width, height, seed + i)) for i in range(frames)]
    return Video(pictures, [i * step for i in range(frames)], fps, (frames - 1) * step + 1)


def user(*parts: Any) -> dict[str, Any]:
    content = []
    for part in parts:
        kind = "text" if isinstance(part, str) else "video" if isinstance(part, Video) else "image"
        content.append({"type": kind, kind: part})
    return {"role": "user", "content": content}


def _cases() -> dict[str, Case]:
    words = [
        "the",
        "quick",
        "brown",
        "fox",
        "jumps",
        "over",
        "a",
        "lazy",
        "dog",
        "and",
        "reads",
        "12",
        "screens",
        "of",
        "text",
    ]
    rng = np.random.default_rng(5)
    long_text = " ".join(rng.choice(words) for _ in range(900))[:2300]
    return {
        "text": Case([{"role": "system", "content": "Be brief."}, user("How many circles are there?")]),
        "image": Case([user(picture(256, 192, 1), "What color is the star?")]),
        "three_images": Case(
            [user(picture(128, 192, 2), "one", picture(320, 64, 3), picture(96, 96, 4), "Which is largest?")]
        ),
        "turns": Case(
            [
                user(picture(160, 160, 5), "Read the text."),
                {"role": "assistant", "content": "Save all"},
                user("And where is it?"),
                {"role": "assistant", "content": "At the top."},
                user("Which color?"),
            ]
        ),
        "video": Case([user(clip(6, 128, 96, 24.0, 12, 10), "When does it appear?")], (3,)),
        "video_and_image": Case(
            [user(clip(4, 96, 128, 25.0, 10, 20), picture(128, 128, 6), "Is it in the video?")], (2,)
        ),
        "two_videos": Case(
            [user(clip(4, 96, 96, 30.0, 15, 30), "then", clip(5, 128, 64, 10.0, 5, 40), "Compare them.")], (2, 3)
        ),
        "long": Case([user(long_text)]),
    }


CASES_BY_NAME = _cases()
