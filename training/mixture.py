"""How often training draws each family. Pictures and videos are packed apart, since their patches differ in size."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Literal

from qwen3vl.drawn import draw
from qwen3vl.drawn.sample import Sample, Split
from training.product import asked_by_product

PieceKind = Literal["picture", "video"]

# Reading needs most practice: documents, pages of the web and screens stayed weak in trainings that drew fewer of them.
SHARES: Mapping[str, float] = {
    "text": 0.18,
    "documents": 0.24,
    "screens": 0.18,
    "web": 0.24,
    "shapes": 0.045,
    "charts": 0.04,
    "diagrams": 0.025,
    "pages": 0.02,
    "thinking": 0.015,
    "chat": 0.015,
}
VIDEO = "video"
PICTURE_LAST = 0.1  # how often the pictures stand behind the first question


def draw_sample(rng: random.Random, split: Split, kind: PieceKind) -> tuple[Sample, bool]:
    """A sample for a piece of this kind, and whether its pictures stand behind the first question."""
    family = VIDEO if kind == "video" else rng.choices(list(SHARES), list(SHARES.values()))[0]
    sample = draw(rng, family, split=split)
    if split == "train":
        sample = asked_by_product(rng, sample)
    return sample, rng.random() < PICTURE_LAST
