"""Reading order: from top to bottom, and within a row from left to right."""

from __future__ import annotations

from collections.abc import Sequence

from qwen3vl.drawn.canvas import Box

SAME_ROW = 6  # pixels, less than which the middles of two boxes of one row differ in height


def reading_order(boxes: Sequence[Box]) -> list[int]:
    """The indices of boxes in the order in which they are read.

    Without doubt only where the middles of any two boxes are either level or clearly apart.
    """
    by_height = sorted(range(len(boxes)), key=lambda i: boxes[i][1] + boxes[i][3])
    rows: list[list[int]] = []
    for i in by_height:
        last = rows[-1][-1] if rows else i
        if rows and boxes[i][1] + boxes[i][3] - boxes[last][1] - boxes[last][3] < 2 * SAME_ROW:
            rows[-1].append(i)
        else:
            rows.append([i])
    return [i for row in rows for i in sorted(row, key=lambda i: boxes[i][0])]
