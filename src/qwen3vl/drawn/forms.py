"""Forms and cards: labels with their values, below each other. One value, or all of them as a flat JSON object."""

from __future__ import annotations

import json
from collections.abc import Callable

from qwen3vl.drawn.canvas import Canvas, Color
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.tables import CHINESE_DOCUMENTS
from qwen3vl.drawn.text import ink_and_ground
from qwen3vl.drawn.words import Words, pairs

TITLES = pairs("titles")


def _word(words: Words) -> str:
    return words.word().capitalize()


def _short_zh(words: Words) -> str:
    return words.zh(2, 3)


def _phone(words: Words) -> str:
    return f"{words.rng.randint(100, 999)}-{words.rng.randint(1000, 9999)}"


def _phone_zh(words: Words) -> str:
    return f"1{words.rng.randrange(10**10):010d}"


def _amount(words: Words) -> str:
    return f"${words.price()}"


def _amount_zh(words: Words) -> str:
    return f"￥{words.price()}"


def _quantity(words: Words) -> str:
    return str(words.rng.randint(1, 500))


def _seat(words: Words) -> str:
    return f"{words.rng.randint(1, 40)}{words.rng.choice('ABCDEF')}"


def _company(words: Words) -> str:
    return f"{_word(words)} {words.rng.choice(('Ltd', 'Inc', 'Co', 'Group'))}"


def _street(words: Words) -> str:
    return f"{words.rng.randint(1, 200)} {_word(words)} St"


def _street_zh(words: Words) -> str:
    return f"{words.zh(2, 3)}路{words.rng.randint(1, 200)}号"


# A label in English and Chinese, and what makes its value in each.
Maker = Callable[[Words], str]
FIELDS: tuple[tuple[tuple[str, str], Maker, Maker], ...] = (
    (("Name", "姓名"), Words.name, _short_zh),
    (("Date", "日期"), Words.date, Words.date),
    (("City", "城市"), _word, _short_zh),
    (("Email", "邮箱"), Words.email, Words.email),
    (("Phone", "电话"), _phone, _phone_zh),
    (("Order no", "订单号"), Words.serial, Words.serial),
    (("Amount", "金额"), _amount, _amount_zh),
    (("Tax", "税额"), Words.price, Words.price),
    (("Quantity", "数量"), _quantity, _quantity),
    (("Seat", "座位"), _seat, _seat),
    (("Time", "时间"), Words.clock, Words.clock),
    (("Company", "公司"), _company, _short_zh),
    (("Code", "代码"), Words.serial, Words.serial),
    (("Street", "街道"), _street, _street_zh),
    (("Status", "状态"), _word, _short_zh),
    (("Job", "职业"), _word, _short_zh),
)


def forms(scene: Scene) -> None:
    rng = scene.rng
    chinese = rng.random() < CHINESE_DOCUMENTS
    ink, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    size = rng.randint(15, 17) if chinese else rng.randint(12, 16)
    font = scene.font(size, chinese=chinese, bold=False)
    bold = scene.font(size + rng.randint(1, 5), chinese=chinese, bold=True)
    title = rng.choice(TITLES)[chinese]
    x, y = rng.randint(6, 20), rng.randint(5, 18)
    canvas.text(x if rng.random() < 0.6 else (canvas.width - bold.width(title)) // 2, y, title, bold, ink)
    fields = draw_fields(scene, canvas, x, y + bold.height + rng.randint(4, 12), font, ink, chinese)
    scene.keep(canvas)
    ask_form(scene, title, fields)


def draw_fields(scene: Scene, canvas: Canvas, x: int, y: int, font: Font, ink: Color, chinese: bool) -> dict[str, str]:
    """Labels and values down to the bottom, in one style; returns what was drawn."""
    rng = scene.rng
    style = scene.pick(("colon", "aligned", "right", "boxed", "above"), ("dotted", "tinted"))
    column = x + max(font.width(labels[chinese]) for labels, *_ in FIELDS) + 14
    step = font.height + rng.randint(3, 12)
    need = 2 * font.height + 4 if style == "above" else font.height + 4
    fields: dict[str, str] = {}
    for labels, english, zh in rng.sample(FIELDS, rng.randint(3, 8)):
        label, value = labels[chinese], (zh if chinese else english)(scene.words)
        left = {"colon": x + font.width(f"{label}: "), "above": x}.get(style, column)
        while left + font.width(value) > canvas.width - 8:  # a shorter value of its kind
            value = (zh if chinese else english)(scene.words) if rng.random() < 0.8 else scene.words.serial()
        if style in ("right", "dotted"):
            left = canvas.width - 10 - font.width(value)
        if y + need > canvas.height - 2:
            break
        colon = ("：" if chinese else ":") if style in ("colon", "aligned") else ""
        canvas.text(x, y, label + colon, font, ink)
        if style == "above":
            y += font.height
        elif style == "boxed":
            canvas.rectangle((left - 5, y - 1, canvas.width - 6, y + font.height + 2), None, ink)
        elif style == "tinted":
            r, g, b = (round(c * 0.85 + i * 0.15) for c, i in zip(canvas.background, ink, strict=True))
            canvas.rectangle((left - 5, y - 1, canvas.width - 6, y + font.height + 1), (r, g, b))
        elif style == "dotted":
            for dot in range(x + font.width(label) + 6, left - 4, 5):
                canvas.draw.point((dot, y + font.ascent - 1), ink)
        if style == "colon" and chinese:
            left = x + font.width(label + colon) + 3
        canvas.text(left, y, value, font, ink)
        fields[label] = value
        y += step
    return fields


def ask_form(scene: Scene, title: str, fields: dict[str, str]) -> None:
    rng = scene.rng
    for label in rng.sample(list(fields), min(4, len(fields))):
        scene.ask("form_value", "form_value", fields[label], {"value": fields[label]}, 1.0, field=label)
    scene.ask("key_values", "key_values", json.dumps(fields, ensure_ascii=False), {"fields": fields}, 1.5)
    text = scene.say(
        f'A document titled "{title}" with {len(fields)} field{"s" if len(fields) > 1 else ""}.',
        f"一份“{title}”，有{len(fields)}个字段。",
    )
    scene.ask("describe", "describe", text, {"text": text}, 0.4)
