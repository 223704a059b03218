"""Family `charts`: bars, lines, areas, dots and pies. All values as JSON, one value, the highest and the lowest.

A value is either printed, or lies on half a step of an axis with lines across, or on a whole step of one without: it
can be read exactly. Of two series only single values are asked, and the highest and the lowest only where the eye can
tell them from the next.
"""

from __future__ import annotations

import json

from qwen3vl.drawn.chart_drawing import Brush, Chart, Look, plain
from qwen3vl.drawn.chart_painters import PAINTERS
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.paper import CHINESE_PAPERS, SMALLEST, SMALLEST_CHINESE, ink_and_ground, sheet
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.tables import unique
from qwen3vl.drawn.values import MONTHS

STEPS = (1, 2, 3, 4, 5, 10, 15, 20, 25, 30, 40, 50, 100, 200, 250, 500, 1000)
KINDS = {
    "columns": ("column chart", "柱状图"),
    "bars": ("bar chart", "条形图"),
    "line": ("line chart", "折线图"),
    "area": ("area chart", "面积图"),
    "dots": ("dot chart", "点图"),
    "pie": ("pie chart", "饼图"),
    "ring": ("ring chart", "环形图"),
}
TWO_SERIES = 0.15
CLEARLY = 0.05  # of the axis: the least difference between the highest and the next


