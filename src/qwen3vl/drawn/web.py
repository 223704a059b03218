"""Family `web`: small pages as a browser lays them out, and the HTML that makes them.

Margins, sizes and list marks follow a browser's defaults at a font size of 12 to 16 pixels. The answer holds nothing
that cannot be seen: tags, texts, and the colours and centring that were drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from qwen3vl.drawn.canvas import Canvas, Color
from qwen3vl.drawn.fonts import Face, Font, Style, font
from qwen3vl.drawn.interface import BUTTONS, FIELDS, PLACES
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.tables import column_widths

CHINESE_PAGES = 0.3
MARGIN = 8  # of the body, in every browser
CSS: dict[str, Color] = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
    "navy": (0, 0, 128),
    "red": (255, 0, 0),
    "green": (0, 128, 0),
    "blue": (0, 0, 255),
    "teal": (0, 128, 128),
    "orange": (255, 165, 0),
    "purple": (128, 0, 128),
    "brown": (165, 42, 42),
    "beige": (245, 245, 220),
    "lavender": (230, 230, 250),
    "lightblue": (173, 216, 230),
    "lightgreen": (144, 238, 144),
    "pink": (255, 192, 203),
}
GROUNDS = ("white", "white", "white", "beige", "lavender", "lightblue", "lightgreen", "pink", "black", "navy")
DARK = {"black", "navy"}
INKS = ("navy", "red", "green", "blue", "teal", "purple", "brown")
LIGHT_INKS = ("orange", "pink", "lightblue", "lightgreen", "beige")
LINK: Color = (0, 0, 238)
LINE: Color = (118, 118, 118)
PLAIN_BUTTON: Color = (239, 239, 239)


@dataclass
class Page:
    """A page while it is laid out: the canvas, the pen's y, the HTML lines so far."""

    scene: Scene
    canvas: Canvas
    chinese: bool
    base: int  # font size of running text
    face: Face
    bold_face: Face
    ink: Color
    dark: bool
    y: int = 0
    gap: int = MARGIN  # margin below the last element, the body's at first: two neighbours share the larger one
    html: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)

    @property
    def width(self) -> int:
        return self.canvas.width - 2 * MARGIN

    def font(self, scale: float = 1.0, *, bold: bool = False) -> Font:
        return font(self.bold_face if bold else self.face, round(self.base * scale))

    def words(self, low: int, high: int) -> str:
        words = self.scene.words
        return words.zh(low + 1, high + 2) if self.chinese else words.phrase(low, high)

    def label(self, stock: tuple[tuple[str, str], ...]) -> str:
        return self.scene.rng.choice(stock)[self.chinese] if self.scene.rng.random() < 0.5 else self.words(1, 2)

    def color(self) -> tuple[str, Color] | None:
        """A colour that stands out on this page, or None for the page's own."""
        if self.scene.rng.random() < 0.65:
            return None
        name = self.scene.rng.choice(LIGHT_INKS if self.dark else INKS)
        return name, CSS[name]

    def open(self, margin: int, height: int) -> bool:
        """Moves the pen below the last element; False, and nothing moved, where `height` does not fit any more."""
        top = self.y + max(self.gap, margin)
        if top + height > self.canvas.height - 3:
            return False
        self.y = top
        return True

    def close(self, tag: str, html: str, height: int, margin: int) -> None:
        self.y += height
        self.gap = margin
        self.tags.append(tag)
        self.html.append(html)


def wrap(text: str, font: Font, width: int, *, chinese: bool) -> list[str]:
    """The lines of a paragraph: broken at spaces, or in Chinese anywhere."""
    lines, line = [], ""
    for piece in text if chinese else text.split(" "):
        longer = f"{line}{piece}" if chinese else f"{line} {piece}".strip()
        if line and font.width(longer) > width:
            lines.append(line)
            line = piece
        else:
            line = longer
    return [*lines, line]


def _heading(page: Page) -> bool:
    tag, scale, margin = ("h1", 2.0, 1.34) if "h1" not in page.tags else ("h2", 1.5, 1.25)
    font, color = page.font(scale, bold=True), page.color()
    text = page.words(1, 2)
    if font.width(text) > page.width:
        text = page.words(1, 1)
    lines = wrap(text, font, page.width, chinese=page.chinese)
    if len(lines) > 1 or font.width(text) > page.width or not page.open(round(page.base * margin), font.height):
        return False
    middle = tag == "h1" and page.scene.rng.random() < 0.3
    x = (page.canvas.width - font.width(text)) // 2 if middle else MARGIN
    page.canvas.text(x, page.y, text, font, color[1] if color else page.ink)
    rules = [f"color: {color[0]}"] if color else []
    rules += ["text-align: center"] if middle else []
    attribute = f' style="{"; ".join(rules)}"' if rules else ""
    page.close(tag, f"<{tag}{attribute}>{escape(text, quote=False)}</{tag}>", font.height, round(page.base * margin))
    return True


