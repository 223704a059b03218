"""Family `shapes`: coloured shapes on grounds of all kinds. Describe, count, colour, relation, boxes, points.

Shapes are listed in reading order: from top to bottom, in a row from left to right. Their middles are level or clearly
apart, so that the order can be seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from qwen3vl.drawn.canvas import Canvas, centre, relative
from qwen3vl.drawn.order import SAME_ROW, reading_order
from qwen3vl.drawn.paper import BLACK, WHITE, blend, lightness, tint
from qwen3vl.drawn.scene import Scene, fenced_json, listing
from qwen3vl.drawn.things import (
    COLORS,
    LEAST_RADIUS,
    LINES,
    SHAPES,
    SMALLEST_RADIUS,
    Thing,
    draw_shape,
    seen_on,
    shade,
    thing_name,
)

__all__ = ["SHAPES", "arrange", "ask_count", "ground", "nameable", "shapes"]

OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
RELATIONS = {
    "left": ("left of", "左边"),
    "right": ("right of", "右边"),
    "above": ("above", "上方"),
    "below": ("below", "下方"),
}
SMALL_COUNTS = ("no", "one", "two", "three", "four", "five", "six")
CLEARLY = 1.7  # how much farther aside than up or down a thing is, to be beside and not above or below
APART = 5  # pixels kept free between the squares around two shapes
LEVELS_APART = SAME_ROW + 4  # least difference in height of two middles that are not level
LARGEST = 16  # the least radius that the largest shape of a small picture may have

Place = tuple[int, int, int]  # x, y, radius


def shapes(scene: Scene) -> None:
    rng = scene.rng
    chosen = scene.combine(
        "shapes",
        places=("scattered", "scattered", "rows", "grid", "diagonal", "side"),
        sizes=("alike", "mixed", "small", "large"),
        lines=LINES,
        ground=("plain", "lines", "dots", "band", "gradient"),
        colors=("all", "few"),
    )
    canvas = ground(scene, chosen["ground"])
    count = rng.choice((1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10))
    things = arrange(scene, canvas, count, **{name: chosen[name] for name in ("places", "sizes", "lines", "colors")})
    scene.keep(canvas)
    _ask_describe(scene, things)
    ask_count(scene, things)
    _ask_color(scene, things)
    _ask_relation(scene, things)
    _ask_places(scene, things)


def ground(scene: Scene, kind: str = "plain") -> Canvas:
    """A canvas in a light, strong or dark colour, with a soft pattern that cannot be taken for a shape."""
    rng, luck = scene.rng, scene.rng.random()
    light = tint(rng, (0.0, 0.14), (0.86, 1.0)) if luck < 0.7 else tint(rng, (0.1, 0.5), (0.55, 0.9))
    canvas = scene.canvas(light if luck < 0.86 else tint(rng, (0.0, 0.6), (0.08, 0.28)))
    width, height = canvas.size
    soft = blend(canvas.background, BLACK if lightness(canvas.background) > 60 else WHITE, rng.uniform(0.03, 0.06))
    if kind == "lines":
        step = rng.randint(20, 60)
        for x in range(rng.randint(0, step), width, step):
            canvas.draw.line((x, 0, x, height), soft)
        for y in range(rng.randint(0, step), height, step) if rng.random() < 0.5 else ():
            canvas.draw.line((0, y, width, y), soft)
    elif kind == "dots":
        step = rng.randint(14, 30)
        for x in range(step // 2, width, step):
            for y in range(step // 2, height, step):
                canvas.draw.rectangle((x, y, x + 1, y + 1), soft)
    elif kind == "band":
        top = rng.randint(0, height)
        canvas.draw.rectangle((0, top, width, top + rng.randint(20, 120)), soft)
    elif kind == "gradient":
        for y in range(0, height, 8):
            canvas.rectangle((0, y, width, y + 8), blend(canvas.background, soft, y / height))
    return canvas


def arrange(
    scene: Scene,
    canvas: Canvas,
    count: int,
    *,
    places: str = "scattered",
    sizes: str = "mixed",
    lines: str = "filled",
    colors: str = "few",
) -> list[Thing]:
    """Up to `count` shapes that do not touch, in reading order; with few colours and kinds counting means something."""
    rng, known = scene.rng, seen_on(canvas.background)
    few = colors == "few" and count > 3
    used = rng.sample(known, min(len(known), rng.randint(2, 4))) if few else known
    kinds = rng.sample(list(SHAPES), rng.randint(2, 4)) if few else list(SHAPES)
    found = list(_places(scene, canvas, count, places, sizes))
    things = []
    for i in reading_order([(x - radius, y - radius, x + radius, y + radius) for x, y, radius in found]):
        x, y, radius = found[i]
        shape = rng.choice([kind for kind in kinds if LEAST_RADIUS.get(kind, 0) <= radius] or ["circle"])
        color = rng.choice(used)
        fill, turned = shade(scene, COLORS[color][0]), rng.random() < 0.25
        things.append(draw_shape(canvas, shape, x, y, radius, color, fill, lines, turned))
    return things


def _places(scene: Scene, canvas: Canvas, count: int, arrangement: str, sizes: str) -> Iterator[Place]:
    """Middles and radii of shapes that do not touch, one at least, and as many of `count` as are found room for."""
    rng, (width, height) = scene.rng, canvas.size
    largest = max(LARGEST, int(min(canvas.size) * (0.2 if count < 4 else 0.15 if count < 7 else 0.11)))
    same = rng.randint(SMALLEST_RADIUS, largest)
    levels = [height * (i + 1) // (rows + 1) for rows in (rng.randint(1, 3),) for i in range(rows)]
    columns, side = rng.randint(2, 5), rng.choice(((0, 0), (1, 0), (0, 1)))
    taken: list[Place] = []
    for _ in range(count * 20):
        if len(taken) == count:
            return
        low, high = {"small": (0, 0.3), "large": (0.6, 1)}.get(sizes, (0, 1))
        radius = (
            same if sizes == "alike" else SMALLEST_RADIUS + round((largest - SMALLEST_RADIUS) * rng.uniform(low, high))
        )
        x, y = rng.randint(radius + 2, width - radius - 3), rng.randint(radius + 2, height - radius - 3)
        if arrangement in ("rows", "grid"):
            y = rng.choice(levels)
        if arrangement == "grid":
            x = width * (2 * rng.randrange(columns) + 1) // (2 * columns)
        elif arrangement == "diagonal":
            y = radius + 2 + (x - radius - 2) * (height - 2 * radius - 5) // (width - 2 * radius - 5)
            y = y if side[0] else height - 1 - y
        elif arrangement == "side":
            x = x if x < width // 2 or side[0] else max(radius + 2, x - width // 2)
            y = y if y < height // 2 or side[1] else max(radius + 2, y - height // 2)
        if not (radius < x < width - radius - 1 and radius < y < height - radius - 1):
            continue
        if all(
            max(abs(x - a), abs(y - b)) > radius + r + APART and (y == b or abs(y - b) >= LEVELS_APART)
            for a, b, r in taken
        ):
            taken.append((x, y, radius))
            yield taken[-1]


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


def nameable(things: list[Thing]) -> list[str]:
    """The kinds that can be asked for alone, always one that is there at least.

    A square is a rectangle too, so that beside squares nobody knows what the rectangles are.
    """
    kinds = {thing.shape for thing in things}
    return [shape for shape in SHAPES if shape != "rectangle" or "square" not in kinds]


def ask_count(scene: Scene, things: list[Thing]) -> None:
    rng = scene.rng

    def ask(found: int, english: str, chinese: str) -> None:
        scene.ask("count", "count", str(found), {"count": found}, 1.0, things=scene.say(english, chinese))

    ask(len(things), rng.choice(("shapes", "objects", "figures")), rng.choice(("图形", "形状", "物体")))
    color = rng.choice(things).color if rng.random() < 0.75 else rng.choice(list(COLORS))
    ask(
        sum(t.color == color for t in things), f"{color} {rng.choice(('shapes', 'objects'))}", f"{COLORS[color][1]}图形"
    )
    kinds = nameable(things)
    here = [thing for thing in things if thing.shape in kinds]
    shape = rng.choice(here).shape if rng.random() < 0.75 else rng.choice(kinds)
    ask(sum(t.shape == shape for t in things), SHAPES[shape][1], SHAPES[shape][2])
    one = rng.choice(here)
    same = sum((t.color, t.shape) == (one.color, one.shape) for t in things)
    ask(same, f"{one.color} {SHAPES[one.shape][1]}", one.name("zh"))


def _ask_color(scene: Scene, things: list[Thing]) -> None:
    kinds = Counter(thing.shape for thing in things)
    for thing in things:
        if kinds[thing.shape] == 1 and thing.shape in nameable(things):
            answer = scene.say(thing.color, COLORS[thing.color][1])
            shape = scene.say(*SHAPES[thing.shape][::2])
            scene.ask("color", "color", answer, {"color": thing.color}, 2.0 / len(things), shape=shape)


def _ask_relation(scene: Scene, things: list[Thing]) -> None:
    rng = scene.rng
    names, kinds = Counter((thing.color, thing.shape) for thing in things), nameable(things)
    single = [thing for thing in things if names[thing.color, thing.shape] == 1 and thing.shape in kinds]
    for _ in range(2 if len(single) > 1 else 0):
        a, b = rng.sample(single, 2)
        (ax, ay), (bx, by) = centre(a.box), centre(b.box)
        across, down = abs(bx - ax), abs(by - ay)
        if max(across, down) < 18 or max(across, down) < CLEARLY * min(across, down):
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
    kinds = nameable(things)
    one = rng.choice([thing for thing in things if thing.shape in kinds])
    many = SHAPES[one.shape][1]
    twins = [t for t in things if (t.color, t.shape) == (one.color, one.shape)]
    alike = [t for t in things if t.shape == one.shape]
    everything = scene.say(
        rng.choice(("all shapes", "every shape", "all objects")), rng.choice(("所有图形", "每个图形"))
    )
    name = one.name("en") if len(twins) == 1 else f"{one.color} {many}"
    groups = [
        (twins, scene.say(_the(scene, name), one.name("zh"))),
        (alike, scene.say(_the(scene, one.shape if len(alike) == 1 else many), SHAPES[one.shape][2])),
        (things, everything),
    ]
    present = {(t.color, t.shape) for t in things}
    missing = (rng.choice(list(COLORS)), rng.choice(kinds))
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
