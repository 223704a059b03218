"""Shapes, charts, diagrams and videos: what is answered, measured again on the pixels; and what each split combines."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

import numpy as np
import pytest

from qwen3vl.drawn import (
    actors,
    chart_drawing,
    chart_painters,
    charts,
    diagram_layouts,
    diagrams,
    documents,
    shapes,
    text,
    things,
    thinking,
    video,
)
from qwen3vl.drawn.canvas import Box
from qwen3vl.drawn.fonts import FACES, font
from qwen3vl.drawn.order import reading_order
from qwen3vl.drawn.sample import Split, Turn
from qwen3vl.drawn.scene import Scene

SPLITS: tuple[Split, ...] = ("train", "held_out")
PAPER = (255, 255, 255)


def new_scene(seed: int, size: tuple[int, int] = (320, 288)) -> Scene:
    return Scene.new(random.Random(seed), SPLITS[seed % 2], size)


def turns(scene: Scene, task: str) -> list[Turn]:
    return [candidate.turn for candidate in scene.candidates if candidate.turn.task == task]


FAMILIES = (
    shapes.shapes,
    text.text,
    documents.documents,
    charts.charts,
    diagrams.diagrams,
    video.video,
    thinking.thinking,
)


@pytest.mark.parametrize("fill", FAMILIES)
def test_both_splits_draw_all_options_and_no_combination_of_the_other(
    fill: Callable[[Scene], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, dict[Split, set[tuple[tuple[str, str], ...]]]] = defaultdict(lambda: defaultdict(set))
    offered: dict[str, set[tuple[str, str]]] = {}
    combine = Scene.combine

    def spied(scene: Scene, name: str, **axes: Sequence[str]) -> dict[str, str]:
        chosen = combine(scene, name, **axes)
        seen[name][scene.split].add(tuple(sorted(chosen.items())))
        offered[name] = {(axis, option) for axis, options in axes.items() for option in options}
        return chosen

    monkeypatch.setattr(Scene, "combine", spied)
    for seed in range(480 if fill is thinking.thinking else 240):
        fill(new_scene(seed, (256, 256)))
    assert seen
    for name, by_split in seen.items():
        assert not by_split["train"] & by_split["held_out"]
        for made in by_split.values():
            assert {pair for chosen in made for pair in chosen} == offered[name], name


def test_reading_order_goes_row_by_row() -> None:
    level = [(200, 10, 240, 50), (10, 12, 50, 51), (100, 8, 140, 50)]
    below = [(60, 90, 90, 120), (5, 91, 30, 119)]
    assert reading_order([*below, *level]) == [3, 4, 2, 1, 0]
    assert reading_order([]) == []


@pytest.mark.parametrize("arrangement", ["scattered", "rows", "grid", "diagonal", "side"])
def test_shapes_are_as_many_as_listed_large_enough_and_in_an_order_that_can_be_seen(arrangement: str) -> None:
    """Each shape is found again by flooding the pixels that are not the ground."""
    for seed in range(6):
        scene = new_scene(seed)
        canvas = scene.canvas(PAPER)
        made = shapes.arrange(scene, canvas, 6, places=arrangement)
        inked = (np.asarray(canvas.image) != 255).any(axis=2)
        assert _pieces(inked) == len(made) >= 1
        for thing in made:
            x1, y1, x2, y2 = thing.box
            assert min(x2 - x1, y2 - y1) >= 18
            colors = np.asarray(canvas.image)[y1:y2, x1:x2][inked[y1:y2, x1:x2]]
            assert np.abs(np.median(colors, axis=0) - things.COLORS[thing.color][0]).max() <= 18
        for a, b in pairwise(thing.box for thing in made):
            lower = (b[1] + b[3] - a[1] - a[3]) / 2
            assert lower > 8 or (abs(lower) < 2 and b[0] > a[2])


def _pieces(inked: np.ndarray) -> int:
    """How many connected pieces a mask has, corners counting as connected."""
    left, count = {(int(y), int(x)) for y, x in zip(*np.nonzero(inked), strict=True)}, 0
    while left:
        count, pending = count + 1, [left.pop()]
        while pending:
            y, x = pending.pop()
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            pending.extend(near)
    return count


@pytest.mark.parametrize("line", sorted(set(things.LINES)))
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shape", things.SHAPES)
def test_the_box_of_a_shape_in_every_style_is_its_ink(shape: str, turned: bool, line: str) -> None:
    for radius in (12, 17, 31):
        canvas = Scene.new(random.Random(1), "train", (256, 256)).canvas(PAPER)
        thing = things.draw_shape(canvas, shape, 90, 80, radius, "blue", (40, 80, 220), line, turned)
        ys, xs = np.nonzero((np.asarray(canvas.image) != 255).any(axis=2))
        assert thing.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def test_colors_can_be_told_from_each_other_and_from_the_ground() -> None:
    colors = [color for color, _ in things.COLORS.values()]
    assert min(math.dist(a, b) for a, b in combinations(colors, 2)) > 60
    assert "white" not in things.seen_on((250, 250, 245))
    assert "black" not in things.seen_on((30, 30, 40))
    for seed in range(60):
        canvas = shapes.ground(new_scene(seed))
        assert len(things.seen_on(canvas.background)) >= 5


def test_rectangles_are_not_asked_for_beside_squares() -> None:
    rectangle, square = (
        things.Thing("rectangle", "red", (0, 0, 40, 20)),
        things.Thing("square", "blue", (60, 0, 90, 30)),
    )
    assert "rectangle" in shapes.nameable([rectangle])
    assert "rectangle" not in shapes.nameable([rectangle, square])
    for seed in range(40):
        scene = new_scene(seed)
        shapes.ask_count(scene, [rectangle, square])
        assert not any(
            "rectangle" in turn.question.lower() or "长方形" in turn.question for turn in turns(scene, "count")
        )


def brush(kind: str, **look: str) -> chart_drawing.Brush:
    style = {"grid": "none", "numbers": "none", "frame": "none", "colors": "own", "title": "none", "edges": "plain"}
    scene = new_scene(4, (448, 320))
    made = chart_drawing.Look(kind=kind, **{**style, **look})
    canvas = scene.canvas(PAPER)
    return chart_drawing.Brush(scene, canvas, (4, 4, 440, 316), font(FACES[0], 12), (0, 0, 0), made)


@pytest.mark.parametrize("kind", ["columns", "bars"])
def test_bars_are_as_long_as_their_values(kind: str) -> None:
    """Lengths of coloured runs, against the longest one, which is as long as the axis."""
    values = [40.0, 10.0, 25.0, 5.0]
    chart = charts.Chart(kind, "", ["Aa", "Bb", "Cc", "Dd"], {"": values}, 10, 4)
    made = brush(kind)
    chart_painters.PAINTERS[kind](made, chart)
    pixels = np.asarray(made.canvas.image).astype(int)
    colored = pixels.max(axis=2) - pixels.min(axis=2) > 20
    lengths = colored.sum(axis=0 if kind == "columns" else 1)
    runs = [run.max() for run in np.split(lengths, np.nonzero(lengths == 0)[0]) if run.any()]
    assert len(runs) == 4
    assert [run / runs[0] * 40 for run in runs] == pytest.approx(values, abs=0.4)


def test_slices_are_as_large_as_their_shares() -> None:
    shares = [40.0, 10.0, 30.0, 20.0]
    chart = charts.Chart("pie", "", ["Aa", "Bb", "Cc", "Dd"], {"": shares}, 1, 3)
    made = brush("pie")
    chart_painters.PAINTERS["pie"](made, chart)
    disc = np.asarray(made.canvas.image)[:, :300].reshape(-1, 3)
    _, counts = np.unique(disc[disc.max(axis=1).astype(int) - disc.min(axis=1) > 20], axis=0, return_counts=True)
    largest = sorted(counts)[-4:]
    assert [count / sum(largest) * 100 for count in largest] == pytest.approx(sorted(shares), abs=1.0)


def test_values_can_be_read_from_the_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none is printed, steps are far apart, and all values are on steps or half-way between two."""
    axes: list[chart_drawing.Axis] = []
    for name in ("upright_axis", "level_axis"):
        make = getattr(chart_drawing.Brush, name)
        monkeypatch.setattr(
            chart_drawing.Brush, name, lambda *a, make=make: (axes.append((made := make(*a))[0]), made)[1]
        )
    seen: list[charts.Chart] = []
    monkeypatch.setattr(charts, "ask_chart", lambda scene, chart: seen.append(chart))
    looks: list[chart_drawing.Look] = []
    new_chart = charts.new_chart
    monkeypatch.setattr(charts, "new_chart", lambda *a: (looks.append(a[3]), new_chart(*a))[1])
    checked = 0
    for seed in range(160):
        axes.clear()
        charts.charts(new_scene(seed, (224, 320) if seed % 3 else (192, 352)))
        chart, look = seen[-1], looks[-1]
        if not axes or (look.printed and len(chart.series) == 1):
            continue
        unit = chart.step if look.grid == "none" else chart.step / 2
        assert abs(axes[0].at(unit) - axes[0].at(0)) >= 8
        assert all(value % unit == 0 and 0 < value <= chart.top for row in chart.series.values() for value in row)
        checked += 1
    assert checked > 30


