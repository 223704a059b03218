"""How a diagram is drawn: nodes of seven shapes, arrows straight or with elbows, heads of three kinds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qwen3vl.drawn.canvas import Box, Canvas, Color
from qwen3vl.drawn.diagram_layouts import SIDE, Plan
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.paper import accent, blend, text_on, tint
from qwen3vl.drawn.scene import Scene

# The share of a node's width that its text may take.
ROOM = {
    "box": 1.0,
    "rounded": 0.95,
    "ellipse": 0.8,
    "rhombus": 0.62,
    "parallelogram": 0.78,
    "hexagon": 0.8,
    "cylinder": 0.95,
}
SLANT = 0.13  # of the width: how far the sides of a parallelogram and a hexagon lean
HEAD = 7  # pixels of an arrow's head

Point = tuple[float, float]


@dataclass(frozen=True)
class Node:
    text: str
    shape: str
    box: Box


@dataclass(frozen=True)
class Look:
    lines: str
    heads: str
    fills: str
    thick: int
    ink: Color


def fill_of(scene: Scene, canvas: Canvas, look: Look) -> Color:
    """What the nodes are filled with."""
    if look.fills == "light":
        return tint(scene.rng, (0.08, 0.3), (0.9, 1.0))
    return accent(scene, canvas.background) if look.fills == "strong" else canvas.background


def corners(shape: str, box: Box) -> list[Point]:
    """The corners of a shape that has corners, within `box`."""
    x1, y1, x2, y2 = box[0], box[1], box[2] - 1, box[3] - 1
    lean = (x2 - x1) * SLANT
    middle = (y1 + y2) / 2
    if shape == "rhombus":
        return [((x1 + x2) / 2, y1), (x2, middle), ((x1 + x2) / 2, y2), (x1, middle)]
    if shape == "parallelogram":
        return [(x1 + lean, y1), (x2, y1), (x2 - lean, y2), (x1, y2)]
    return [(x1 + lean, y1), (x2 - lean, y1), (x2, middle), (x2 - lean, y2), (x1 + lean, y2), (x1, middle)]


def draw_node(canvas: Canvas, node: Node, font: Font, look: Look, fill: Color) -> None:
    x1, y1, x2, y2 = node.box
    if look.fills == "shadow":
        _shape(canvas, node.shape, (x1 + 3, y1 + 3, x2 + 3, y2 + 3), blend(canvas.background, look.ink, 0.35), None)
    _shape(canvas, node.shape, node.box, fill, look.ink, look.thick)
    ink = look.ink if fill == canvas.background else text_on(fill)
    canvas.text_middle(node.box, node.text, font, ink)
    canvas.mark(node.box, f"node:{node.shape}")


def _shape(canvas: Canvas, shape: str, box: Box, fill: Color, line: Color | None, thick: int = 1) -> None:
    x1, y1, x2, y2 = box
    if shape in ("box", "rounded"):
        canvas.rectangle(box, fill, line, thick, radius=8 if shape == "rounded" else 0)
    elif shape == "ellipse":
        canvas.draw.ellipse((x1, y1, x2 - 1, y2 - 1), fill, line, thick)
    elif shape == "cylinder":
        lid = 4
        canvas.draw.ellipse((x1, y2 - 1 - 2 * lid, x2 - 1, y2 - 1), fill, line, thick)
        canvas.draw.rectangle((x1, y1 + lid, x2 - 1, y2 - 1 - lid), fill)
        for x in (x1, x2 - thick):
            canvas.draw.line((x, y1 + lid, x, y2 - 1 - lid), line or fill, thick)
        canvas.draw.ellipse((x1, y1, x2 - 1, y1 + 2 * lid), fill, line, thick)
    else:
        canvas.draw.polygon(corners(shape, box), fill, line, thick)


def draw_arrows(
    canvas: Canvas, plan: Plan, nodes: Sequence[Node], edges: Sequence[tuple[int, int]], look: Look
) -> None:
    """Every arrow from the edge of its first node to the edge of its second. Nodes are drawn over them afterwards."""
    back = None if plan.back is None else tuple(plan.boxes[i] for i in plan.back)
    for start, end in edges:
        a, b = nodes[start], nodes[end]
        if (a.box, b.box) == back:
            path = _around(a, b)
        elif not plan.way:
            path = [_border(a, _middle(b.box)), _border(b, _middle(a.box))]
        else:
            path = _facing(a, b, plan.way)
            if look.lines == "elbow":
                path = _elbow(path, plan.way)
        _arrow(canvas, path, look)


def _middle(box: Box) -> Point:
    return (box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2


def _border(node: Node, toward: Point) -> Point:
    """Where the line from the middle of a node to a point leaves the node."""
    (x, y), half = _middle(node.box), ((node.box[2] - node.box[0]) / 2, (node.box[3] - node.box[1]) / 2)
    dx, dy = toward[0] - x, toward[1] - y
    across, along = abs(dx) / half[0], abs(dy) / half[1]
    reach = {"ellipse": math.hypot(across, along), "rhombus": across + along}.get(node.shape, max(across, along))
    return x + dx / reach, y + dy / reach


def _facing(a: Node, b: Node, way: str) -> list[Point]:
    """From the side of the first node that faces the second to the side of the second that faces the first."""
    dx, dy = {"down": (0, 1), "up": (0, -1), "right": (1, 0), "left": (-1, 0)}[way]
    (ax, ay), (bx, by) = _middle(a.box), _middle(b.box)
    start, end = _border(a, (ax + dx, ay + dy)), _border(b, (bx - dx, by - dy))
    lean = (a.box[2] - a.box[0]) * SLANT / 2 if a.shape == "parallelogram" and dx else 0
    until = (b.box[2] - b.box[0]) * SLANT / 2 if b.shape == "parallelogram" and dx else 0
    return [(start[0] - dx * lean, start[1]), (end[0] + dx * until, end[1])]


def _elbow(path: list[Point], way: str) -> list[Point]:
    """The same with two right angles half-way."""
    (ax, ay), (bx, by) = path
    if way in ("down", "up"):
        middle = round((ay + by) / 2)
        return [(ax, ay), (ax, middle), (bx, middle), (bx, by)]
    middle = round((ax + bx) / 2)
    return [(ax, ay), (middle, ay), (middle, by), (bx, by)]


def _around(a: Node, b: Node) -> list[Point]:
    """Out at the right side of one node, past all between, and in at the right side of the other."""
    out = max(a.box[2], b.box[2]) + SIDE // 2
    (start_x, start_y), (end_x, end_y) = (
        _border(a, (out * 10.0, _middle(a.box)[1])),
        _border(b, (out * 10.0, _middle(b.box)[1])),
    )
    return [(start_x, start_y), (out, start_y), (out, end_y), (end_x, end_y)]


def _arrow(canvas: Canvas, path: Sequence[Point], look: Look) -> None:
    (ax, ay), (bx, by) = next((a, b) for a, b in zip(path[-2::-1], path[:0:-1], strict=False) if a != b)
    angle = math.atan2(by - ay, bx - ax)
    head = HEAD + look.thick
    wings = [(bx - head * math.cos(angle + turn), by - head * math.sin(angle + turn)) for turn in (-0.45, 0.45)]
    canvas.draw.line([(round(x), round(y)) for x, y in path], look.ink, look.thick)
    if look.heads == "open":
        canvas.draw.line([wings[0], (bx, by), wings[1]], look.ink, look.thick)
    else:
        canvas.draw.polygon([(bx, by), *wings], look.ink if look.heads == "filled" else canvas.background, look.ink)
