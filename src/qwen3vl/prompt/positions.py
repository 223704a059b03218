"""Positions of a prompt's tokens in time, rows and columns, for interleaved MRoPE. Knows nothing of pixels or text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from qwen3vl.prompt.types import Visual


def mrope_positions(num_tokens: int, visuals: Sequence[Visual], merge_size: int) -> tuple[torch.Tensor, int]:
    """Positions [3, num_tokens] int64 (time, row, column), and the delta that continues them.

    Text moves all three on by one a token. A visual that starts at position p stands at time p, its rows and columns
    count from p, and the text after it goes on at p + the longer side of its merged grid. A generated token, of index i
    counted from the prompt's start, has position i + delta on all three axes.
    """
    positions = np.empty((3, num_tokens), dtype=np.int64)
    index = position = 0
    for visual in visuals:
        text = visual.start - index
        positions[:, index : visual.start] = np.arange(position, position + text)
        position += text
        rows, columns = visual.grid_h // merge_size, visual.grid_w // merge_size
        index = visual.start + rows * columns
        grid = positions[:, visual.start : index].reshape(
            3, rows, columns
        )  # a view: rows * columns tokens side by side
        grid[0] = position
        grid[1] = np.arange(position, position + rows)[:, None]
        grid[2] = np.arange(position, position + columns)
        position += max(rows, columns)
    positions[:, index:] = np.arange(position, position + num_tokens - index)
    return torch.from_numpy(positions), position - index
