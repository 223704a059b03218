"""A web page while it is laid out: where the pen is, how this site looks, and the HTML so far.

Blocks stand below each other in a column from `left` to `right`; a block asks for room with `open`, draws itself, and
tells with `close` what it is. Two neighbours share the larger of their margins, as in a browser.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape

from qwen3vl.drawn.canvas import Canvas, Color
from qwen3vl.drawn.fonts import Face, Font, font
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.themes import BLACK, BROWSER_LINKS, WHITE, mix
from qwen3vl.drawn.widgets import Stock

# What a named colour of the answer may look like: the colour itself, and what sites take in its place.
SHADES: Mapping[str, tuple[Color, ...]] = {
    "white": ((255, 255, 255), (255, 255, 255), (250, 250, 250), (252, 252, 250)),
    "black": ((0, 0, 0), (17, 17, 17), (24, 24, 27)),
    "navy": ((0, 0, 128), (16, 24, 100), (10, 10, 90)),
    "red": ((255, 0, 0), (220, 38, 38), (200, 20, 30)),
    "green": ((0, 128, 0), (22, 140, 50), (40, 150, 40)),
    "blue": ((0, 0, 255), (13, 110, 253), (37, 99, 235)),
    "teal": ((0, 128, 128), (0, 140, 150)),
    "purple": ((128, 0, 128), (111, 50, 180)),
    "orange": ((255, 165, 0), (250, 140, 20)),
    "beige": ((245, 245, 220), (250, 243, 224)),
    "lavender": ((230, 230, 250), (225, 222, 248)),
    "lightblue": ((173, 216, 230), (180, 215, 240)),
    "lightgreen": ((144, 238, 144), (170, 235, 170)),
    "pink": ((255, 192, 203), (255, 205, 215)),
}
GROUNDS = ("white",) * 6 + ("beige", "lavender", "lightblue", "lightgreen", "pink", "black", "navy")
DARK = ("black", "navy")
INKS = ("navy", "red", "green", "blue", "teal", "purple")
LIGHT_INKS = ("orange", "pink", "lightblue", "lightgreen", "beige")
FILLS = (*INKS, "black")  # behind white text


def shade(scene: Scene, name: str) -> Color:
    """One of the colours that are called by this name."""
    return scene.rng.choice(SHADES[name])


@dataclass(frozen=True)
class Site:
    """How a site looks, in all that its HTML does not say. Lengths are in pixels."""

    leading: float  # from line to line, in heights of the font
    margin: float  # between blocks, in font sizes
    large: float  # the first heading, in font sizes
    medium: float  # other headings
    indent: int  # of lists
    bullet: str  # disc, circle, square or dash
    link: Color
    underlined: bool
    table: str  # grid, lines, zebra or plain
    padding: int  # in cells
    fill: bool  # table headers on a tint
    pad: int  # in controls, above and below their text
    radius: int  # of controls
    line: Color
    image: str  # plain, framed or scene
    code: str  # plain or dark

    @classmethod
    def new(cls, scene: Scene, ground: Color, *, dark: bool) -> Site:
        rng = scene.rng
        ink = WHITE if dark else BLACK
        return cls(
            leading=rng.uniform(1.0, 1.35),
            margin=rng.uniform(0.65, 1.2),
            large=rng.choice((1.5, 1.75, 2.0, 2.0)),
            medium=rng.choice((1.2, 1.35, 1.5)),
            indent=rng.randint(18, 40),
            bullet=rng.choice(("disc", "disc", "circle", "square", "dash")),
            link=mix(WHITE, (80, 140, 255), rng.uniform(0.3, 0.6)) if dark else rng.choice(BROWSER_LINKS),
            underlined=dark or rng.random() < 0.7,
            table=rng.choice(("grid", "grid", "lines", "zebra", "plain")),
            padding=rng.randint(3, 9),
            fill=rng.random() < 0.4,
            pad=rng.randint(2, 7),
            radius=rng.choice((0, 3, 3, 6, 12)),
            line=mix(ground, ink, rng.uniform(0.35, 0.7)),
            image=rng.choice(("plain", "framed", "scene")),
            code=rng.choice(("plain", "dark")),
        )


@dataclass
class Page:
    scene: Scene
    canvas: Canvas
    site: Site
    chinese: bool
    base: int  # font size of running text
    face: Face
    bold_face: Face
    mono_face: Face
    ink: Color
    dark: bool
    left: int
    right: int
    bottom: int
    y: int = 0
    gap: int = 0  # the margin below the last block
    inner: bool = False  # in a column or a card
    html: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    title: str = ""  # the first heading

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def margin(self) -> int:
        return round(self.base * self.site.margin)

    def font(self, scale: float = 1.0, *, bold: bool = False) -> Font:
        size = round(self.base * scale)
        return font(self.bold_face if bold else self.face, size if size < 19 else size // 2 * 2)

    def pitch(self, font: Font) -> int:
        return round(font.height * self.site.leading)

    # --- words ---

    def words(self, low: int, high: int) -> str:
        words = self.scene.words
        return words.zh(low + 1, high + 2) if self.chinese else words.phrase(low, high)

    def label(self, stock: Stock) -> str:
        return self.scene.rng.choice(stock)[self.chinese] if self.scene.rng.random() < 0.5 else self.words(1, 2)

    def shade(self, name: str) -> Color:
        return shade(self.scene, name)

    # --- layout ---

    def open(self, margin: int, height: int) -> bool:
        """Moves the pen below the last block; False, and nothing moved, where `height` does not fit any more."""
        top = self.y + max(self.gap, margin)
        if top + height > self.bottom:
            return False
        self.y = top
        return True

    def close(self, kind: str, html: str, height: int, margin: int) -> None:
        self.y += height
        self.gap = margin
        self.kinds.append(kind)
        self.html.append(html)

    @contextmanager
    def column(self, left: int, right: int) -> Iterator[list[str]]:
        """Lays out what follows in a narrower column from the pen down, and gives its HTML; the pen stays below."""
        outer = (self.left, self.right, self.html, self.kinds, self.gap, self.inner)
        self.left, self.right, self.html, self.kinds, self.gap, self.inner = left, right, [], [], 0, True
        yield self.html
        self.left, self.right, self.html, self.kinds, self.gap, self.inner = outer


def element(tag: str, text: str, *rules: str) -> str:
    """`<tag style="...">text</tag>`, the text escaped."""
    return f"<{tag}{style(*rules)}>{escape(text, quote=False)}</{tag}>"


def style(*rules: str) -> str:
    return f' style="{"; ".join(rules)}"' if rules else ""
