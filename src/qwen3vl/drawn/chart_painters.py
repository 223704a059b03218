"""How each kind of chart is painted on its axes: columns, bars, lines, areas, dots; pies and rings without any."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from qwen3vl.drawn.canvas import Color
from qwen3vl.drawn.chart_drawing import Brush, Chart, plain
from qwen3vl.drawn.paper import blend, text_on

WITHOUT_NUMBERS = 0.4  # how many axes have none, where the values are printed


def _numbered(brush: Brush, chart: Chart) -> bool:
    """Whether the axis needs numbers."""
    return not brush.look.printed or len(chart.series) > 1 or brush.scene.rng.random() > WITHOUT_NUMBERS


def _columns(brush: Brush, chart: Chart) -> None:
    axis, (left, _, right, bottom) = brush.upright_axis(chart, _numbered(brush, chart))
    slot, count = (right - left) / len(chart.labels), len(chart.series)
    fills = brush.fills(count, apart=True) if count > 1 else brush.fills(len(chart.labels))
    share = brush.scene.rng.uniform(0.45, 0.85)
    half = max(4, round(slot * share / 2 / count))
    for i, label in enumerate(chart.labels):
        middle = round(left + slot * (i + 0.5))
        brush.middle(middle, bottom + 4 + brush.font.height // 2, label)
        for j, values in enumerate(chart.series.values()):
            x = middle + (2 * j - count + 1) * half
            y = axis.at(values[i])
            fill = fills[j] if count > 1 else fills[i]
            brush.bar((x - half, y, x + half, bottom), fill)
            if count == 1 and brush.look.printed:
                _number(brush, x, y, values[i], fill, bottom - y > brush.font.height + 4, 2 * half)
    _legend(brush, chart, fills)


def _number(brush: Brush, x: int, y: int, value: float, fill: Color, deep: bool, wide: int) -> None:
    """A printed value above (x, y), or below it in a bar that has room."""
    text, half = plain(value), brush.font.height // 2
    if brush.look.numbers == "inside" and deep and brush.font.width(text) < wide - 2:
        brush.middle(x, y + half + 3, text, text_on(fill))
    else:
        brush.middle(x, y - half - 2, text)


def _legend(brush: Brush, chart: Chart, fills: list[Color]) -> None:
    if len(chart.series) > 1:
        brush.swatches(brush.box[0] + 30, brush.box[1] - 3, list(chart.series), fills)


def _bars(brush: Brush, chart: Chart) -> None:
    axis, (left, top, _, bottom) = brush.level_axis(chart, _numbered(brush, chart))
    slot, fills = (bottom - top) / len(chart.labels), brush.fills(len(chart.labels))
    half = max(4, round(slot * brush.scene.rng.uniform(0.4, 0.85) / 2))
    for i, (label, value) in enumerate(chart.values.items()):
        middle, x, text = round(top + slot * (i + 0.5)), axis.at(value), plain(value)
        at = left - 6 - brush.font.width(label)
        brush.canvas.text(at, middle - brush.font.height // 2, label, brush.font, brush.ink)
        brush.bar((left, middle - half, x, middle + half), fills[i])
        if not brush.look.printed:
            continue
        wide = brush.font.width(text)
        if brush.look.numbers == "inside" and x - left > wide + 8 and 2 * half >= brush.font.height - 2:
            brush.middle(x - 4 - wide // 2, middle, text, text_on(fills[i]))
        else:
            brush.middle(x + 4 + wide // 2, middle, text)


def _lines(brush: Brush, chart: Chart) -> None:
    """Lines through the values, or the area below one, or a dot on a stem for each."""
    axis, (left, _, right, bottom) = brush.upright_axis(chart, _numbered(brush, chart))
    rng, slot = brush.scene.rng, (right - left) / len(chart.labels)
    fills = brush.fills(len(chart.series), apart=len(chart.series) > 1)
    xs = [round(left + slot * (i + 0.5)) for i in range(len(chart.labels))]
    width, radius = rng.choice((1, 2, 2, 3)), rng.randint(2, 4)
    for x, label in zip(xs, chart.labels, strict=True):
        brush.middle(x, bottom + 4 + brush.font.height // 2, label)
    for fill, values in zip(fills, chart.series.values(), strict=True):
        points = [(x, axis.at(value)) for x, value in zip(xs, values, strict=True)]
        if chart.kind == "area":
            soft = blend(brush.canvas.background, fill, 0.5)
            brush.canvas.draw.polygon([(xs[0], bottom), *points, (xs[-1], bottom)], soft)
        if chart.kind == "dots":
            radius = rng.randint(3, 6)
            for x, y in points:
                brush.canvas.draw.line((x, bottom, x, y), fill, width)
        else:
            brush.canvas.draw.line(points, fill, width)
        for x, y in points:
            spot = (x - radius, y - radius, x + radius, y + radius)
            if brush.look.edges == "outlined":
                brush.canvas.draw.rectangle(spot, fill, brush.ink)
            else:
                brush.canvas.draw.ellipse(spot, fill)
        if brush.look.printed and len(chart.series) == 1:
            _numbers(brush, chart, points, radius, bottom)
    _legend(brush, chart, fills)


def _numbers(brush: Brush, chart: Chart, points: list[tuple[int, int]], radius: int, bottom: int) -> None:
    """The values at the points of a line, above it, or in a valley below it."""
    half = brush.font.height // 2
    for i, ((x, y), value) in enumerate(zip(points, chart.values.values(), strict=True)):
        valley = chart.kind == "line" and all(y > other for _, other in points[max(0, i - 1) : i + 2] if other != y)
        below = y + radius + half + 1
        brush.middle(x, below if valley and below + half < bottom else y - radius - half - 2, plain(value))


def _pie(brush: Brush, chart: Chart) -> None:
    """Slices with a legend at the right or below; percentages in the legend, or in slices that are wide enough."""
    rng, canvas, (left, top, right, bottom) = brush.scene.rng, brush.canvas, brush.box
    values, fills = chart.values, brush.fills(len(chart.labels), apart=True)
    inside = brush.look.numbers == "inside" and chart.kind == "pie" and min(values.values()) >= 10
    texts = [name if inside else f"{name} {plain(value)}%" for name, value in values.items()]
    step, wide = brush.font.height + 3, right - left > bottom - top
    across = right - left - max(map(brush.font.width, texts)) - 40 if wide else right - left - 20
    radius = max(24, min(across, bottom - top - 6 - (0 if wide else step * len(texts) + 8)) // 2)
    x, y = (left + 8 + radius if wide else (left + right) // 2), top + 2 + radius
    angle = float(rng.choice((-90, -90, 0, rng.randint(0, 359))))
    disc = (x - radius, y - radius, x + radius, y + radius)
    line_x, line_y = (x + radius + 14, top + 4) if wide else (left + 10, y + radius + 8)
    for text, value, fill in zip(texts, values.values(), fills, strict=True):
        canvas.draw.pieslice(disc, angle, angle + value * 3.6, fill, brush.ink)
        canvas.rectangle((line_x, line_y + 3, line_x + 11, line_y + 14), fill)
        canvas.text(line_x + 17, line_y, text, brush.font, brush.ink)
        if inside:
            middle = math.radians(angle + value * 1.8)
            spot = round(x + 0.66 * radius * math.cos(middle)), round(y + 0.66 * radius * math.sin(middle))
            brush.middle(*spot, f"{plain(value)}%", text_on(fill))
        angle += value * 3.6
        line_y += step
    if chart.kind == "ring":
        hole = round(radius * rng.uniform(0.4, 0.65))
        canvas.draw.ellipse((x - hole, y - hole, x + hole, y + hole), canvas.background, brush.ink)


PAINTERS: Mapping[str, Callable[[Brush, Chart], None]] = {
    "columns": _columns,
    "bars": _bars,
    "line": _lines,
    "area": _lines,
    "dots": _lines,
    "pie": _pie,
    "ring": _pie,
}
