"""Blocks of a web page that are read: headings, paragraphs, lists, tables, quotes, code, pictures, rules.

Each draws itself below the last block if it fits, and says whether it did.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from qwen3vl.drawn import flow
from qwen3vl.drawn.canvas import Color
from qwen3vl.drawn.flow import Piece
from qwen3vl.drawn.fonts import Font, font
from qwen3vl.drawn.interface import PLACES
from qwen3vl.drawn.page import INKS, LIGHT_INKS, Page, element
from qwen3vl.drawn.themes import mix

SEEN_OFF_CENTRE = 50  # pixels of free room from which a centred line is told from one at the left
IMAGE_STEP = 40  # pixels in which an answer gives the size of a picture


def heading(page: Page) -> bool:
    tag = "h3" if page.inner else "h2" if page.title else "h1"
    scale = {"h1": page.site.large, "h2": page.site.medium, "h3": 1.15 if page.bold_face.bold else 1.3}[tag]
    rng, used = page.scene.rng, page.font(scale, bold=True)
    text = page.words(1, 2)
    if used.width(text) > page.width:
        text = page.words(1, 1)
    margin = round(used.size * 0.7)
    free = page.width - used.width(text)
    if free < 0 or not page.open(margin, used.height):
        return False
    rules, color, x = [], page.ink, page.left
    if not page.inner and rng.random() < 0.35:
        name = rng.choice(LIGHT_INKS if page.dark else INKS)
        rules, color = [f"color: {name}"], page.shade(name)
    if tag == "h1" and free > SEEN_OFF_CENTRE and rng.random() < 0.35:
        rules.append("text-align: center")
        x += free // 2
    page.canvas.text(x, page.y, text, used, color)
    page.title = page.title or text
    page.close("heading", element(tag, text, *rules), used.height, margin)
    return True


def paragraph(page: Page) -> bool:
    """Running text, one time in three with a link or a bold word in it."""
    rng, words = page.scene.rng, page.scene.words
    longest = 6 if page.inner else 11
    text = words.zh_sentence(5, 2 * longest) if page.chinese else words.sentence(3, longest)
    parts, luck = flow.pieces(text, chinese=page.chinese), rng.random()
    if luck < 0.25:
        parts = flow.with_tag(rng, parts, "a", page.words(1, 1))
    elif luck < 0.35 and page.bold_face.bold:
        parts = flow.with_tag(rng, parts, "b", page.words(1, 1) if page.chinese else words.word())
    height = _height(page, parts, page.width)
    if not page.open(page.margin, height):
        return False
    _flow(page, parts, page.left, page.width, page.ink)
    page.close("paragraph", f"<p>{_inline(page, parts)}</p>", height, page.margin)
    return True


def quote(page: Page) -> bool:
    """Text set in from both sides, behind a bar or not."""
    words, rng = page.scene.words, page.scene.rng
    text = words.zh_sentence(5, 16) if page.chinese else words.sentence(3, 8)
    indent = rng.randint(24, 40)
    parts = flow.pieces(text, chinese=page.chinese)
    height = _height(page, parts, page.width - 2 * indent)
    if page.width < 150 or not page.open(page.margin, height):
        return False
    if rng.random() < 0.7:
        bar = (page.left + indent - 12, page.y, page.left + indent - 8, page.y + height)
        page.canvas.rectangle(bar, page.site.line)
    _flow(page, parts, page.left + indent, page.width - 2 * indent, page.ink)
    page.close("quote", element("blockquote", text), height, page.margin)
    return True


def _measure(page: Page, piece: Piece) -> int:
    return page.font(bold=piece.tag == "b").width(piece.text)


def _lines(page: Page, parts: list[Piece], width: int) -> list[list[flow.Placed]]:
    space = 0 if page.chinese else page.font().width(" ")
    return flow.lines(parts, width, lambda piece: _measure(page, piece), space)


def _height(page: Page, parts: list[Piece], width: int) -> int:
    return page.pitch(page.font()) * len(_lines(page, parts, width))


def _flow(page: Page, parts: list[Piece], x: int, width: int, ink: Color) -> None:
    for i, line in enumerate(_lines(page, parts, width)):
        y = page.y + i * page.pitch(page.font())
        for placed in line:
            if placed.piece.tag == "a":
                draw_link(page, x + placed.x, y, placed.piece.text, page.font())
            else:
                used = page.font(bold=placed.piece.tag == "b")
                page.canvas.text(x + placed.x, y + page.font().ascent - used.ascent, placed.piece.text, used, ink)


def _inline(page: Page, parts: list[Piece]) -> str:
    made = []
    for piece in parts:
        text = escape(piece.text, quote=False)
        made.append({"a": f'<a href="#">{text}</a>', "b": f"<b>{text}</b>"}.get(piece.tag, text))
    return ("" if page.chinese else " ").join(made)


def draw_link(page: Page, x: int, y: int, text: str, font: Font, color: Color | None = None) -> None:
    page.canvas.text(x, y, text, font, color or page.site.link)
    if color is None and page.site.underlined:
        under = y + font.ascent + 2
        page.canvas.draw.line((x, under, x + font.width(text) - 1, under), page.site.link)
    page.canvas.mark((x, y, x + font.width(text), y + font.height), "widget:link")


def items(page: Page) -> bool:
    """A list with marks or with numbers; of links, one time in four."""
    rng, used = page.scene.rng, page.font()
    ordered, linked = rng.random() < 0.3, rng.random() < 0.25
    texts = [page.label(PLACES) if linked else page.words(1, 2) for _ in range(rng.randint(2, 4))]
    pitch, indent = page.pitch(used), page.site.indent
    if max(map(used.width, texts)) > page.width - indent or not page.open(page.margin, pitch * len(texts)):
        return False
    x = page.left + indent
    for i, text in enumerate(texts):
        y = page.y + i * pitch
        if ordered:
            page.canvas.text(x - used.width(f"{i + 1}. "), y, f"{i + 1}.", used, page.ink)
        else:
            _bullet(page, x - 10, y + used.height // 2)
        if linked:
            draw_link(page, x, y, text, used)
        else:
            page.canvas.text(x, y, text, used, page.ink)
    inner = [f'<a href="#">{escape(text, quote=False)}</a>' if linked else escape(text, quote=False) for text in texts]
    tag = "ol" if ordered else "ul"
    html = "\n".join([f"<{tag}>", *(f"<li>{text}</li>" for text in inner), f"</{tag}>"])
    page.close("list", html, pitch * len(texts), page.margin)
    return True


def _bullet(page: Page, x: int, y: int) -> None:
    box, draw = (x - 2, y - 2, x + 3, y + 3), page.canvas.draw
    if page.site.bullet == "disc":
        draw.ellipse(box, page.ink)
    elif page.site.bullet == "circle":
        draw.ellipse(box, None, page.ink)
    elif page.site.bullet == "square":
        draw.rectangle(box, page.ink)
    else:
        draw.line((x - 3, y, x + 3, y), page.ink, 2)


def table(page: Page) -> bool:
    """A header and one to four rows; `border="1"` says that each cell is framed."""
    rng, words = page.scene.rng, page.scene.words
    used, bold, padding = page.font(), page.font(bold=True), page.site.padding
    columns = rng.randint(2, 4)
    kinds: tuple[Callable[[], str], ...] = (words.number, words.number, words.price, lambda: page.words(1, 1))
    makers = [rng.choice(kinds) for _ in range(columns - 1)]
    rows = [[page.words(1, 1) for _ in range(columns)]]
    rows += [[page.words(1, 1), *(make() for make in makers)] for _ in range(rng.randint(1, 4))]
    fonts = [bold, *[used] * (len(rows) - 1)]
    widths = [
        max(f.width(cell) for f, cell in zip(fonts, column, strict=True)) + 2 * padding
        for column in zip(*rows, strict=True)
    ]
    tall = used.height + padding
    if sum(widths) > page.width or not page.open(page.margin, tall * len(rows) + 1):
        return False
    free = page.width - sum(widths)
    if rng.random() < 0.35:
        widths = [width + free // columns for width in widths]
    for i, (row, face) in enumerate(zip(rows, fonts, strict=True)):
        _row(page, row, widths, page.y + i * tall, tall, face, header=i == 0, odd=i % 2 == 1)
    grid = page.site.table == "grid"
    cells = [
        "<tr>" + "".join(element("td" if i else "th", cell) for cell in row) + "</tr>" for i, row in enumerate(rows)
    ]
    html = "\n".join(['<table border="1">' if grid else "<table>", *cells, "</table>"])
    page.close("table", html, tall * len(rows) + 1, page.margin)
    return True


def _row(
    page: Page, row: list[str], widths: list[int], y: int, tall: int, used: Font, *, header: bool, odd: bool
) -> None:
    site, canvas, x = page.site, page.canvas, page.left
    if (header and site.fill) or (odd and site.table == "zebra"):
        canvas.rectangle((x, y, x + sum(widths), y + tall), mix(canvas.background, page.ink, 0.1))
    for width, cell in zip(widths, row, strict=True):
        if site.table == "grid":
            canvas.rectangle((x, y, x + width + 1, y + tall + 1), None, site.line)
        start = x + (width - used.width(cell)) // 2 if header and site.padding % 2 else x + site.padding
        canvas.text(start, y + site.padding // 2, cell, used, page.ink)
        x += width
    if site.table == "lines" or (header and site.table == "plain"):
        canvas.draw.line((page.left, y + tall, x - 1, y + tall), site.line)


def code(page: Page) -> bool:
    """A line or two of a program on a ground of its own."""
    rng, words = page.scene.rng, page.scene.words
    used = font(page.mono_face, max(11, page.base - 1))
    make = (
        lambda: f"{words.short(7)} = {words.number()}",
        lambda: f"{words.short(7)}({words.short(6)})",
        lambda: f"$ {words.short(6)} --{words.short(6)}",
        lambda: f"{words.short(6)}: {words.short(8)}",
    )
    lines = [rng.choice(make)() for _ in range(rng.randint(1, 3))]
    height = used.height * len(lines) + 10
    if max(map(used.width, lines)) + 14 > page.width or not page.open(page.margin, height):
        return False
    ground: Color = (40, 42, 54) if page.site.code == "dark" else mix(page.canvas.background, page.ink, 0.09)
    ink: Color = (240, 240, 240) if page.site.code == "dark" else page.ink
    page.canvas.rectangle((page.left, page.y, page.right, page.y + height), ground, radius=page.site.radius // 2)
    for i, line in enumerate(lines):
        page.canvas.text(page.left + 7, page.y + 5 + i * used.height, line, used, ink)
    page.close("code", element("pre", "\n".join(lines)), height, page.margin)
    return True


def image(page: Page) -> bool:
    """Something like a picture, of which only the size is told, in steps of `IMAGE_STEP` pixels."""
    rng, canvas = page.scene.rng, page.canvas
    most = min(5, page.width // IMAGE_STEP)
    if most < 1:
        return False
    width, height = rng.randint(1, most) * IMAGE_STEP, rng.randint(1, 3) * IMAGE_STEP
    if not page.open(page.margin, height):
        return False
    box = (page.left, page.y, page.left + width, page.y + height)
    far, near = (box[2] - 1, box[3] - 1), (box[0], box[1])
    if page.site.image == "plain":
        canvas.rectangle(box, (128, 128, 128))
    elif page.site.image == "framed":
        canvas.rectangle(box, mix(canvas.background, (128, 128, 128), 0.25), (128, 128, 128))
        canvas.draw.line((*near, *far), (128, 128, 128))
        canvas.draw.line((near[0], far[1], far[0], near[1]), (128, 128, 128))
    else:
        canvas.rectangle(box, (120, 170, 215))
        canvas.draw.polygon([(near[0], far[1]), (near[0] + width // 3, near[1] + height // 3), far], (90, 130, 80))
        canvas.draw.ellipse((far[0] - 15, near[1] + 4, far[0] - 5, near[1] + 14), (255, 220, 120))
    page.close("image", f'<img width="{width}" height="{height}">', height, page.margin)
    return True


def rule(page: Page) -> bool:
    margin = max(5, page.margin // 2)
    if page.kinds[-1:] == ["rule"] or not page.open(margin, 2):
        return False
    page.canvas.draw.line((page.left, page.y, page.right - 1, page.y), page.site.line, page.scene.rng.randint(1, 2))
    page.close("rule", "<hr>", 2, margin)
    return True
