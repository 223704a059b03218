"""Family `web`: small web pages, and the one canonical HTML of each.

The answer holds what the eye can tell and no more; fonts, lengths, kinds of bullets and borders vary and are not said.

    <!DOCTYPE html>
    <html>
    <body style="background: white; color: black">      the ground's nearest named colour; white text on dark grounds
    <nav><a href="#">A</a> <a href="#">B</a></nav>      words in a row; a bar has style="background: navy; color: white"
    <h1 style="color: red; text-align: center">A</h1>   the page's first heading; <h2> all others, <h3> those in boxes
    <p>Text with <a href="#">a link</a> or <b>bold</b></p>
    <p><button>A</button> <button>B</button></p>        what stands in one line; style="background: red; color: white"
    <p><label>A</label> <input value="B"></p>           a label at the left; <br> between them if it is above;
    <p><input placeholder="A"></p>                      no label if it is inside; <textarea>, <select> alike
    <p><input type="checkbox" checked> A</p>
    <ul> <ol> <li>, <blockquote>, <pre>, <hr>, <footer> for small grey text at the end
    <table border="1"> where each cell is framed, else <table>; the first row is of <th>
    <img width="80" height="40">                        in steps of 40 pixels
    <div style="display: flex"> with <div style="flex: 1"> for each column; framed ones add border: 1px solid gray

The first three blocks of a page are one choice of `Scene.combine`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qwen3vl.drawn.fonts import Style
from qwen3vl.drawn.page import DARK, GROUNDS, Page, Site, shade
from qwen3vl.drawn.scene import Scene, listing
from qwen3vl.drawn.web_controls import buttons, cards, columns, footer, form, link, navigation
from qwen3vl.drawn.web_text import code, heading, image, items, paragraph, quote, rule, table

CHINESE_PAGES = 0.3
BLOCKS: Mapping[str, Callable[[Page], bool]] = {
    "navigation": navigation,
    "heading": heading,
    "paragraph": paragraph,
    "list": items,
    "table": table,
    "form": form,
    "buttons": buttons,
    "link": link,
    "image": image,
    "rule": rule,
    "quote": quote,
    "code": code,
    "columns": columns,
    "cards": cards,
}
COMMON = ("heading", "paragraph", "paragraph", "buttons", "form", "list", "link", "rule", "image", "table")
FIRST = (*BLOCKS, "heading", "heading", "heading", "navigation", "paragraph")  # some stand at the top more often
NOUNS = {
    "navigation": ("a navigation bar", "导航栏"),
    "list": ("a list", "列表"),
    "table": ("a table", "表格"),
    "form": ("a form", "表单"),
    "buttons": ("buttons", "按钮"),
    "image": ("a picture", "图片"),
    "columns": ("columns", "分栏"),
    "cards": ("cards", "卡片"),
}
GROUND_NAMES = {
    "white": "白色",
    "black": "黑色",
    "navy": "深蓝色",
    "beige": "米色",
    "lavender": "淡紫色",
    "lightblue": "浅蓝色",
    "lightgreen": "浅绿色",
    "pink": "粉色",
}


def web(scene: Scene) -> None:
    while (drawn := new_page(scene)) is None:
        pass
    page, ground = drawn
    scene.keep(page.canvas)
    _ask(page, ground)


def new_page(scene: Scene) -> tuple[Page, str] | None:
    """A page and the name of its ground; None where the planned blocks do not fit."""
    rng = scene.rng
    plan = scene.combine("web", first=FIRST, second=(*BLOCKS, *COMMON), third=(*BLOCKS, *COMMON))
    ground = rng.choice(GROUNDS)
    page = _blank(scene, ground)
    if not all(BLOCKS[plan[place]](page) for place in ("first", "second", "third")):
        return None
    for kind in rng.choices(COMMON, k=rng.choice((0, 0, 1, 1, 2))):
        BLOCKS[kind](page)
    if rng.random() < 0.15:
        footer(page)
    return page, ground


def _blank(scene: Scene, ground: str) -> Page:
    """An empty page, its text in a column with some margin."""
    rng = scene.rng
    chinese = rng.random() < CHINESE_PAGES
    base = rng.randint(14, 17) if chinese else rng.choice((12, 12, 13, 13, 14, 14, 15, 16, 16, 17))
    base = min(base, 14) if min(scene.size) < 256 else base
    style: Style = rng.choice(("serif", "sans", "sans"))
    dark, color = ground in DARK, shade(scene, ground)
    canvas, margin = scene.canvas(color), rng.choice((8, 8, rng.randint(4, 30)))
    return Page(
        scene,
        canvas,
        Site.new(scene, color, dark=dark),
        chinese,
        base,
        face=scene.font(base, chinese=chinese, style=style, bold=False).face,
        bold_face=scene.font(base, chinese=chinese, style=style, bold=True).face,
        mono_face=scene.font(base, style="mono").face,
        ink=shade(scene, "white" if dark else "black"),
        dark=dark,
        left=margin,
        right=canvas.width - margin,
        bottom=canvas.height - 4,
        gap=rng.randint(2, 10),
    )


def _ask(page: Page, ground: str) -> None:
    scene, kinds = page.scene, page.kinds
    body = f'<body style="background: {ground}; color: {"white" if page.dark else "black"}">'
    html = "\n".join(["<!DOCTYPE html>", "<html>", body, *page.html, "</body>", "</html>"])
    scene.ask("html", "html", f"```html\n{html}\n```", {"html": html}, 3.0)
    counted = [("<button", ("buttons", "按钮")), ("<a ", ("links", "链接"))]
    if not any(tag in html for tag in ("<select", "<textarea", "checkbox")):  # fields too, to some
        counted.append(("<input", ("input fields", "输入框")))
    for tag, things in counted:
        count = html.count(tag)
        scene.ask("count", "count", str(count), {"count": count}, 0.15, things=scene.say(*things))
    titled = scene.say(f' with the heading "{page.title}"', f"，标题是“{page.title}”") if page.title else ""
    nouns = [scene.say(*NOUNS[kind]) for kind in dict.fromkeys(kinds) if kind in NOUNS][:3]
    there = scene.say(f", showing {listing(nouns, 'en')}", f"，有{listing(nouns, 'zh')}") if nouns else ""
    text = scene.say(f"A {ground} web page{titled}{there}.", f"一个{GROUND_NAMES[ground]}背景的网页{titled}{there}。")
    scene.ask("describe", "describe", text, {"text": text}, 0.4)