def test_the_highest_is_asked_only_where_it_is_clearly_so() -> None:
    close = charts.Chart("columns", "", ["Aa", "Bb", "Cc"], {"": [98.0, 97.0, 20.0]}, 25, 4)
    scene = new_scene(1)
    charts.ask_chart(scene, close)
    assert [turn.answer for turn in turns(scene, "chart_which")] == ["Cc"]


def test_two_series_are_asked_for_single_values_only() -> None:
    both = charts.Chart("line", "", ["May", "Jun", "Jul"], {"Tea": [10.0, 20.0, 30.0], "Oil": [5.0, 15.0, 25.0]}, 10, 4)
    scene = new_scene(3)
    charts.ask_chart(scene, both)
    assert {candidate.turn.task for candidate in scene.candidates} == {"chart_value", "describe"}
    for turn in turns(scene, "chart_value"):
        name = next(name for name in both.series if name.lower() in turn.question.lower())
        month = next(label for label in both.labels if label.lower() in turn.question.lower())
        assert float(turn.answer) == both.series[name][both.labels.index(month)]


@pytest.mark.parametrize("layout", diagram_layouts.LAYOUTS)
@pytest.mark.parametrize("way", ["down", "right", "up", "left"])
def test_places_are_apart_inside_and_all_joined(layout: str, way: str) -> None:
    for seed in range(12):
        scene = new_scene(seed, [(192, 352), (448, 192), (320, 320)][seed % 3])
        area = (6, 4, scene.size[0] - 6, scene.size[1] - 4)
        plan = diagram_layouts.LAYOUTS[layout](scene, area, font(FACES[0], 13), way)
        assert all(b[0] >= 2 and b[1] >= 2 and b[2] <= scene.size[0] and b[3] <= scene.size[1] for b in plan.boxes)
        assert not any(_overlap(a, b) for a, b in combinations(plan.boxes, 2))
        assert {i for edge in plan.edges for i in edge} == set(range(len(plan.boxes)))
        assert len(set(plan.edges)) == len(plan.edges)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_no_arrow_runs_through_a_node_and_every_one_reaches_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the nodes left out, nothing is drawn inside them, and at each joined node's rim there is an arrow's end."""
    monkeypatch.setattr(diagrams, "draw_node", lambda *_: None)
    monkeypatch.setattr(diagrams, "sheet", lambda scene, canvas, ink: (0, 0, *canvas.size))
    monkeypatch.setitem(diagrams.SHAPES, "one", ("box",))
    monkeypatch.setitem(diagrams.SHAPES, "mixed", ("box",))
    for seed in range(80):
        scene = new_scene(seed, [(192, 352), (448, 192), (320, 320)][seed % 3])
        diagrams.diagrams(scene)
        pixels = np.asarray(scene.images[0])
        inked = (pixels != pixels[0, 0]).any(axis=2)
        truth = turns(scene, "drawio")[0].truth
        for node in truth["nodes"]:
            if node["shape"] != "box":
                continue  # of the others the rim is inside the box
            x1, y1, x2, y2 = (round(v * s / 1000) for v, s in zip(node["box"], scene.size * 2, strict=True))
            assert not inked[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].any(), seed
            assert inked[max(0, y1 - 3) : y2 + 3, max(0, x1 - 3) : x2 + 3].any(), seed


def test_nodes_are_listed_row_by_row() -> None:
    for seed in range(60):
        scene = new_scene(seed)
        diagrams.diagrams(scene)
        boxes = [node["box"] for node in turns(scene, "drawio")[0].truth["nodes"]]
        for a, b in pairwise(boxes):
            lower = (b[1] + b[3] - a[1] - a[3]) / 2
            assert lower > 12 or (abs(lower) <= 12 and b[0] >= a[2])


def test_what_follows_is_where_the_only_arrow_leads() -> None:
    for seed in range(40):
        scene = new_scene(seed)
        diagrams.diagrams(scene)
        truth = turns(scene, "drawio")[0].truth
        texts = [node["text"] for node in truth["nodes"]]
        single = {a for a, _ in truth["edges"] if sum(a == start for start, _ in truth["edges"]) == 1}
        answers = {texts[end] for start, end in truth["edges"] if start in single}
        assert {turn.answer for turn in turns(scene, "diagram_next")} <= answers


@pytest.mark.parametrize("acts", ["stand", "move", "move and stand", "grow"])
def test_actors_never_touch_stay_inside_and_do_what_is_told(acts: str) -> None:
    told = set()
    for seed in range(40):
        scene = Scene.new(random.Random(seed), "train", video.SIZES[seed % len(video.SIZES)])
        cast = actors.cast(scene, scene.canvas(PAPER), 16, acts, 3)
        assert cast
        for frame in range(16):
            shown = [actor.place(frame) for actor in cast if actor.first <= frame < actor.last]
            for x, y, radius in shown:
                assert radius <= x < scene.size[0] - radius
                assert radius <= y < scene.size[1] - radius
            assert all(math.hypot(a[0] - b[0], a[1] - b[1]) > a[2] + b[2] for a, b in combinations(shown, 2))
        for actor in cast:
            (x, y, radius), (last_x, last_y, last_radius) = actor.place(actor.first), actor.place(actor.last - 1)
            way = {
                "left": x - last_x,
                "right": last_x - x,
                "up": y - last_y,
                "down": last_y - y,
                "grows": 2 * (last_radius - radius),
                "shrinks": 2 * (radius - last_radius),
            }.get(actor.act)
            assert way is None or way >= 8, actor
            assert way is not None or (x, y, radius) == (last_x, last_y, last_radius)
            told.add(actor.act)
    assert len(told) >= (1 if acts == "stand" else 2)


def test_chapters_differ_in_caption_and_pixels_and_fill_the_video() -> None:
    for seed in range(40):
        scene = Scene.new(random.Random(seed), SPLITS[seed % 2], (192, 128))
        made = video.make_chapters(scene, 16)
        assert (made[0].first, made[-1].last) == (0, 16)
        for a, b in pairwise(made):
            assert a.last == b.first >= a.first + 2
            assert not np.array_equal(np.asarray(a.canvas.image), np.asarray(b.canvas.image))
        assert len({chapter.caption for chapter in made}) == len(made)
        for chapter in made:
            glyphs = "".join(mark.what for mark in chapter.canvas.marks if len(mark.what) == 1)
            assert glyphs == chapter.caption.replace(" ", "")
