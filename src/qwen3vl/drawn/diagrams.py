"""Family `diagrams`: boxes with texts and arrows between them. To Draw.io XML, and what follows what.

Nodes are listed in reading order, row by row, and arrows in the order of the nodes that they leave and reach. Positions
in the XML are on a page of 1000 by 1000, as all coordinates in answers are; whoever shows it scales it to the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from qwen3vl.drawn.canvas import relative
from qwen3vl.drawn.diagram_drawing import ROOM, Look, Node, draw_arrows, draw_node, fill_of
from qwen3vl.drawn.diagram_layouts import LAYOUTS, Plan
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.order import reading_order
from qwen3vl.drawn.paper import CHINESE_PAPERS, SMALLEST, SMALLEST_CHINESE, ink_and_ground, sheet
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.tables import unique

STYLES = {
    "box": "rounded=0",
    "rounded": "rounded=1",
    "ellipse": "ellipse",
    "rhombus": "rhombus",
    "parallelogram": "shape=parallelogram",
    "hexagon": "shape=hexagon",
    "cylinder": "shape=cylinder",
}
SHAPES = {"one": tuple(STYLES), "mixed": ("box", "box", "rounded", "ellipse", "rhombus", "hexagon")}


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
    rng = scene.rng
    chinese = rng.random() < CHINESE_PAPERS
    ink, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    area = sheet(scene, canvas, ink)
    chosen = scene.combine(
        "diagram",
        layout=tuple(LAYOUTS),
        way=("down", "down", "right", "up", "left"),
        lines=("straight", "elbow"),
        heads=("filled", "open", "hollow"),
        shapes=("one", "mixed", "flow"),
        fills=("none", "light", "strong", "shadow"),
    )
    font = scene.font(SMALLEST_CHINESE if chinese else rng.randint(SMALLEST, 15), chinese=chinese, style="sans")
    plan = LAYOUTS[chosen["layout"]](scene, area, font, chosen["way"])
    look = Look(chosen["lines"], chosen["heads"], chosen["fills"], rng.choice((1, 1, 2)), ink)
    diagram = _diagram(scene, plan, chosen["shapes"], font, chinese)
    draw_arrows(canvas, plan, diagram.nodes, diagram.edges, look)
    fill = fill_of(scene, canvas, look)
    for node in diagram.nodes:
        draw_node(canvas, node, font, look, fill)
    scene.keep(canvas)
    ends = [end for _, end in diagram.edges]
    _ask(scene, diagram, countable=look.lines == "straight" or len(set(ends)) == len(ends))


def _diagram(scene: Scene, plan: Plan, shapes: str, font: Font, chinese: bool) -> Diagram:
    """Texts and shapes for the places of a plan, in reading order."""
    order = reading_order(plan.boxes)
    number = {old: new for new, old in enumerate(order)}
    edges = sorted((number[start], number[end]) for start, end in plan.edges)
    same, taken = scene.rng.choice(SHAPES["one"]), set[str]()
    nodes = []
    for i, old in enumerate(order):
        box = plan.boxes[old]
        shape = same if shapes == "one" else scene.rng.choice(SHAPES["mixed"])
        if shapes == "flow":  # as flowcharts have it: ends are round, branches are rhombs
            leaving, coming = sum(a == i for a, _ in edges), sum(b == i for _, b in edges)
            shape = "rhombus" if leaving > 1 else "ellipse" if not leaving or not coming else "box"
        room = round((box[2] - box[0]) * ROOM[shape]) - 8
        text = unique(lambda room=room: _label(scene, font, chinese, room), taken)  # type: ignore[misc]
        nodes.append(Node(text, shape, box))
    return Diagram(nodes, edges)


def _label(scene: Scene, font: Font, chinese: bool, room: int) -> str:
    words = scene.words
    while True:
        text = words.zh(2, 5) if chinese else words.phrase(1, 2) if room > 90 else words.word().capitalize()
        if font.width(text) > room:
            text = words.zh(1, 2) if chinese else words.short(scene.rng.randint(3, 6)).capitalize()
        if font.width(text) <= room:
            return text


def _ask(scene: Scene, diagram: Diagram, countable: bool) -> None:
    """`countable` is whether no two arrows run into one, so that their number can be seen."""
    rng, nodes, edges = scene.rng, diagram.nodes, diagram.edges
    truth = {
        "nodes": [{"text": n.text, "box": relative(n.box, scene.size), "shape": n.shape} for n in nodes],
        "edges": [list(edge) for edge in edges],
    }
    scene.ask("drawio", "drawio", f"```xml\n{diagram.xml(scene.size)}\n```", truth, 2.5)
    followers = {i: [end for start, end in edges if start == i] for i in range(len(nodes))}
    single = [(i, ends[0]) for i, ends in followers.items() if len(ends) == 1]
    for i, end in rng.sample(single, min(3, len(single))):
        scene.ask("diagram_next", "diagram_next", nodes[end].text, {"value": nodes[end].text}, 0.8, node=nodes[i].text)
    things = scene.say(rng.choice(("boxes", "nodes")), rng.choice(("节点", "框")))
    scene.ask("count", "count", str(len(nodes)), {"count": len(nodes)}, 0.4, things=things)
    if countable:
        arrows = scene.say("arrows", "箭头")
        scene.ask("count", "count", str(len(edges)), {"count": len(edges)}, 0.3, things=arrows)
    first = [node.text for i, node in enumerate(nodes) if all(end != i for _, end in edges)]
    text = scene.say(f"A diagram of {len(nodes)} boxes.", f"一张有{len(nodes)}个框的图。")
    if len(first) == 1:
        text = scene.say(
            f'A diagram of {len(nodes)} boxes, starting at "{first[0]}".',
            f"一张有{len(nodes)}个框的图，从“{first[0]}”开始。",
        )
    scene.ask("describe", "describe", text, {"text": text}, 0.5)
