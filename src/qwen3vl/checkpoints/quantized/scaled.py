"""A matrix of 8-bit floats with a grid of scales over it: what every FP8 format means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from qwen3vl.checkpoints.sources import Source


@dataclass(frozen=True)
class ScaledSource(Source):
    """Parts "values" [..., rows, columns] and "scales" [..., grid rows, grid columns]; or scales of one dimension, one
    for each row or one for all values.
    """

    block: tuple[int, int]  # rows and columns that share a scale, the last may be fewer; a grid of one is for all

    def read(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """[..., rows, columns] float32."""
        values, scales = tensors["values"].float(), tensors["scales"].float()
        if scales.dim() < 2:
            scales = scales.reshape(-1, 1)
        if scales.shape[-1] > 1:
            scales = scales.repeat_interleave(self.block[1], -1)[..., : values.shape[-1]]
        # In place and by views: a copy of the scales for every weight would double the memory.
        height = self.block[0]
        *experts, rows, columns = values.shape
        whole = rows // height
        full = values[..., : whole * height, :].view(*experts, whole, height, columns)
        full.mul_(scales[..., :whole, None, :])
        values[..., whole * height :, :].mul_(scales[..., whole:, :])
        return values
