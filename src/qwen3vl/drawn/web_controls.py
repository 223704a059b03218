"""Blocks of a web page that are used: navigation, links, buttons, forms; and boxes with blocks in them.

Each draws itself below the last block if it fits, and says whether it did. What stands in one line is one `<p>`.
"""

from __future__ import annotations

from html import escape

from qwen3vl.drawn.canvas import Box
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.glyphs import draw_glyph
from qwen3vl.drawn.interface import BUTTONS, CHECKS, FIELDS, PLACES
from qwen3vl.drawn.page import FILLS, Page, element, style
from qwen3vl.drawn.themes import BLACK, WHITE, mix
from qwen3vl.drawn.web_text import draw_link, heading, image, items, paragraph

GREY = (117, 117, 117)  # of placeholders
PLAIN = (239, 239, 239)
ROW_OF_COLUMNS = '<div style="display: flex">'
BORDER = "border: 1px solid gray"


def navigation(page: Page) -> bool:
    """Words in one row that lead elsewhere; on a bar of a named colour, or as plain links."""
    rng, used = page.scene.rng, page.font()
    texts = [page.label(PLACES) for _ in range(rng.randint(2, 4))]
    space = rng.randint(10, 26)
    needed = sum(map(used.width, texts)) + space * (len(texts) - 1)
    bar = not page.inner and rng.random() < 0.5
    height = used.height + (2 * rng.randint(3, 10) if bar else 2)
    if needed + 16 * bar > page.width or not page.open(page.margin, height):
        return False
    name = rng.choice([fill for fill in FILLS if not (page.dark and fill in ("navy", "black"))])
    if bar:
        edges = (0, page.canvas.width) if page.y < 40 and rng.random() < 0.6 else (page.left, page.right)
        page.canvas.rectangle((edges[0], page.y, edges[1], page.y + height), page.shade(name))
    free = page.width - needed - 16 * bar
    x = page.left + 8 * bar + rng.choice((0, 0, free // 2, free))
    for text in texts:
        draw_link(page, x, page.y + (height - used.height) // 2, text, used, WHITE if bar else None)
        x += used.width(text) + space
    links = " ".join(f'<a href="#">{escape(text, quote=False)}</a>' for text in texts)
    rules = (f"background: {name}", "color: white") if bar else ()
    page.close("navigation", f"<nav{style(*rules)}>{links}</nav>", height, page.margin)
    return True


def link(page: Page) -> bool:
    used, text = page.font(), page.label(PLACES)
    if used.width(text) > page.width or not page.open(page.margin, used.height):
        return False
    draw_link(page, page.left, page.y, text, used)
    page.close("link", f'<p><a href="#">{escape(text, quote=False)}</a></p>', used.height, page.margin)
    return True


def buttons(page: Page) -> bool:
    """One to three buttons side by side, in grey or a named colour."""
    rng, used = page.scene.rng, page.font(0.92)
    texts = [page.label(BUTTONS) for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))]
    padding, height = rng.randint(6, 14), used.height + 2 * page.site.pad
    while len(texts) > 1 and sum(used.width(text) + 2 * padding + 8 for text in texts) > page.width:
        texts.pop()
    if used.width(texts[0]) + 2 * padding > page.width or not page.open(page.margin, height):
        return False
    x, html = page.left, []
    for text in texts:
        box = (x, page.y, x + used.width(text) + 2 * padding, page.y + height)
        name = rng.choice(FILLS) if rng.random() < 0.5 else ""
        radius = min(page.site.radius, height // 2)
        page.canvas.rectangle(box, page.shade(name) if name else PLAIN, mix(PLAIN, BLACK, 0.5), radius=radius)
        page.canvas.text_middle(box, text, used, WHITE if name else BLACK)
        page.canvas.mark(box, "widget:button")
        html.append(element("button", text, *((f"background: {name}", "color: white") if name else ())))
        x = box[2] + 8
    page.close("buttons", f"<p>{' '.join(html)}</p>", height, page.margin)
    return True


def form(page: Page) -> bool:
    """One to three rows, their labels all at the left, all above, or inside."""
    rng = page.scene.rng
    labels = rng.choice(("left", "above", "inside"))
    room = rng.uniform(0.55, 1.0)
    drawn = [_form_row(page, labels, room) for _ in range(rng.randint(1, 3))]
    return any(drawn)


def _form_row(page: Page, labels: str, room: float) -> bool:
    rng, used = page.scene.rng, page.font(0.92)
    kind = rng.choice(("input", "input", "input", "input", "checkbox", "select", "textarea"))
    height = used.height + 2 * page.site.pad
    text = page.label(CHECKS if kind == "checkbox" else FIELDS)
    if used.width(text) + 24 > page.width:
        return False
    if kind == "checkbox":
        return _checkbox(page, text, used, height)
    beside = round(page.width * 0.4) if labels == "left" else 0
    above = used.height + 3 if labels == "above" else 0
    tall = round(height * 2.4) if kind == "textarea" else height
    if (beside and used.width(text) > beside - 6) or not page.open(page.margin, above + tall):
        return False
    if labels != "inside":
        page.canvas.text(page.left, page.y + (0 if above else page.site.pad), text, used, page.ink)
    left, top = page.left + beside, page.y + above
    box = (left, top, left + max(60, round((page.width - beside) * room)), top + tall)
    control = _control(page, kind, box, used, text if labels == "inside" else "")
    label = {"left": element("label", text) + " ", "above": element("label", text) + "<br>", "inside": ""}[labels]
    page.close("form", f"<p>{label}{control}</p>", above + tall, page.margin)
    return True


def _control(page: Page, kind: str, box: Box, used: Font, inside: str) -> str:
    """A white box with what stands in it: a placeholder in grey, or a value in black."""
    words, rng = page.scene.words, page.scene.rng
    page.canvas.rectangle(box, WHITE, mix(WHITE, BLACK, 0.5), radius=min(8, page.site.radius))
    page.canvas.mark(box, "widget:dropdown" if kind == "select" else "widget:field")
    room, x, y = box[2] - box[0] - 28, box[0] + 5, box[1] + page.site.pad
    if kind == "select":
        value = page.words(1, 1)
        value = value if used.width(value) <= room else words.number()
        draw_glyph(page.canvas.draw, "down", box[2] - 15, (box[1] + box[3]) // 2 - 4, 9, BLACK)
        page.canvas.text(x, y, value, used, BLACK)
        return f"<select>{element('option', value)}</select>"
    if inside:
        page.canvas.text(x, y, inside, used, GREY)
        attribute = f' placeholder="{escape(inside)}"'
    else:
        value = words.token() if rng.random() < 0.4 and kind == "input" else ""
        value = value if used.width(value) <= room else ""
        page.canvas.text(x, y, value, used, BLACK)
        attribute = f' value="{escape(value)}"' if value else ""
    return f"<input{attribute}>" if kind == "input" else f"<textarea{attribute}></textarea>"


def _checkbox(page: Page, text: str, used: Font, height: int) -> bool:
    if not page.open(page.margin, height):
        return False
    on, side = page.scene.rng.random() < 0.5, used.size
    top = page.y + (height - side) // 2
    square = (page.left, top, page.left + side, top + side)
    page.canvas.rectangle(square, (37, 99, 235) if on else WHITE, mix(WHITE, BLACK, 0.55), radius=2)
    if on:
        draw_glyph(page.canvas.draw, "tick", page.left + 2, top + 2, side - 4, WHITE)
    page.canvas.text(page.left + side + 6, page.y + page.site.pad, text, used, page.ink)
    page.canvas.mark(square, "widget:checkbox")
    attribute = " checked" if on else ""
    html = f'<p><input type="checkbox"{attribute}> {escape(text, quote=False)}</p>'
    page.close("form", html, height, page.margin)
    return True


def columns(page: Page) -> bool:
    """Two or three columns side by side, without borders."""
    return _side_by_side(page, framed=False)


def cards(page: Page) -> bool:
    """One to three framed boxes side by side."""
    return _side_by_side(page, framed=True)


def _side_by_side(page: Page, *, framed: bool) -> bool:
    rng = page.scene.rng
    count = min(rng.choice((1, 2, 2, 3) if framed else (2, 2, 3)), page.width // 120)
    if count < (1 if framed else 2) or page.inner:
        return False
    gap, padding, least = rng.randint(10, 22), rng.randint(6, 12) if framed else 0, 3 * page.base + 30
    if not page.open(page.margin, least):
        return False
    width, top = (page.width - (count - 1) * gap) // count, page.y
    parts, ends = [], []
    outer_bottom, page.bottom = page.bottom, page.bottom - padding
    for i in range(count):
        left = page.left + i * (width + gap)
        page.y = top + padding
        with page.column(left + padding, left + width - padding) as html:
            for block in (heading, rng.choice((paragraph, paragraph, items, buttons, link, image))):
                block(page)
        parts.append(html)
        ends.append(page.y + padding)
    page.bottom, page.y, end = outer_bottom, top, max(ends)
    for i in range(count if framed else 0):
        left = page.left + i * (width + gap)
        page.canvas.rectangle((left, top, left + width, end), None, page.site.line, radius=min(10, page.site.radius))
    rules = ["flex: 1"] * (count > 1) + [BORDER] * framed
    boxes = ["\n".join([f"<div{style(*rules)}>", *html, "</div>"]) for html in parts]
    html_of_all = "\n".join([ROW_OF_COLUMNS, *boxes, "</div>"]) if count > 1 else boxes[0]
    page.close("cards" if framed else "columns", html_of_all, end - top, page.margin)
    return True


def footer(page: Page) -> bool:
    """A line of small grey text at the very end."""
    used, rng = page.font(0.82), page.scene.rng
    text = page.words(1, 2)
    if used.width(text) > page.width or not page.open(page.margin, used.height + 6):
        return False
    if rng.random() < 0.5:
        page.y = page.bottom - used.height - 6
    if rng.random() < 0.5:
        page.canvas.draw.line((page.left, page.y, page.right - 1, page.y), mix(page.canvas.background, page.ink, 0.2))
    x = page.left + rng.choice((0, (page.width - used.width(text)) // 2))
    page.canvas.text(x, page.y + 6, text, used, mix(page.canvas.background, page.ink, 0.55))
    page.close("footer", element("footer", text), used.height + 6, 0)
    return True
