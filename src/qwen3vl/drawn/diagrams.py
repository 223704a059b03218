"""Family `diagrams`: boxes with texts and arrows between them. To Draw.io XML, and what follows what.

Positions in the XML are on a page of 1000 by 1000, as all coordinates in answers are; whoever shows it scales it to the
picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from qwen3vl.drawn.canvas import Box, Canvas, Color, relative
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.tables import CHINESE_DOCUMENTS, unique
from qwen3vl.drawn.text import ink_and_ground

STYLES = {"box": "rounded=0", "rounded": "rounded=1", "ellipse": "ellipse", "rhombus": "rhombus"}
FILLS: tuple[Color | None, ...] = (None, None, (218, 232, 252), (213, 232, 212), (255, 242, 204), (248, 206, 204))
HELD_OUT_FILLS: tuple[Color | None, ...] = (None, (225, 213, 231), (255, 230, 204))
ROOM = {"box": 1.0, "rounded": 0.95, "ellipse": 0.8, "rhombus": 0.62}  # share of a node's width that its text may take
ARROW = 6  # pixels of an arrow's head


@dataclass(frozen=True)
class Node:
    text: str
    shape: str
    box: Box


@dataclass(frozen=True)
class Diagram:
    nodes: list[Node]
    edges: list[tuple[int, int]]

    def xml(self, size: tuple[int, int]) -> str:
        """The smallest mxGraphModel that Draw.io opens; cell ids start at 2, after the two cells that it always has."""
        cells = ['<mxCell id="0"/>', '<mxCell id="1" parent="0"/>']
        for i, node in enumerate(self.nodes):
            x1, y1, x2, y2 = relative(node.box, size)
            cells.append(
                f'<mxCell id="{i + 2}" value={quoteattr(node.text)} style="{STYLES[node.shape]}" vertex="1" parent="1">'
                f'<mxGeometry x="{x1}" y="{y1}" width="{x2 - x1}" height="{y2 - y1}" as="geometry"/></mxCell>'
            )
        for i, (start, end) in enumerate(self.edges, len(self.nodes) + 2):
            cells.append(
                f'<mxCell id="{i}" edge="1" parent="1" source="{start + 2}" target="{end + 2}">'
                '<mxGeometry relative="1" as="geometry"/></mxCell>'
            )
        return "\n".join(["<mxGraphModel>", "<root>", *cells, "</root>", "</mxGraphModel>"])


def diagrams(scene: Scene) -> None:
    rng, words = scene.rng, scene.words
    chinese = rng.random() < CHINESE_DOCUMENTS
    ink, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    font = scene.font(15 if chinese else rng.randint(12, 14), chinese=chinese, style="sans")
    places, edges = scene.pick((_chain, _chain, _tree), (_zigzag, _fan))(scene, font)
    fill = scene.pick(FILLS, HELD_OUT_FILLS)
    taken: set[str] = set()

    def label(room: int) -> str:
        while True:
            text = words.zh(2, 4) if chinese else words.phrase(1, 2) if room > 90 else words.word().capitalize()
            text = text if font.width(text) <= room else words.zh(2, 2) if chinese else words.short(6).capitalize()
            if font.width(text) <= room:
                return text

    nodes = []
    for box in places:
        shape = rng.choice(("box", "box", "rounded", "ellipse", "rhombus"))
        room = round((box[2] - box[0]) * ROOM[shape]) - 8
        text = unique(lambda room=room: label(room), taken)  # type: ignore[misc]
        nodes.append(Node(text, shape, box))
    diagram = Diagram(nodes, edges)
    for start, end in edges:
        _arrow(canvas, nodes[start].box, nodes[end].box, ink)
    for node in nodes:
        _draw_node(canvas, node, font, ink, fill)
    scene.keep(canvas)
    _ask(scene, diagram)


def _box_around(x: int, y: int, width: int, height: int) -> Box:
    return x - width // 2, y - height // 2, x - width // 2 + width, y - height // 2 + height


def _chain(scene: Scene, font: Font) -> tuple[list[Box], list[tuple[int, int]]]:
    """Nodes one after the other, down or across."""
    rng, (width, height) = scene.rng, scene.size
    down = height > width or rng.random() < 0.6
    most = (height - 10) // (font.height + 44) if down else (width - 10) // 112
    count = max(2, min(most, rng.randint(2, 5)))
    step = (height if down else width) // count
    box_height = font.height + rng.randint(12, 18)
    box_width = rng.randint(100, min(180, width - 30)) if down else step - 26
    boxes = [
        _box_around(width // 2, step * i + step // 2, box_width, box_height)
        if down
        else _box_around(step * i + step // 2, height // 2 + rng.choice((0, 0, -30, 30)), box_width, box_height)
        for i in range(count)
    ]
    return boxes, [(i, i + 1) for i in range(count - 1)]


def _tree(scene: Scene, font: Font) -> tuple[list[Box], list[tuple[int, int]]]:
    """A root above two or three children, one of which may have a child of its own."""
    rng, (width, height) = scene.rng, scene.size
    count = 2 if width < 320 else rng.randint(2, 3)
    rows = 3 if height >= 256 and rng.random() < 0.5 else 2
    high, step = font.height + 14, width // count
    boxes = [_box_around(width // 2, height // (2 * rows), min(150, width // 2), high)]
    boxes += [_box_around(step * i + step // 2, height * 3 // (2 * rows), step - 16, high) for i in range(count)]
    edges = [(0, i + 1) for i in range(count)]
    if rows == 3:
        parent = rng.randrange(count)
        boxes.append(_box_around(step * parent + step // 2, height * 5 // 6, step - 16, high))
        edges.append((parent + 1, count + 1))
    return boxes, edges


def _zigzag(scene: Scene, font: Font) -> tuple[list[Box], list[tuple[int, int]]]:
    """Held-out layout: a chain that runs left, right, left."""
    width, height = scene.size
    count = scene.rng.randint(3, 4)
    step, wide = height // count, width // 2 - 22
    boxes = [
        _box_around(width // 4 if i % 2 == 0 else width * 3 // 4, step * i + step // 2, wide, font.height + 14)
        for i in range(count)
    ]
    return boxes, [(i, i + 1) for i in range(count - 1)]


def _fan(scene: Scene, font: Font) -> tuple[list[Box], list[tuple[int, int]]]:
    """Held-out layout: one node at the left with arrows to two or three at the right."""
    width, height = scene.size
    count = scene.rng.randint(2, 3)
    step, wide = height // count, width // 2 - 30
    boxes = [_box_around(width // 4, height // 2, wide, font.height + 16)]
    boxes += [_box_around(width * 3 // 4, step * i + step // 2, wide, font.height + 16) for i in range(count)]
    return boxes, [(0, i + 1) for i in range(count)]


def _arrow(canvas: Canvas, start: Box, end: Box, ink: Color) -> None:
    """A straight arrow between the sides of two boxes that face each other."""
    if start[3] <= end[1]:
        a, b = ((start[0] + start[2]) // 2, start[3]), ((end[0] + end[2]) // 2, end[1] - 1)
    else:
        a, b = (start[2], (start[1] + start[3]) // 2), (end[0] - 1, (end[1] + end[3]) // 2)
    canvas.draw.line((a, b), ink, 1)
    angle = math.atan2(b[1] - a[1], b[0] - a[0])
    wings = [(b[0] - ARROW * math.cos(angle + turn), b[1] - ARROW * math.sin(angle + turn)) for turn in (-0.45, 0.45)]
    canvas.draw.polygon([b, *wings], ink)


def _draw_node(canvas: Canvas, node: Node, font: Font, ink: Color, fill: Color | None) -> None:
    x1, y1, x2, y2 = node.box
    filled = fill or canvas.background
    if node.shape in ("box", "rounded"):
        canvas.rectangle(node.box, filled, ink, radius=8 if node.shape == "rounded" else 0)
    elif node.shape == "ellipse":
        canvas.draw.ellipse((x1, y1, x2 - 1, y2 - 1), filled, ink)
    else:
        middle, centre_y = (x1 + x2 - 1) / 2, (y1 + y2 - 1) / 2
        canvas.draw.polygon([(middle, y1), (x2 - 1, centre_y), (middle, y2 - 1), (x1, centre_y)], filled, ink)
    dark_fill = fill is not None
    canvas.text_middle(node.box, node.text, font, (20, 20, 20) if dark_fill else ink)
    canvas.mark(node.box, f"node:{node.shape}")


def _ask(scene: Scene, diagram: Diagram) -> None:
    rng, nodes = scene.rng, diagram.nodes
    truth = {
        "nodes": [{"text": n.text, "box": relative(n.box, scene.size), "shape": n.shape} for n in nodes],
        "edges": [list(edge) for edge in diagram.edges],
    }
    scene.ask("drawio", "drawio", f"```xml\n{diagram.xml(scene.size)}\n```", truth, 2.5)
    followers = {i: [end for start, end in diagram.edges if start == i] for i in range(len(nodes))}
    for i, ends in rng.sample(sorted(followers.items()), min(3, len(nodes))):
        if len(ends) == 1:
            text = nodes[ends[0]].text
            scene.ask("diagram_next", "diagram_next", text, {"value": text}, 0.7, node=nodes[i].text)
    things = scene.say(rng.choice(("boxes", "nodes")), rng.choice(("节点", "框")))
    scene.ask("count", "count", str(len(nodes)), {"count": len(nodes)}, 0.4, things=things)
    arrows = scene.say("arrows", "箭头")
    scene.ask("count", "count", str(len(diagram.edges)), {"count": len(diagram.edges)}, 0.3, things=arrows)
    first = nodes[0].text
    arrow = "arrow" if len(diagram.edges) == 1 else "arrows"
    text = scene.say(
        f'A diagram of {len(nodes)} boxes and {len(diagram.edges)} {arrow}, starting at "{first}".',
        f"一张有{len(nodes)}个框和{len(diagram.edges)}个箭头的图，从“{first}”开始。",
    )
    scene.ask("describe", "describe", text, {"text": text}, 0.5)
