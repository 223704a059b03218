"""Samples, a vocabulary and network shapes small enough to train on a CPU within a second."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from qwen3vl.drawn.sample import Kind, Mark, Sample, Split, Turn
from training import architecture
from training.batches import MISSES, Budget, Piece, pack
from training.feed import TASK_NUMBERS, Supply
from training.mixture import PieceKind
from training.vocabulary import Vocabulary

TEXT = {
    "head_dim": 32,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "rope_scaling": {"mrope_interleaved": True, "mrope_section": [6, 5, 5], "rope_type": "default"},
}
VISION = {
    "deepstack_visual_indexes": [0, 1],
    "depth": 3,
    "hidden_size": 72,
    "intermediate_size": 80,
    "num_heads": 3,
    "num_position_embeddings": 64,
    "out_hidden_size": 64,
}
SUPPLIES = (
    Supply("picture", 2, Budget(400, 256, 96, 12, 16, 64, frames=1, longest=200, largest=128), kept=4),
    Supply("video", 1, Budget(400, 256, 64, 8, 48, 64, frames=2, longest=200, largest=64), kept=2),
)
COLORS = {"red": (220, 30, 30), "green": (20, 170, 60), "blue": (30, 60, 220), "black": (10, 10, 10)}


def vocabulary() -> Vocabulary:
    return Vocabulary("红绿蓝黑的，。", [" color", "What", '{"bbox_2d": [', "What is", "，请", " is the", "bb"])


def config(*, moe: bool, rows: int) -> dict[str, Any]:
    return architecture.config(rows, moe=moe, text=TEXT, vision=VISION)


def sample(
    rng: random.Random, kind: Kind = "picture", size: tuple[int, int] = (96, 64), frames: int = 1, turns: int = 2
) -> Sample:
    """Frames of one colour with a little noise, `size` wide and high, and questions about the colour."""
    name = rng.choice(list(COLORS))
    noise = np.random.default_rng(rng.getrandbits(32))
    count = 0 if kind == "none" else frames
    pictures = tuple(
        (np.array(COLORS[name]) + noise.integers(0, 30, (size[1], size[0], 3))).astype(np.uint8) for _ in range(count)
    )
    asked = tuple(
        Turn("color", rng.choice(("What color is it?", "what is the color", "颜色，请")), name, {"color": name}, "en")
        for _ in range(turns)
    )
    system = "Be brief." if rng.random() < 0.3 else None
    marks = tuple(Mark(i, size[0] // 2, 8, "A") for i in range(count))
    return Sample(pictures, kind, 2.0 if kind == "video" else 0.0, asked, system, False, marks)


def draw(rng: random.Random, split: Split, kind: PieceKind) -> tuple[Sample, bool]:
    """Stands in for the real mixture: pictures of three sizes, pages, plain conversations, and videos."""
    last = rng.random() < 0.3
    if kind == "video":
        return sample(rng, "video", (64, 64), rng.choice((4, 5, 6))), last
    choice = rng.random()
    if choice < 0.15:
        return sample(rng, "none"), last
    if choice < 0.3:
        return sample(rng, "pages", (64, 96), 2), last
    return sample(rng, "picture", rng.choice(((96, 64), (64, 128), (160, 128)))), last


def packed(budget: Budget, samples: list[Sample], *, picture_last: bool = False) -> Piece:
    """A piece of these samples, as far as they fit."""
    rest = iter([*samples, *[sample(random.Random(0), "picture", (2048, 1024))] * MISSES])  # the last fit nowhere
    return pack(lambda: (next(rest), picture_last), budget, vocabulary(), TASK_NUMBERS)
