"""What charts are painted with: their data, look and brush, the axes with lines across, the legend."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

from qwen3vl.drawn.canvas import Box, Canvas, Color
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.paper import accent, blend
from qwen3vl.drawn.scene import Scene

FROM_GROUND = 80  # least distance of a fill from the ground, in RGB


@dataclass(frozen=True)
class Chart:
    """`series` are names with values for each of `labels`; one series without a name, unless there are two."""

    kind: str
    title: str
    labels: list[str]
    series: dict[str, list[float]]
    step: int
    ticks: int

    @property
    def top(self) -> int:
        """The end of the axis."""
        return self.step * self.ticks

    @property
    def values(self) -> dict[str, float]:
        """The labels with their values, where there is one series."""
        (values,) = self.series.values()
        return dict(zip(self.labels, values, strict=True))


@dataclass(frozen=True)
class Look:
    kind: str
    grid: str
    numbers: str
    frame: str
    colors: str
    title: str
    edges: str

    @property
    def printed(self) -> bool:
        """Whether the values of a single series stand in the chart as numbers."""
        return self.numbers != "none"


@dataclass(frozen=True)
class Axis:
    """From values to pixels: `zero` is where the axis starts, `end` where its last tick stands."""

    zero: int
    end: int
    top: int

    def at(self, value: float) -> int:
        return self.zero + round((self.end - self.zero) * value / self.top)


def plain(value: float) -> str:
    """A number without a needless `.0`."""
    return str(int(value)) if value == int(value) else f"{value:.1f}"


@dataclass(frozen=True)
class Brush:
    """What painting needs: the canvas, the box to stay in, font, ink and look."""

    scene: Scene
    canvas: Canvas
    box: Box
    font: Font
    ink: Color
    look: Look

    def middle(self, x: int, y: int, text: str, color: Color | None = None) -> None:
        """Writes `text` with its middle at (x, y)."""
        self.canvas.text(x - self.font.width(text) // 2, y - self.font.height // 2, text, self.font, color or self.ink)

    def fills(self, count: int, *, apart: bool = False) -> list[Color]:
        """Colours that are seen well on the ground; with `apart` they are told from each other too."""
        first = accent(self.scene, self.canvas.background)
        if self.look.colors == "one" and not apart:
            return [first] * count
        if self.look.colors == "shades" and not apart:
            return [blend(first, self.canvas.background, 0.4 * i / count) for i in range(count)]
        start, saturation = self.scene.rng.random(), self.scene.rng.uniform(0.45, 0.95)
        return [self._of_hue(start + i / count, saturation) for i in range(count)]

    def _of_hue(self, hue: float, saturation: float) -> Color:
        while True:
            value = self.scene.rng.uniform(0.35, 0.95)
            red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue % 1, saturation, value))
            if math.dist((red, green, blue), self.canvas.background) > FROM_GROUND:
                return red, green, blue

    def bar(self, box: Box, fill: Color) -> None:
        radius = 4 if self.look.edges == "rounded" and min(box[2] - box[0], box[3] - box[1]) > 9 else 0
        self.canvas.rectangle(box, fill, self.ink if self.look.edges == "outlined" else None, radius=radius)

    def swatches(self, x: int, y: int, names: Sequence[str], fills: Sequence[Color]) -> None:
        """The legend of two series: swatches and names beside each other."""
        side = self.font.ascent - 2
        for name, fill in zip(names, fills, strict=True):
            self.canvas.rectangle((x, y + 3, x + side, y + 3 + side), fill)
            self.canvas.text(x + side + 5, y, name, self.font, self.ink)
            x += side + 17 + self.font.width(name)

    def upright_axis(self, chart: Chart, numbered: bool) -> tuple[Axis, Box]:
        """Draws the axis of values at the left with its lines; returns it, and the box that the values stand in."""
        left, top, right, bottom = self.box
        left += self.font.width(str(chart.top)) + 6 if numbered else 2
        bottom -= self.font.height + 4
        top += self.font.height + 2 if self.look.printed or len(chart.series) > 1 else self.font.height // 2
        axis = Axis(bottom, top, chart.top)
        for tick in range(chart.ticks + 1):
            y, number = axis.at(tick * chart.step), str(tick * chart.step)
            if numbered:
                at = left - 5 - self.font.width(number)
                self.canvas.text(at, y - self.font.height // 2, number, self.font, self.ink)
                self.canvas.draw.line((left - 2, y, left, y), self.ink)
                self._line((left, y), (right, y))
        self._frame((left, top, right, bottom))
        return axis, (left, top, right, bottom)

    def level_axis(self, chart: Chart, numbered: bool) -> tuple[Axis, Box]:
        """The same with values to the right and the labels at the left."""
        left, top, right, bottom = self.box
        left += max(map(self.font.width, chart.labels)) + 8
        right -= self.font.width(plain(chart.top)) + 4
        bottom -= self.font.height + 4 if numbered else 0
        axis = Axis(left, right, chart.top)
        for tick in range(chart.ticks + 1):
            x, number = axis.at(tick * chart.step), str(tick * chart.step)
            if numbered:
                self.middle(x, bottom + 4 + self.font.height // 2, number)
                self.canvas.draw.line((x, bottom, x, bottom + 2), self.ink)
                self._line((x, top), (x, bottom))
        self._frame((left, top, right, bottom))
        return axis, (left, top, right, bottom)

    def _line(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """One of the lines across the chart."""
        faint = blend(self.canvas.background, self.ink, 0.22)
        if self.look.grid == "lines":
            self.canvas.draw.line((start, end), faint)
        elif self.look.grid == "dotted":
            across = end[0] > start[0]
            for offset in range(0, (end[0] - start[0]) + (end[1] - start[1]), 6):
                x, y = (start[0] + offset, start[1]) if across else (start[0], start[1] + offset)
                self.canvas.draw.line((x, y, x + 2 * across, y + 2 * (not across)), faint)

    def _frame(self, box: Box) -> None:
        left, top, right, bottom = box
        level = self.look.kind == "bars"
        if self.look.frame == "box":
            self.canvas.rectangle((left, top, right + 1, bottom + 1), None, self.ink)
        if self.look.frame == "corner" or (self.look.frame == "base" and not level):
            self.canvas.draw.line((left, bottom, right, bottom), self.ink)
        if self.look.frame == "corner" or (self.look.frame == "base" and level):
            self.canvas.draw.line((left, top, left, bottom), self.ink)
