"""Forms and cards: labels with their values. One value, or all of them as a flat JSON object, in reading order."""

from __future__ import annotations

import json
from collections.abc import Sequence

from qwen3vl.drawn.canvas import Box, Canvas, Color, relative
from qwen3vl.drawn.form_drawing import Entry, Look, Pens, draw_entries, new_look
from qwen3vl.drawn.paper import (
    CHINESE_PAPERS,
    SMALLEST,
    SMALLEST_CHINESE,
    accent,
    blend,
    ink_and_ground,
    sheet,
    text_on,
)
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.values import CHOICES, LABELS, maker
from qwen3vl.drawn.words import pairs

TITLES = pairs("titles") + pairs("more_titles")
MADE_UP_LABELS = 0.12
OTHER_CHOICES = 0.3  # how many boxes to tick are not yes and no


def new_entry(scene: Scene, label: str, kind: str, chinese: bool) -> Entry:
    """A label with a value of its kind."""
    rng, words = scene.rng, scene.words
    if kind != "choice":
        return Entry(label, maker(words, kind, chinese)(words))
    options = [pair[chinese] for pair in CHOICES]
    if rng.random() < OTHER_CHOICES:
        options = [words.zh(2, 2) if chinese else words.short(6) for _ in range(rng.randint(2, 3))]
    options = list(dict.fromkeys(options))
    return Entry(label, rng.choice(options), tuple(options))


def new_entries(scene: Scene, chinese: bool, count: int) -> list[tuple[str, str]]:
    """Labels, no two alike, with the kinds of their values."""
    rng, words = scene.rng, scene.words
    made = []
    for labels, kind in rng.sample(LABELS, count):
        label = labels[chinese]
        if rng.random() < MADE_UP_LABELS:
            label = words.zh(2, 4) if chinese else words.phrase(1, 2)
        made.append((label, kind))
    return list(dict(made).items())


def forms(scene: Scene) -> None:
    rng = scene.rng
    chinese = rng.random() < CHINESE_PAPERS
    ink, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    area = sheet(scene, canvas, ink)
    look = new_look(scene)
    title = "" if look.title == "none" else rng.choice(TITLES)[chinese]
    entries = draw_form(scene, canvas, area, ink, look, title, chinese)
    scene.keep(canvas)
    ask_form(scene, title, entries)


def draw_form(
    scene: Scene, canvas: Canvas, area: Box, ink: Color, look: Look, title: str, chinese: bool
) -> list[Entry]:
    """Draws a title, unless it is empty, and fields below it; returns these in reading order."""
    rng = scene.rng
    size = rng.randint(SMALLEST_CHINESE, 18) if chinese else rng.randint(SMALLEST, 16 if canvas.width > 256 else 14)
    font = scene.font(size, chinese=chinese, bold=False)
    bold = scene.font(size, chinese=chinese, bold=True)
    filled = scene.font(size, chinese=chinese) if rng.random() < 0.35 else font
    pens = Pens(font, bold, filled, ink, _pen(scene, canvas.background, ink))
    above = rng.randint(4, 14) if rng.random() < 0.7 else rng.randint(4, canvas.height // 4)
    box = area[0] + rng.randint(5, 20), area[1] + above, area[2] - rng.randint(5, 14), area[3] - 4
    y = _draw_title(scene, canvas, box, pens, look, title, chinese) if title else box[1]
    entries = new_entries(scene, chinese, rng.randint(3, 12))
    return draw_entries(
        scene,
        canvas,
        (box[0], y, *box[2:]),
        pens,
        look,
        entries,
        lambda label, kind: new_entry(scene, label, kind, chinese),
    )


def _pen(scene: Scene, ground: Color, ink: Color) -> Color:
    """What values are written in: the ink of the labels, or on white paper now and then a blue or red pen."""
    if min(ground) > 215 and scene.rng.random() < 0.2:
        return scene.rng.choice(((20, 40, 160), (30, 70, 190), (160, 25, 30)))
    return ink


def _draw_title(scene: Scene, canvas: Canvas, box: Box, pens: Pens, look: Look, title: str, chinese: bool) -> int:
    """Returns the y below the title."""
    rng, room = scene.rng, box[2] - box[0]
    large = scene.font(pens.font.size + rng.randint(1, 9), chinese=chinese, bold=True)
    font = large if large.width(title) <= room else pens.bold
    x, y, color = box[0], box[1], pens.ink
    if look.title in ("centre", "band"):
        x += (room - font.width(title)) // 2 if look.title == "centre" else 4
    if look.title == "band":
        fill = accent(scene, canvas.background)
        canvas.rectangle((box[0] - 2, y - 2, box[2], y + font.height + 3), fill)
        color = text_on(fill)
    canvas.text(x, y, title, font, color)
    y += font.height + 2
    if look.title == "ruled":
        canvas.rectangle((box[0], y, box[2], y + rng.randint(1, 2)), blend(canvas.background, pens.ink, 0.7))
    return y + rng.randint(4, 12)


def page_text(title: str, entries: Sequence[Entry]) -> str:
    """What is written on a form, as text that was not read from a picture has it."""
    lines = [f"{entry.label} {' '.join(entry.options) or entry.value}" for entry in entries]
    return "\n".join([title, *lines] if title else lines)


def ask_form(scene: Scene, title: str, entries: Sequence[Entry]) -> None:
    rng, fields = scene.rng, {entry.label: entry.value for entry in entries}
    places = {entry.label: relative(entry.box, scene.size) for entry in entries if entry.box}
    scene.texts.append(page_text(title, entries))
    for label in rng.sample(list(fields), min(4, len(fields))):
        place, truth = places.get(label), {"value": fields[label]}
        scene.ask("form_value", "form_value", fields[label], truth, 1.0, place, field=label)
    scene.ask("key_values", "key_values", json.dumps(fields, ensure_ascii=False), {"fields": fields}, 1.5)
    s = "s" if len(fields) > 1 else ""
    text = scene.say(f"A document with {len(fields)} field{s}.", f"一份有{len(fields)}个字段的文件。")
    if title:
        text = scene.say(
            f'A document titled "{title}" with {len(fields)} field{s}.', f"一份“{title}”，有{len(fields)}个字段。"
        )
    scene.ask("describe", "describe", text, {"text": text}, 0.4)