def _paragraph(page: Page) -> bool:
    words = page.scene.words
    font = page.font()
    text = words.zh_sentence(5, 22) if page.chinese else words.sentence(3, 11)
    lines = wrap(text, font, page.width, chinese=page.chinese)
    if not page.open(page.base, font.height * len(lines)):
        return False
    for i, line in enumerate(lines):
        page.canvas.text(MARGIN, page.y + i * font.height, line, font, page.ink)
    page.close("p", f"<p>{escape(text, quote=False)}</p>", font.height * len(lines), page.base)
    return True


def _button(page: Page) -> bool:
    font, text = page.font(0.9), page.label(BUTTONS)
    width, height = font.width(text) + 14, font.height + 6
    if width > page.width or not page.open(2, height):
        return False
    colored = page.scene.rng.random() < 0.5
    name = page.scene.rng.choice(("navy", "red", "green", "blue", "teal", "purple", "brown", "black"))
    box = (MARGIN, page.y, MARGIN + width, page.y + height)
    page.canvas.rectangle(box, CSS[name] if colored else PLAIN_BUTTON, LINE, radius=3)
    page.canvas.text_middle(box, text, font, CSS["white"] if colored else CSS["black"])
    attribute = f' style="background: {name}; color: white"' if colored else ""
    page.close("button", f"<button{attribute}>{escape(text, quote=False)}</button><br>", height, 2)
    return True


def _input(page: Page) -> bool:
    font, text = page.font(0.9), page.label(FIELDS)
    width, height = min(page.width, 12 * page.base), font.height + 6
    if font.width(text) > width - 8 or not page.open(2, height):
        return False
    page.canvas.rectangle((MARGIN, page.y, MARGIN + width, page.y + height), CSS["white"], LINE)
    page.canvas.text(MARGIN + 4, page.y + 3, text, font, (117, 117, 117))
    page.close("input", f'<input placeholder="{escape(text)}"><br>', height, 2)
    return True


