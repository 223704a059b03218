"""Family `charts`: bars, columns, lines and pies. All values as JSON, one value, the highest and the lowest.

A value is either printed, or lies on half a step of the axis, so that it can be read exactly.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from qwen3vl.drawn.canvas import Canvas, Color
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.tables import CHINESE_DOCUMENTS, unique
from qwen3vl.drawn.text import ink_and_ground

PALETTES: tuple[tuple[Color, ...], ...] = (
    ((66, 120, 190), (230, 130, 50), (80, 160, 80), (200, 70, 70), (140, 110, 180), (130, 90, 70)),
    ((0, 150, 170), (250, 180, 40), (220, 70, 90), (110, 180, 60), (90, 90, 160), (240, 120, 60)),
    ((90, 140, 200),) * 6,
)
HELD_OUT_PALETTES: tuple[tuple[Color, ...], ...] = (
    ((60, 130, 120), (210, 110, 140), (170, 160, 60), (90, 100, 190), (190, 90, 50), (110, 160, 200)),
)
STEPS = (1, 2, 5, 10, 20, 25, 50, 100)
KINDS = {
    "column": ("column chart", "柱状图"),
    "bar": ("bar chart", "条形图"),
    "line": ("line chart", "折线图"),
    "pie": ("pie chart", "饼图"),
}
TICKS = 4


@dataclass(frozen=True)
class Chart:
    kind: str
    title: str
    values: dict[str, float]
    step: int
    printed: bool

    @property
    def top(self) -> int:
        """The end of the axis."""
        return self.step * TICKS


def plain(value: float) -> str:
    """A number without a needless `.0`."""
    return str(int(value)) if value == int(value) else f"{value:.1f}"


def new_chart(scene: Scene, font: Font, chinese: bool) -> Chart:
    rng, words = scene.rng, scene.words
    kind = rng.choice(("column", "column", "bar", "line", "pie"))
    printed = kind == "pie" or rng.random() < 0.6
    count = rng.randint(2, 5 if scene.size[0] < 320 else 6)
    taken: set[str] = set()
    room = (scene.size[0] - 60) // count - 6 if kind in ("column", "line") else 64

    def label() -> str:
        while True:
            text = words.zh(1, 3) if chinese else words.short(rng.randint(3, 7)).capitalize()
            if font.width(text) <= room:
                return text

    names = [unique(label, taken) for _ in range(count)]
    step = rng.choice(STEPS)
    if kind == "pie":
        values = _shares(scene, count)
    elif printed:
        values = [rng.randint(1, step * TICKS * 10) / 10 if step < 5 else rng.randint(1, step * TICKS) for _ in names]
    else:
        values = [rng.randint(1, 2 * TICKS) * step / 2 for _ in names]
    title = (words.zh(2, 5) if chinese else words.phrase(1, 2)) if rng.random() < 0.7 else ""
    return Chart(kind, title, dict(zip(names, values, strict=True)), step, printed)


def _shares(scene: Scene, count: int) -> list[float]:
    """Whole percentages of at least 5 that make 100."""
    cuts = sorted(scene.rng.sample(range(1, 20), count - 1))
    return [5.0 * (b - a) for a, b in zip([0, *cuts], [*cuts, 20], strict=True)]


def charts(scene: Scene) -> None:
    rng = scene.rng
    chinese = rng.random() < CHINESE_DOCUMENTS
    ink, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    size = 15 if chinese else rng.randint(12, 13)
    font = scene.font(size, chinese=chinese, style="sans", bold=False)
    bold = scene.font(size + 2, chinese=chinese, bold=True)
    chart = new_chart(scene, font, chinese)
    y = 6
    if chart.title:
        canvas.text(max(4, (canvas.width - bold.width(chart.title)) // 2), y, chart.title, bold, ink)
        y += bold.height + 2
    colors = scene.pick(PALETTES, HELD_OUT_PALETTES)
    if chart.kind == "pie" and len(set(colors)) == 1:
        colors = PALETTES[0]
    painter = {"column": _columns, "bar": _bars, "line": _columns, "pie": _pie}[chart.kind]
    painter(scene, canvas, chart, y + 4, font, ink, colors)
    scene.keep(canvas)
    ask_chart(scene, chart)


def _grid(canvas: Canvas, ink: Color) -> Color:
    r, g, b = (round(c * 0.8 + i * 0.2) for c, i in zip(canvas.background, ink, strict=True))
    return r, g, b


def _columns(
    scene: Scene, canvas: Canvas, chart: Chart, top: int, font: Font, ink: Color, colors: tuple[Color, ...]
) -> None:
    """Columns, or a line through their tops, over named places on the x axis."""
    left, right, bottom = 12 + font.width(str(chart.top)), canvas.width - 8, canvas.height - font.height - 8
    high = bottom - top - font.height
    for tick in range(TICKS + 1):
        y = bottom - high * tick // TICKS
        number = str(tick * chart.step)
        canvas.text(left - 5 - font.width(number), y - font.height // 2, number, font, ink)
        canvas.draw.line((left, y, right, y), ink if tick == 0 else _grid(canvas, ink))
    if scene.rng.random() < 0.6:
        canvas.draw.line((left, top, left, bottom), ink)
    slot = (right - left) // len(chart.values)
    points = []
    for i, (name, value) in enumerate(chart.values.items()):
        middle, y = left + slot * i + slot // 2, bottom - round(high * value / chart.top)
        points.append((middle, y))
        canvas.text(middle - font.width(name) // 2, bottom + 4, name, font, ink)
        if chart.kind == "column":
            half = max(5, slot // 3)
            canvas.rectangle((middle - half, y, middle + half, bottom), colors[i])
    if chart.kind == "line":
        canvas.draw.line(points, colors[0], 2)
        for x, y in points:
            canvas.draw.ellipse((x - 3, y - 3, x + 3, y + 3), colors[0])
    for (x, y), value in zip(points if chart.printed else [], chart.values.values(), strict=False):
        canvas.text(x - font.width(plain(value)) // 2, y - font.height - 2, plain(value), font, ink)


def _bars(
    scene: Scene, canvas: Canvas, chart: Chart, top: int, font: Font, ink: Color, colors: tuple[Color, ...]
) -> None:
    """Bars to the right, named at the left."""
    left, bottom = 14 + max(map(font.width, chart.values)), canvas.height - font.height - 8
    right = canvas.width - 12 - font.width(str(chart.top))
    wide = right - left
    for tick in range(TICKS + 1):
        x = left + wide * tick // TICKS
        canvas.draw.line((x, top, x, bottom), ink if tick == 0 else _grid(canvas, ink))
        number = str(tick * chart.step)
        canvas.text(x - font.width(number) // 2, bottom + 4, number, font, ink)
    slot = (bottom - top) // len(chart.values)
    for i, (name, value) in enumerate(chart.values.items()):
        middle, x = top + slot * i + slot // 2, left + round(wide * value / chart.top)
        canvas.text(left - 6 - font.width(name), middle - font.height // 2, name, font, ink)
        half = max(4, min(slot // 3, 16))
        canvas.rectangle((left, middle - half, x, middle + half), colors[i])
        if chart.printed:
            canvas.text(x + 4, middle - font.height // 2, plain(value), font, ink)


def _pie(
    scene: Scene, canvas: Canvas, chart: Chart, top: int, font: Font, ink: Color, colors: tuple[Color, ...]
) -> None:
    """Slices, named with their percentages in a legend at the right or below."""
    wide = canvas.width > canvas.height
    legend = len(chart.values) * (font.height + 3) + 8
    across = canvas.width // 2 - 10 if wide else canvas.width - 20
    radius = min(across, canvas.height - top - 8 - (0 if wide else legend)) // 2
    x, y = (10 + radius if wide else canvas.width // 2), top + radius
    angle = float(scene.rng.choice((-90, 0)))
    line_x, line_y = (2 * radius + 26, top + 4) if wide else (20, top + 2 * radius + 8)
    for (name, value), color in zip(chart.values.items(), colors, strict=False):
        end = angle + value * 3.6
        canvas.draw.pieslice((x - radius, y - radius, x + radius, y + radius), angle, end, color, ink)
        angle = math.fmod(end, 360)
        canvas.rectangle((line_x, line_y + 3, line_x + 11, line_y + 14), color)
        canvas.text(line_x + 17, line_y, f"{name} {plain(value)}%", font, ink)
        line_y += font.height + 3


def ask_chart(scene: Scene, chart: Chart) -> None:
    rng, values = scene.rng, chart.values
    numbers = {name: int(value) if value == int(value) else value for name, value in values.items()}
    answer = json.dumps(numbers, ensure_ascii=False)
    scene.ask("chart_values", "chart_values", answer, {"values": numbers}, 2.0)
    for name in rng.sample(list(values), min(2, len(values))):
        scene.ask("chart_value", "chart_value", plain(values[name]), {"value": numbers[name]}, 1.0, label=name)
    ranked = sorted(values, key=lambda name: values[name])
    for key, name, next_name in (("chart_lowest", ranked[0], ranked[1]), ("chart_highest", ranked[-1], ranked[-2])):
        if values[name] != values[next_name]:
            scene.ask("chart_which", key, name, {"value": name}, 0.7)
    kind = scene.say(*KINDS[chart.kind])
    titled = scene.say(f' titled "{chart.title}"', f"“{chart.title}”") if chart.title else ""
    text = scene.say(f"A {kind}{titled} with {len(values)} values.", f"一张有{len(values)}个数值的{kind}{titled}。")
    scene.ask("describe", "describe", text, {"text": text}, 0.5)
