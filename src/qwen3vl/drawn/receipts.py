"""Receipts: things bought with their prices, tax and total. The total is true: it is the sum."""

from __future__ import annotations

import json
from dataclasses import dataclass

from qwen3vl.drawn.canvas import Canvas
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.tables import CHINESE_DOCUMENTS, unique
from qwen3vl.drawn.text import ink_and_ground

TOTALS = (("Total", "合计"), ("TOTAL", "总计"), ("Amount due", "应付"), ("Grand total", "总金额"))
HELD_OUT_TOTALS = (("To pay", "实付"), ("Sum", "总额"))
TAX, DATE = ("Tax", "税"), ("Date", "日期")
SIGNS = (("$", "￥"), ("€", "￥"), ("£", "￥"), ("", ""))


@dataclass(frozen=True)
class Receipt:
    """Amounts in hundredths; `sign` is the currency as printed before them, perhaps nothing."""

    shop: str
    items: dict[str, int]
    tax: int | None
    sign: str
    total_label: str
    date: str

    @property
    def total(self) -> int:
        return sum(self.items.values()) + (self.tax or 0)

    def money(self, hundredths: int) -> str:
        return f"{self.sign}{hundredths // 100}.{hundredths % 100:02d}"


def receipts(scene: Scene) -> None:
    rng = scene.rng
    chinese = rng.random() < CHINESE_DOCUMENTS
    _, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    size = rng.randint(15, 17) if chinese else rng.randint(12, 15)
    font = scene.font(size, chinese=chinese, style=rng.choice(("mono", "sans", "serif")), bold=False)
    most = (canvas.height - 20) // font.height - 5
    receipt = new_receipt(scene, chinese, max(1, min(most, rng.randint(2, 6))))
    draw_receipt(scene, canvas, receipt, font, chinese)
    scene.keep(canvas)
    ask_receipt(scene, receipt, chinese)


def new_receipt(scene: Scene, chinese: bool, count: int) -> Receipt:
    rng, words = scene.rng, scene.words
    taken: set[str] = set()
    cheap = rng.choice((999, 4999))
    items = {
        unique(lambda: words.zh(2, 3) if chinese else words.short(9).capitalize(), taken): rng.randint(50, cheap)
        for _ in range(count)
    }
    tax = rng.randint(1, sum(items.values()) // 5) if rng.random() < 0.6 else None
    shop = words.zh(2, 4) if chinese else words.short(9).capitalize()
    total = scene.pick(TOTALS, HELD_OUT_TOTALS)[chinese]
    return Receipt(shop, items, tax, rng.choice(SIGNS)[chinese], total, words.date())


def draw_receipt(scene: Scene, canvas: Canvas, receipt: Receipt, font: Font, chinese: bool) -> None:
    """Prints the receipt in the middle of the canvas or along its left edge."""
    rng = scene.rng
    width = min(canvas.width - 12, rng.randint(190, 280))
    left = rng.choice((6, (canvas.width - width) // 2))
    paper = (252, 252, 248) if sum(canvas.background) > 380 else (236, 236, 228)
    canvas.rectangle((left - 4, 2, left + width + 4, canvas.height - 2), paper)
    level = 20 + rng.randint(0, 50)
    ink = (level, level, level)
    y = 5

    def row(label: str, value: str) -> None:
        nonlocal y
        canvas.text(left + 4, y, label, font, ink)
        canvas.text(left + width - 4 - font.width(value), y, value, font, ink)
        y += font.height

    canvas.text(left + (width - font.width(receipt.shop)) // 2, y, receipt.shop, font, ink)
    y += font.height
    row(DATE[chinese], receipt.date)
    _rule(canvas, left, width, y, ink, scene.pick(("dash", "line"), ("dots",)))
    y += 3
    for name, price in receipt.items.items():
        row(name, receipt.money(price))
    _rule(canvas, left, width, y + 1, ink, "line")
    y += 4
    if receipt.tax is not None:
        row(TAX[chinese], receipt.money(receipt.tax))
    row(receipt.total_label, receipt.money(receipt.total))


def _rule(canvas: Canvas, left: int, width: int, y: int, ink: tuple[int, int, int], style: str) -> None:
    step, dash = {"line": (width, width), "dash": (7, 4), "dots": (4, 1)}[style]
    for x in range(left + 4, left + width - 4, step):
        canvas.draw.line((x, y, min(x + dash, left + width - 4) - 1, y), ink)


def ask_receipt(scene: Scene, receipt: Receipt, chinese: bool) -> None:
    rng = scene.rng
    total = receipt.money(receipt.total)
    scene.ask("receipt_total", "receipt_total", total, {"value": total}, 2.5)
    for name in rng.sample(list(receipt.items), min(2, len(receipt.items))):
        price = receipt.money(receipt.items[name])
        scene.ask("form_value", "receipt_item", price, {"value": price}, 0.6, item=name)
    things = scene.say("items", "商品")
    scene.ask("count", "count", str(len(receipt.items)), {"count": len(receipt.items)}, 0.3, things=things)
    fields = {DATE[chinese]: receipt.date, **{name: receipt.money(price) for name, price in receipt.items.items()}}
    if receipt.tax is not None:
        tax = receipt.money(receipt.tax)
        scene.ask("form_value", "form_value", tax, {"value": tax}, 0.4, field=TAX[chinese])
        fields[TAX[chinese]] = tax
    fields[receipt.total_label] = total
    scene.ask("form_value", "form_value", receipt.date, {"value": receipt.date}, 0.4, field=DATE[chinese])
    scene.ask("key_values", "key_values", json.dumps(fields, ensure_ascii=False), {"fields": fields}, 0.7)
    text = scene.say(f"A receipt from {receipt.shop} with a total of {total}.", f"{receipt.shop}的小票，合计{total}。")
    scene.ask("describe", "describe", text, {"text": text}, 0.4)
