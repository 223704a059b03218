"""What the engine gets: token ids, positions, and the pictures behind the pad tokens."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Visual:
    """One grid of patches: a picture, or two consecutive frames of a video. The vision tower never looks beyond it.

    A video is a sequence of these, so that long ones are encoded, cached and prefilled piece by piece.
    """

    patches: (
        torch.Tensor
    )  # [grid_h * grid_w, patch_dim] uint8 pixel values, 2x2 merge-block order; the tower normalises them
    grid_h: int  # patches, before merging
    grid_w: int
    start: int  # index of its first pad token in the prompt
    num_tokens: int  # grid_h * grid_w / merge_size^2
    key: bytes  # hash of the pixels after processing, and of the grid: equal keys mean equal features


@dataclass(frozen=True, eq=False)
class Prompt:
    """One request's input, ready for the model."""

    token_ids: list[int]
    position_ids: torch.Tensor  # [3, len(token_ids)] int64: time, row, column
    position_delta: int  # position of generated token i (counted from the prompt's start) is i + position_delta
    visuals: list[Visual]  # in order of start, not overlapping

    def __len__(self) -> int:
        return len(self.token_ids)

    def visuals_between(self, first: int, last: int) -> range:
        """Numbers of the visuals that have a token in [first, last)."""
        begin = bisect_right(self.visuals, first, key=lambda visual: visual.start + visual.num_tokens)
        end = bisect_left(self.visuals, last, key=lambda visual: visual.start)
        return range(begin, max(begin, end))