def charts(scene: Scene) -> None:
    rng = scene.rng
    chinese = rng.random() < CHINESE_PAPERS
    ink, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    left, top, right, bottom = sheet(scene, canvas, ink)
    size = SMALLEST_CHINESE if chinese else rng.randint(SMALLEST, 14)
    font = scene.font(size, chinese=chinese, bold=False)
    look = Look(
        **scene.combine(
            "chart",
            kind=tuple(KINDS),
            grid=("lines", "dotted", "none"),
            numbers=("none", "at the end", "inside"),
            frame=("corner", "box", "base", "none"),
            colors=("one", "own", "shades"),
            title=("none", "left", "centre"),
            edges=("plain", "outlined", "rounded"),
        )
    )
    chart = new_chart(scene, font, chinese, look, (right - left, bottom - top))
    y = top + 5
    if chart.title:
        bold = scene.font(size + rng.randint(1, 4), chinese=chinese, bold=True)
        free = max(8, right - left - bold.width(chart.title))
        canvas.text(left + (free // 2 if look.title == "centre" else 5), y, chart.title, bold, ink)
        y += bold.height + 2
    brush = Brush(scene, canvas, (left + 4, y, right - 6, bottom - 4), font, ink, look)
    PAINTERS[chart.kind](brush, chart)
    scene.keep(canvas)
    ask_chart(scene, chart)


def new_chart(scene: Scene, font: Font, chinese: bool, look: Look, room: tuple[int, int]) -> Chart:
    rng, words = scene.rng, scene.words
    upright = look.kind in ("columns", "line", "area", "dots")
    series = 2 if look.kind in ("columns", "line") and rng.random() < TWO_SERIES else 1
    count = rng.randint(3 if series > 1 else 2, max(3, min(8, room[0] // 48)) if upright else 6)
    labels = _labels(scene, font, chinese, count, (room[0] - 50) // count - 6 if upright else room[0] // 4)
    high = room[1] - (4 if upright else 2) * font.height - 40
    ticks = rng.randint(3, max(3, min(7, (high if upright else room[0] - 120) // 24)))
    step = rng.choice(STEPS)
    names = [""] if series == 1 else _labels(scene, font, chinese, series, room[0] // 4)
    if look.kind in ("pie", "ring"):
        values = [_shares(scene, count)]
    else:
        values = [[_value(scene, look, step, ticks, series) for _ in labels] for _ in names]
    title = ""
    if look.title != "none":
        title = words.zh(2, 5) if chinese else words.phrase(1, 2) if room[0] > 260 else words.word().capitalize()
    return Chart(look.kind, title, labels, dict(zip(names, values, strict=True)), step, ticks)


def _value(scene: Scene, look: Look, step: int, ticks: int, series: int) -> float:
    """A value that can be read as exactly as it is written."""
    rng = scene.rng
    if look.printed and series == 1:
        return rng.randint(1, step * ticks * 10) / 10 if step < 5 else rng.randint(1, step * ticks)
    if look.grid == "none":
        return rng.randint(1, ticks) * step
    return rng.randint(1, 2 * ticks) * step / 2


def _labels(scene: Scene, font: Font, chinese: bool, count: int, room: int) -> list[str]:
    """Names that fit `room` pixels: words, or a run of months, years or quarters."""
    rng, words = scene.rng, scene.words
    first, year = rng.randint(0, 12 - count), rng.randint(1985, 2026)
    runs = [
        [f"{i + 1}月" if chinese else MONTHS[i] for i in range(first, first + count)],
        [str(year + i) for i in range(count)],
        [f"{'第' if chinese else 'Q'}{i + 1}{'季' if chinese else ''}" for i in range(count)],
        [*"ABCDEFGH"[:count]],
    ]
    run = rng.choice(runs)
    if rng.random() < 0.25 and max(map(font.width, run)) <= room:
        return run
    taken: set[str] = set()

    def label() -> str:
        while True:
            text = words.zh(1, 4) if chinese else words.short(rng.randint(3, 9)).capitalize()
            if font.width(text) <= max(room, 3 * font.size):
                return text

    return [unique(label, taken) for _ in range(count)]


def _shares(scene: Scene, count: int) -> list[float]:
    """Whole percentages of at least 5 that make 100."""
    cuts = sorted(scene.rng.sample(range(1, 20), count - 1))
    shares = [5.0 * (b - a) for a, b in zip([0, *cuts], [*cuts, 20], strict=True)]
    for _ in range(count):  # away from round numbers, in pairs so that the sum stays
        i, j = scene.rng.randrange(count), scene.rng.randrange(count)
        moved = float(scene.rng.randint(0, 2))
        if i != j and shares[i] - moved >= 5:
            shares[i], shares[j] = shares[i] - moved, shares[j] + moved
    return shares


def ask_chart(scene: Scene, chart: Chart) -> None:
    kind = scene.say(*KINDS[chart.kind])
    titled = scene.say(f' titled "{chart.title}"', f"“{chart.title}”") if chart.title else ""
    if len(chart.series) > 1:
        _ask_series(scene, chart, kind, titled)
        return
    rng, values = scene.rng, chart.values
    numbers = {name: int(value) if value == int(value) else value for name, value in values.items()}
    answer = json.dumps(numbers, ensure_ascii=False)
    scene.ask("chart_values", "chart_values", answer, {"values": numbers}, 2.0)
    for name in rng.sample(list(values), min(3, len(values))):
        scene.ask("chart_value", "chart_value", plain(values[name]), {"value": numbers[name]}, 0.8, label=name)
    ranked = sorted(values, key=values.__getitem__)
    whole = 100 if chart.kind in ("pie", "ring") else chart.top
    for key, name, next_name in (("chart_lowest", ranked[0], ranked[1]), ("chart_highest", ranked[-1], ranked[-2])):
        if abs(values[name] - values[next_name]) >= CLEARLY * whole:
            scene.ask("chart_which", key, name, {"value": name}, 1.0)
    text = scene.say(f"A {kind}{titled} with {len(values)} values.", f"一张有{len(values)}个数值的{kind}{titled}。")
    scene.ask("describe", "describe", text, {"text": text}, 0.5)


def _ask_series(scene: Scene, chart: Chart, kind: str, titled: str) -> None:
    rng = scene.rng
    cells = [(name, i) for name in chart.series for i in range(len(chart.labels))]
    for name, i in rng.sample(cells, min(4, len(cells))):
        value, label = chart.series[name][i], chart.labels[i]
        number = int(value) if value == int(value) else value
        what = scene.say(f"{name} in {label}", f"{label}的{name}")
        scene.ask("chart_value", "chart_value", plain(value), {"value": number}, 1.0, label=what)
    text = scene.say(
        f"A {kind}{titled} with {len(chart.series)} series of {len(chart.labels)} values.",
        f"一张有{len(chart.series)}组、每组{len(chart.labels)}个数值的{kind}{titled}。",
    )
    scene.ask("describe", "describe", text, {"text": text}, 0.5)