def _list(page: Page) -> bool:
    font, count = page.font(), page.scene.rng.randint(2, 4)
    ordered = page.scene.rng.random() < 0.3
    texts = [page.words(1, 2) for _ in range(count)]
    if max(map(font.width, texts)) > page.width - 40 or not page.open(page.base, font.height * count):
        return False
    for i, text in enumerate(texts):
        y = page.y + i * font.height
        if ordered:
            page.canvas.text(MARGIN + 36 - font.width(f"{i + 1}. "), y, f"{i + 1}.", font, page.ink)
        else:
            dot = (MARGIN + 25, y + font.height // 2 - 2, MARGIN + 30, y + font.height // 2 + 3)
            page.canvas.draw.ellipse(dot, page.ink)
        page.canvas.text(MARGIN + 40, y, text, font, page.ink)
    tag = "ol" if ordered else "ul"
    lines = [f"<{tag}>", *(f"<li>{escape(text, quote=False)}</li>" for text in texts), f"</{tag}>"]
    page.close(tag, "\n".join(lines), font.height * count, page.base)
    return True


def _link(page: Page) -> bool:
    font, text = page.font(), page.label(PLACES)
    if page.dark or font.width(text) > page.width or not page.open(2, font.height):
        return False
    page.canvas.text(MARGIN, page.y, text, font, LINK)
    under = page.y + font.ascent + 2
    page.canvas.draw.line((MARGIN, under, MARGIN + font.width(text), under), LINK)
    page.close("a", f'<a href="#">{escape(text, quote=False)}</a><br>', font.height, 2)
    return True


def _rule(page: Page) -> bool:
    if page.tags[-1:] == ["hr"] or not page.open(page.base // 2, 2):
        return False
    page.canvas.draw.line((MARGIN, page.y, page.canvas.width - MARGIN, page.y), LINE, 2)
    page.close("hr", "<hr>", 2, page.base // 2)
    return True


def _table(page: Page) -> bool:
    font, bold = page.font(), page.font(bold=True)
    columns = page.scene.rng.randint(2, 3)
    rows = [[page.words(1, 1) for _ in range(columns)]]
    make = page.scene.words.number if page.scene.rng.random() < 0.5 else page.scene.words.price
    rows += [[page.words(1, 1), *(make() for _ in range(columns - 1))] for _ in range(page.scene.rng.randint(1, 3))]
    widths = column_widths(rows, font, bold, padding=5)
    height = (font.height + 4) * len(rows) + 2
    if sum(widths) > page.width or not page.open(2, height):
        return False
    for i, row in enumerate(rows):
        x, y = MARGIN, page.y + i * (font.height + 4)
        for width, cell in zip(widths, row, strict=True):
            page.canvas.rectangle((x, y, x + width + 1, y + font.height + 5), None, LINE)
            used = bold if i == 0 else font
            left = x + (width - used.width(cell)) // 2 if i == 0 else x + 5
            page.canvas.text(left, y + 2, cell, used, page.ink)
            x += width
    cells = [
        "<tr>" + "".join(f"<{tag}>{escape(cell, quote=False)}</{tag}>" for cell in row) + "</tr>"
        for row, tag in zip(rows, ["th", *["td"] * len(rows)], strict=False)
    ]
    page.close("table", "\n".join(['<table border="1">', *cells, "</table>"]), height, 2)
    return True


def _image(page: Page) -> bool:
    """A grey box of which only the size can be told, in steps of 20 pixels of a full-size page."""
    width, height = page.scene.rng.randrange(40, min(200, page.width), 20), page.scene.rng.randrange(40, 100, 20)
    if not page.open(2, height):
        return False
    page.canvas.rectangle((MARGIN, page.y, MARGIN + width, page.y + height), CSS["gray"])
    page.close("div", f'<div style="width: {width}px; height: {height}px; background: gray"></div>', height, 2)
    return True


ELEMENTS = (_heading, _paragraph, _paragraph, _button, _input, _list, _link, _rule, _table, _image)
OPENINGS = (_heading, _heading, _heading, _paragraph, _button, _list, _table, _image)
HELD_OUT_OPENINGS = (_input, _link, _rule)


def web(scene: Scene) -> None:
    rng = scene.rng
    chinese = rng.random() < CHINESE_PAGES
    ground = rng.choice(GROUNDS)
    dark = ground in DARK
    ink = "white" if dark else "black"
    style: Style = rng.choice(("serif", "sans"))
    base = rng.randint(15, 16) if chinese else rng.randint(12, 16)
    plain = scene.font(base, chinese=chinese, style=style, bold=False).face
    bold = scene.font(base, chinese=chinese, style=style, bold=True).face
    page = Page(scene, scene.canvas(CSS[ground]), chinese, base, plain, bold, CSS[ink], dark)
    while not page.tags:  # what stands first tells the splits apart, so it has to fit
        scene.pick(OPENINGS, HELD_OUT_OPENINGS)(page)
    for element in rng.choices(ELEMENTS, k=rng.randint(2, 7)):
        element(page)
    scene.keep(page.canvas)
    _ask(page, ground, ink)


def _ask(page: Page, ground: str, ink: str) -> None:
    scene = page.scene
    body = f'<body style="background: {ground}; color: {ink}">'
    html = "\n".join(["<!DOCTYPE html>", "<html>", body, *page.html, "</body>", "</html>"])
    scene.ask("html", "html", f"```html\n{html}\n```", {"html": html}, 3.0)
    kinds = {tag: page.tags.count(tag) for tag in ("button", "input")}
    names = {"button": ("buttons", "按钮"), "input": ("input fields", "输入框")}
    for tag, count in kinds.items():
        scene.ask("count", "count", str(count), {"count": count}, 0.15, things=scene.say(*names[tag]))
    parts = len(page.tags)
    color = {
        "white": "白色",
        "black": "黑色",
        "navy": "深蓝色",
        "beige": "米色",
        "lavender": "淡紫色",
        "lightblue": "浅蓝色",
    }
    color |= {"lightgreen": "浅绿色", "pink": "粉色"}
    noun = "elements" if parts > 1 else "element"
    text = scene.say(
        f"A web page with {parts} {noun} on a {ground} background.", f"一个{color[ground]}背景的网页，有{parts}个元素。"
    )
    scene.ask("describe", "describe", text, {"text": text}, 0.4)
