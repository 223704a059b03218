"""Where the nodes of a diagram stand and which arrows join them: chains, trees, merges, rings, stars, loops.

Nodes of one row have the same middle, so that reading order leaves no doubt, and no arrow runs through a node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from qwen3vl.drawn.canvas import Box
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.scene import Scene

Edge = tuple[int, int]
NARROWEST = 64  # pixels of a node
BETWEEN = 26  # pixels that an arrow needs
SIDE = 22  # pixels beside a chain for an arrow back


@dataclass(frozen=True)
class Plan:
    """Places, the arrows between them, and which way arrows leave nodes: "down", "right", "up", "left" from one side to
    the facing one, "" straight from middle to middle. `back` is an arrow that runs around the side of a chain."""

    boxes: list[Box]
    edges: list[Edge]
    way: str
    back: Edge | None = None


def _box(x: float, y: float, width: int, height: int) -> Box:
    left, top = round(x) - width // 2, round(y) - height // 2
    return left, top, left + width, top + height


def _rows(scene: Scene, area: Box, font: Font, way: str, counts: Sequence[int], edges: list[Edge]) -> Plan:
    """Nodes in rows one after the other, the first row at the top, left, bottom or right, as `way` says.

    Rows and nodes that there is no room for are left out, with their arrows.
    """
    rng, (left, top, right, bottom) = scene.rng, area
    upright = way in ("down", "up")
    high = font.height + rng.randint(10, 18)
    along = bottom - top if upright else right - left
    across = right - left if upright else bottom - top
    most_rows = along // (high + BETWEEN if upright else NARROWEST + BETWEEN)
    most = max(1, across // (NARROWEST + 8 if upright else high + 8))
    kept, number = [], 0
    for row, count in enumerate(counts):
        for place in range(count):
            if row < max(2, most_rows) and place < most:
                kept.append((number, row, place))
            number += 1
    rows = 1 + max(row for _, row, _ in kept)
    sizes = [sum(r == row for _, r, _ in kept) for row in range(rows)]
    step, widest = along / rows, across / max(sizes)
    wide = round(min(widest - 10, 170) if upright else min(step - BETWEEN, 150))
    wide = rng.randint(max(NARROWEST - 14, wide * 3 // 4), max(NARROWEST - 14, wide))
    index: dict[int, int] = {}
    boxes: list[Box] = []
    for old, row, place in kept:
        at = (row + 0.5) * step if way in ("down", "right") else along - (row + 0.5) * step
        aside = (place + 0.5) * across / sizes[row]
        x, y = (left + aside, top + at) if upright else (left + at, top + aside)
        index[old] = len(boxes)
        boxes.append(_box(x, y, wide, high))
    return Plan(boxes, [(index[a], index[b]) for a, b in edges if a in index and b in index], way)


def _chain(scene: Scene, area: Box, font: Font, way: str) -> Plan:
    """Nodes one after the other."""
    count = scene.rng.randint(2, 6)
    return _rows(scene, area, font, way, [1] * count, [(i, i + 1) for i in range(count - 1)])


def _loop(scene: Scene, area: Box, font: Font, way: str) -> Plan:
    """A chain down or up, with an arrow back along its right side."""
    way = "up" if way == "up" else "down"
    count = scene.rng.randint(3, 5)
    plan = _rows(
        scene,
        (area[0], area[1], area[2] - SIDE, area[3]),
        font,
        way,
        [1] * count,
        [(i, i + 1) for i in range(count - 1)],
    )
    last = len(plan.boxes) - 1
    back = (scene.rng.randint(min(1, last), last), 0)
    back = back if back[0] > 0 else (last, 0)
    return Plan(plan.boxes, [*plan.edges, back], way, back)


def _tree(scene: Scene, area: Box, font: Font, way: str) -> Plan:
    """A root with two to four followers, some of which have one follower of their own."""
    rng = scene.rng
    leaves = rng.choice((0, 0, 2, 3))
    count = leaves or rng.randint(2, 4)
    edges = [(0, i + 1) for i in range(count)]
    edges += [(i + 1, count + 1 + i) for i in range(leaves)]
    return _rows(scene, area, font, way, [1, count, *([leaves] if leaves else [])], edges)


def _merge(scene: Scene, area: Box, font: Font, way: str) -> Plan:
    """Two to four starts that come together, perhaps with one more step."""
    count, more = scene.rng.randint(2, 4), scene.rng.random() < 0.5
    edges = [(i, count) for i in range(count)] + ([(count, count + 1)] if more else [])
    return _rows(scene, area, font, way, [count, 1, *([1] if more else [])], edges)


def _split(scene: Scene, area: Box, font: Font, way: str) -> Plan:
    """A step that splits into two or three, which come together again."""
    count = scene.rng.randint(2, 3)
    edges = [(0, i + 1) for i in range(count)] + [(i + 1, count + 1) for i in range(count)]
    return _rows(scene, area, font, way, [1, count, 1], edges)


def _snake(scene: Scene, area: Box, font: Font, way: str) -> Plan:
    """A chain that runs left, right, left, straight or in rows of two."""
    left, top, right, bottom = area
    high, room = font.height + scene.rng.randint(8, 16), (right - left) // 2
    rows = max(2, min(scene.rng.randint(2, 4), (bottom - top) // (high + BETWEEN)))
    step, wide = (bottom - top) / rows, min(150, room - BETWEEN)
    boxes, each = [], scene.rng.choice((1, 2))
    for row in range(rows):
        sides = (row % 2,) if each == 1 else ((0, 1) if row % 2 == 0 else (1, 0))
        boxes += [_box(left + room * (side + 0.5), top + step * (row + 0.5), wide, high) for side in sides]
    return Plan(boxes, [(i, i + 1) for i in range(len(boxes) - 1)], "")


def _around(area: Box, font: Font, count: int) -> list[Box]:
    """Places around the middle of the area, the first at its top, and so on clockwise."""
    left, top, right, bottom = area
    wide, high = min(120, max(NARROWEST, (right - left) // 3 - 8)), font.height + 12
    across, along = (right - left - wide) / 2 - 6, (bottom - top - high) / 2 - 6
    middle = (left + right) / 2, (top + bottom) / 2
    angles = [2 * math.pi * i / count - math.pi / 2 for i in range(count)]
    return [_box(middle[0] + across * math.cos(a), round(middle[1] + along * math.sin(a)), wide, high) for a in angles]


def _clear(boxes: Sequence[Box]) -> bool:
    """Whether an arrow fits between any two boxes."""
    pairs = combinations(boxes, 2)
    return all(
        max(a[0], b[0]) - min(a[2], b[2]) >= BETWEEN or max(a[1], b[1]) - min(a[3], b[3]) >= BETWEEN for a, b in pairs
    )


def _ring(scene: Scene, area: Box, font: Font, way: str) -> Plan:
    """Three to six nodes in a circle, each with an arrow to the next, clockwise or the other way."""
    count = scene.rng.randint(3, 6)
    while count > 3 and not _clear(_around(area, font, count)):
        count -= 1
    edges = [(i, (i + 1) % count) for i in range(count)]
    if way in ("left", "up"):
        edges = [(b, a) for a, b in edges]
    return Plan(_around(area, font, count), edges, "")


def _star(scene: Scene, area: Box, font: Font, way: str) -> Plan:
    """A node in the middle with arrows to all others, or from all of them; a tree where there is no room for that."""
    count = scene.rng.choice((3, 4, 4))
    boxes = _around(area, font, count)
    wide, high = boxes[0][2] - boxes[0][0], boxes[0][3] - boxes[0][1]
    boxes.append(_box((area[0] + area[2]) / 2, (area[1] + area[3]) / 2, wide, high))
    if not _clear(boxes):
        return _tree(scene, area, font, way)
    edges = [(count, i) for i in range(count)]
    return Plan(boxes, edges if way in ("down", "right") else [(b, a) for a, b in edges], "")


LAYOUTS: Mapping[str, Callable[[Scene, Box, Font, str], Plan]] = {
    "chain": _chain,
    "tree": _tree,
    "merge": _merge,
    "split": _split,
    "snake": _snake,
    "loop": _loop,
    "ring": _ring,
    "star": _star,
}
