"""Family `shapes`: coloured shapes on a plain or shaded ground. Describe, count, colour, relation, boxes, points."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from qwen3vl.drawn.canvas import Box, Canvas, Color, centre, relative
from qwen3vl.drawn.sample import Language
from qwen3vl.drawn.scene import Scene, fenced_json, listing

SHAPES = {
    "circle": ("circle", "circles", "圆形"),
    "square": ("square", "squares", "正方形"),
    "rectangle": ("rectangle", "rectangles", "长方形"),
    "triangle": ("triangle", "triangles", "三角形"),
    "star": ("star", "stars", "星形"),
    "diamond": ("diamond", "diamonds", "菱形"),
    "cross": ("cross", "crosses", "十字形"),
    "hexagon": ("hexagon", "hexagons", "六边形"),
}
COLORS: dict[str, tuple[Color, str]] = {
    "red": ((214, 40, 40), "红色"),
    "green": ((40, 160, 60), "绿色"),
    "blue": ((40, 80, 220), "蓝色"),
    "yellow": ((240, 212, 40), "黄色"),
    "orange": ((245, 135, 30), "橙色"),
    "purple": ((135, 50, 170), "紫色"),
    "pink": ((245, 130, 185), "粉色"),
    "brown": ((125, 75, 40), "棕色"),
    "black": ((24, 24, 24), "黑色"),
    "cyan": ((50, 205, 220), "青色"),
}
GROUNDS: tuple[Color, ...] = (
    (255, 255, 255),
    (244, 244, 240),
    (232, 238, 246),
    (228, 242, 226),
    (246, 236, 218),
    (214, 218, 224),
)
HELD_OUT_GROUNDS: tuple[Color, ...] = ((250, 246, 252), (226, 232, 236), (240, 240, 224))
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
RELATIONS = {
    "left": ("left of", "左边"),
    "right": ("right of", "右边"),
    "above": ("above", "上方"),
    "below": ("below", "下方"),
}
SMALL_COUNTS = ("no", "one", "two", "three", "four", "five", "six")
APART = 5  # pixels kept free between the circles around two shapes


@dataclass(frozen=True)
class Thing:
    shape: str
    color: str
    box: Box

    def name(self, language: Language) -> str:
        return thing_name(self.color, self.shape, language)


def thing_name(color: str, shape: str, language: Language) -> str:
    return f"{color} {shape}" if language == "en" else f"{COLORS[color][1]}{SHAPES[shape][2]}"


def outline(shape: str, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """The corners of a shape that has corners, around (x, y)."""
    if shape == "square":
        side = radius * 0.86
        return [(x - side, y - side), (x + side, y - side), (x + side, y + side), (x - side, y + side)]
    if shape == "rectangle":
        return [
            (x - radius, y - radius * 0.5),
            (x + radius, y - radius * 0.5),
            (x + radius, y + radius * 0.5),
            (x - radius, y + radius * 0.5),
        ]
    if shape == "triangle":
        return [(x, y - radius), (x + radius, y + radius * 0.85), (x - radius, y + radius * 0.85)]
    if shape == "diamond":
        return [(x, y - radius), (x + radius * 0.72, y), (x, y + radius), (x - radius * 0.72, y)]
    if shape == "hexagon":
        return [(x + radius * math.cos(i * math.pi / 3), y + radius * math.sin(i * math.pi / 3)) for i in range(6)]
    if shape == "cross":
        arm = radius * 0.34
        quarter = [(arm, -radius), (arm, -arm), (radius, -arm)]  # and turned by a right angle, three times
        turned = [
            quarter,
            *([(-b, a) for a, b in quarter], [(-a, -b) for a, b in quarter], [(b, -a) for a, b in quarter]),
        ]
        return [(x + a, y + b) for corners in turned for a, b in corners]
    lengths = (radius, radius * 0.42)
    turns = [(-math.pi / 2 + i * math.pi / 5, lengths[i % 2]) for i in range(10)]
    return [(x + length * math.cos(turn), y + length * math.sin(turn)) for turn, length in turns]


def draw_shape(canvas: Canvas, shape: str, x: int, y: int, radius: int, color: str, fill: Color) -> Thing:
    """Draws a shape in whole pixels; the box of the result is exactly its ink."""
    if shape == "circle":
        box = (x - radius, y - radius, x + radius + 1, y + radius + 1)
        canvas.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill)
    else:
        corners = [(round(px), round(py)) for px, py in outline(shape, x, y, radius)]
        canvas.draw.polygon(corners, fill)
        xs, ys = [px for px, _ in corners], [py for _, py in corners]
        box = (min(xs), min(ys), max(xs) + 1, max(ys) + 1)
    canvas.mark(box, f"shape:{shape}")
    canvas.mark(box, f"color:{color}")
    return Thing(shape, color, box)


def shade(scene: Scene, color: Color, by: int = 18) -> Color:
    """The colour, moved a little each way."""
    r, g, b = (min(255, max(0, value + scene.rng.randint(-by, by))) for value in color)
    return r, g, b


def shapes(scene: Scene) -> None:
    rng = scene.rng
    canvas = scene.canvas(shade(scene, scene.pick(GROUNDS, HELD_OUT_GROUNDS), 5))
    _decorate(scene, canvas)
    things = scatter(scene, canvas, rng.choice((1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10)))
    scene.keep(canvas)
    _ask_describe(scene, things)
    ask_count(scene, things)
    _ask_color(scene, things)
    _ask_relation(scene, things)
    _ask_places(scene, things)


def _decorate(scene: Scene, canvas: Canvas) -> None:
    """A soft band or grid behind the shapes, a fifth of the time."""
    rng = scene.rng
    soft = tuple(max(0, value - 14) for value in canvas.background)
    luck = rng.random()
    if luck < 0.1:
        for x in range(0, canvas.width, scene.pick((24, 32, 48), (40, 56))):
            canvas.draw.line((x, 0, x, canvas.height), soft)
    elif luck < 0.2:
        top = rng.randint(0, canvas.height)
        canvas.draw.rectangle((0, top, canvas.width, top + rng.randint(20, 120)), soft)


def scatter(scene: Scene, canvas: Canvas, count: int) -> list[Thing]:
    """Up to `count` shapes that do not touch; often few colours and kinds, so that counting them means something."""
    rng = scene.rng
    many = count > 3 and rng.random() < 0.6
    colors = rng.sample(list(COLORS), rng.randint(2, 4)) if many else list(COLORS)
    kinds = rng.sample(list(SHAPES), rng.randint(2, 4)) if many else list(SHAPES)
    largest = max(16, int(min(canvas.size) * (0.16 if count < 5 else 0.11)))
    taken: list[tuple[int, int, int]] = []
    things: list[Thing] = []
    for _ in range(count * 12):
        if len(things) == count:
            break
        radius = rng.randint(11, largest)
        x, y = rng.randint(radius + 2, canvas.width - radius - 3), rng.randint(radius + 2, canvas.height - radius - 3)
        if all(math.hypot(x - a, y - b) > radius + r + APART for a, b, r in taken):
            taken.append((x, y, radius))
            color = rng.choice(colors)
            things.append(draw_shape(canvas, rng.choice(kinds), x, y, radius, color, shade(scene, COLORS[color][0])))
    return sorted(things, key=lambda thing: thing.box)


def _count_words(number: int, shape: str) -> str:
    noun = SHAPES[shape][0 if number == 1 else 1]
    return f"{SMALL_COUNTS[number] if number < len(SMALL_COUNTS) else number} {noun}"


def _ask_describe(scene: Scene, things: list[Thing]) -> None:
    if len(things) == 1:
        name = things[0].name(scene.language)
        text = scene.say(f"There is one shape: {_article(name)}.", f"图中有1个图形：{name}。")
    elif len(things) <= 5:
        names = [thing.name(scene.language) for thing in things]
        text = scene.say(
            f"There are {SMALL_COUNTS[len(things)]} shapes: {listing([_article(n) for n in names], 'en')}.",
            f"图中有{len(things)}个图形：{listing(names, 'zh')}。",
        )
    else:
        counts = Counter(thing.shape for thing in things)
        kinds = sorted(counts, key=lambda shape: (-counts[shape], list(SHAPES).index(shape)))
        text = scene.say(
            f"There are {len(things)} shapes: {listing([_count_words(counts[k], k) for k in kinds], 'en')}.",
            f"图中有{len(things)}个图形：{listing([f'{counts[k]}个{SHAPES[k][2]}' for k in kinds], 'zh')}。",
        )
    scene.ask("describe", "describe", text, {"text": text}, 1.5)


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _the(scene: Scene, name: str) -> str:
    return name if scene.rng.random() < 0.2 else f"the {name}"


def ask_count(scene: Scene, things: list[Thing]) -> None:
    rng = scene.rng

    def ask(found: int, english: str, chinese: str) -> None:
        scene.ask("count", "count", str(found), {"count": found}, 1.0, things=scene.say(english, chinese))

    ask(len(things), rng.choice(("shapes", "objects", "figures")), rng.choice(("图形", "形状", "物体")))
    color = rng.choice(things).color if rng.random() < 0.75 else rng.choice(list(COLORS))
    ask(
        sum(t.color == color for t in things), f"{color} {rng.choice(('shapes', 'objects'))}", f"{COLORS[color][1]}图形"
    )
    shape = rng.choice(things).shape if rng.random() < 0.75 else rng.choice(list(SHAPES))
    ask(sum(t.shape == shape for t in things), SHAPES[shape][1], SHAPES[shape][2])
    one = rng.choice(things)
    same = sum((t.color, t.shape) == (one.color, one.shape) for t in things)
    ask(same, f"{one.color} {SHAPES[one.shape][1]}", one.name("zh"))


def _ask_color(scene: Scene, things: list[Thing]) -> None:
    kinds = Counter(thing.shape for thing in things)
    for thing in things:
        if kinds[thing.shape] == 1:
            answer = scene.say(thing.color, COLORS[thing.color][1])
            shape = scene.say(*SHAPES[thing.shape][::2])
            scene.ask("color", "color", answer, {"color": thing.color}, 2.0 / len(things), shape=shape)


def _ask_relation(scene: Scene, things: list[Thing]) -> None:
    rng = scene.rng
    names = Counter((thing.color, thing.shape) for thing in things)
    single = [thing for thing in things if names[thing.color, thing.shape] == 1]
    for _ in range(2 if len(single) > 1 else 0):
        a, b = rng.sample(single, 2)
        (ax, ay), (bx, by) = centre(a.box), centre(b.box)
        across, down = abs(bx - ax), abs(by - ay)
        if max(across, down) < 16 or max(across, down) < 1.4 * min(across, down):
            continue  # a person would hesitate too
        relation = ("left" if ax < bx else "right") if across > down else ("above" if ay < by else "below")
        slots = {"first": a.name(scene.language), "second": b.name(scene.language)}
        if rng.random() < 0.5:
            words = scene.say(relation, RELATIONS[relation][1])
            scene.ask("relation", "relation_where", words, {"relation": relation}, 1.0, **slots)
            continue
        asked = relation if rng.random() < 0.5 else OPPOSITE[relation]
        verdict = "yes" if asked == relation else "no"
        answer = scene.say(verdict.capitalize(), "是" if verdict == "yes" else "否")
        place = scene.say(*RELATIONS[asked])
        scene.ask("relation", "relation_check", answer, {"relation": verdict}, 1.0, place=place, **slots)


def _ask_places(scene: Scene, things: list[Thing]) -> None:
    """Boxes and points of one thing, of all of a kind, of everything, and of something that is not there."""
    rng, language = scene.rng, scene.language
    one = rng.choice(things)
    many = SHAPES[one.shape][1]
    twins = [t for t in things if (t.color, t.shape) == (one.color, one.shape)]
    shape_twins = [t for t in things if t.shape == one.shape]
    groups = [
        (twins, scene.say(_the(scene, one.name("en") if len(twins) == 1 else f"{one.color} {many}"), one.name("zh"))),
        (shape_twins, scene.say(_the(scene, one.shape if len(shape_twins) == 1 else many), SHAPES[one.shape][2])),
        (
            things,
            scene.say(rng.choice(("all shapes", "every shape", "all objects")), rng.choice(("所有图形", "每个图形"))),
        ),
    ]
    present = {(t.color, t.shape) for t in things}
    missing = (rng.choice(list(COLORS)), rng.choice(list(SHAPES)))
    if missing not in present and rng.random() < 0.3:
        groups.append(([], scene.say(_the(scene, thing_name(*missing, "en")), thing_name(*missing, "zh"))))
    for found, what in groups:
        boxes = [{"box": relative(t.box, scene.size), "label": t.name(language)} for t in found]
        items = [{"bbox_2d": item["box"], "label": item["label"]} for item in boxes]
        scene.ask("boxes", "boxes", fenced_json(items), {"boxes": boxes}, 1.2 if found else 0.6, what=what)
        if len(found) == len(things) and len(things) > 5:
            continue
        points = [{**item, "point": relative(centre(t.box), scene.size)} for item, t in zip(boxes, found, strict=True)]
        items = [{"point_2d": point["point"], "label": point["label"]} for point in points]
        scene.ask("points", "points", fenced_json(items), {"points": points}, 0.5, what=what)
