"""Receipts: things bought with their prices, what is added and taken off, the total, what was paid and given back.

All sums are true. The lines below the items stand in many orders and under many names; only one of them is the total.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from qwen3vl.drawn.canvas import Canvas
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.paper import CHINESE_PAPERS, SMALLEST, SMALLEST_CHINESE, ink_and_ground
from qwen3vl.drawn.receipt_drawing import Look, Printed, new_look, print_lines
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.tables import unique
from qwen3vl.drawn.words import pairs

TOTALS, SUBTOTALS, TAXES = pairs("totals"), pairs("subtotals"), pairs("taxes")
DISCOUNTS, PAYMENTS, CHANGES, CODES = pairs("discounts"), pairs("payments"), pairs("changes"), pairs("receipt_codes")
DATE, TIME = (("Date", "日期"),), (("Time", "时间"),)
SIGNS = (("${}", "￥{}"), ("€{}", "￥{}"), ("£{}", "{}元"), ("{}", "{}"), ("{} EUR", "{}元"))
BILLS = (5_00, 10_00, 20_00, 50_00, 100_00)


@dataclass(frozen=True)
class Item:
    """Something bought; `price` is that of one, in hundredths."""

    name: str
    price: int
    quantity: int = 1

    @property
    def amount(self) -> int:
        return self.price * self.quantity


@dataclass(frozen=True)
class Receipt:
    """Amounts in hundredths; `sign` is the pattern of an amount with its currency.

    `head` holds lines such as the date; `sums` the lines between items and total in order, what is taken off below
    zero; `tail` those below the total.
    """

    shop: str
    head: dict[str, str]
    items: tuple[Item, ...]
    sums: tuple[tuple[str, int], ...]
    total_label: str
    total: int
    tail: tuple[tuple[str, int], ...]
    sign: str
    signed_items: bool

    def money(self, hundredths: int) -> str:
        """An amount as the lines below the items have it."""
        text = self.sign.format(f"{abs(hundredths) // 100}.{abs(hundredths) % 100:02d}")
        return f"-{text}" if hundredths < 0 else text

    def item_money(self, hundredths: int) -> str:
        return self.money(hundredths) if self.signed_items else f"{hundredths // 100}.{hundredths % 100:02d}"

    @property
    def counted(self) -> bool:
        """Whether something was bought more than once, so that its price and its amount are two things."""
        return any(item.quantity > 1 for item in self.items)

    @property
    def fields(self) -> dict[str, str]:
        """Every label with its value, from top to bottom."""
        lines = {**self.head, **{item.name: self.item_money(item.amount) for item in self.items}}
        for label, amount in (*self.sums, (self.total_label, self.total), *self.tail):
            lines[label] = self.money(amount)
        return lines

    @property
    def record(self) -> str:
        """What a till would keep, as JSON, amounts with the digits that are printed. No receipt has an address."""

        def text(value: str) -> str:
            return json.dumps(value, ensure_ascii=False)

        def number(hundredths: int) -> str:
            return f"{hundredths // 100}.{hundredths % 100:02d}"

        items = ", ".join(
            f'{{"name": {text(item.name)}, "quantity": {item.quantity}, "price": {number(item.price)}}}'
            for item in self.items
        )
        taxes = [amount for label, amount in (*self.sums, *self.tail) if _is_tax(label)]
        date = next((self.head[label] for label in DATE[0] if label in self.head), "")
        return (
            f'{{"merchant": {text(self.shop)}, "address": "", "date": {text(date)}, '
            f'"currency": {text(self.sign.format("").strip())}, "items": [{items}], '
            f'"tax": {number(taxes[0]) if taxes else "null"}, "total": {number(self.total)}}}'
        )


def _is_tax(label: str) -> bool:
    return any(
        label in (name, f"incl. {english}", f"含{chinese}") for english, chinese in TAXES for name in (english, chinese)
    )


def receipts(scene: Scene) -> None:
    rng = scene.rng
    chinese = rng.random() < CHINESE_PAPERS
    _, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    size = rng.randint(SMALLEST_CHINESE, 18) if chinese else rng.randint(SMALLEST, 16 if canvas.width > 256 else 13)
    font = scene.font(size, chinese=chinese, style=rng.choice(("mono", "sans", "serif")), bold=False)
    receipt = draw_receipt(scene, canvas, font, chinese, rng.choice((1, 2, 3, 3, 4, 5, 6, 8)))
    scene.keep(canvas)
    ask_receipt(scene, receipt)


def draw_receipt(scene: Scene, canvas: Canvas, font: Font, chinese: bool, items: int) -> Receipt:
    """Draws a receipt of up to `items` things, fewer if no more fit."""
    look = new_look(scene)
    while True:
        receipt = new_receipt(scene, chinese, items, look)
        printed = Printed(
            receipt.shop,
            receipt.head,
            [(item.name, item.quantity, receipt.item_money(item.price), receipt.item_money(item.amount))
             for item in receipt.items],
            [(label, receipt.money(amount)) for label, amount in receipt.sums],
            (receipt.total_label, receipt.money(receipt.total)),
            [(label, receipt.money(amount)) for label, amount in receipt.tail],
        )  # fmt: skip
        bold = scene.font(font.size + scene.rng.choice((0, 0, 1, 3, 5)), chinese=chinese, bold=True)
        if print_lines(scene, canvas, printed, font, bold, look, chinese):
            return receipt
        items = max(1, items - 1)
        look = look if items > 1 else new_look(scene)


def new_receipt(scene: Scene, chinese: bool, count: int, look: Look) -> Receipt:
    rng, words = scene.rng, scene.words
    taken: set[str] = set()

    def label(of: tuple[tuple[str, str], ...]) -> str:
        return unique(lambda: rng.choice(of)[chinese], taken)

    def name() -> str:
        return words.zh(2, 4) if chinese else words.short(9).capitalize()

    head = {}
    if "code" in look.head:
        head[label(CODES)] = rng.choice((words.number(), words.serial()))
    if "date" in look.head:
        head[label(DATE)] = words.date()
    if "time" in look.head:
        head[label(TIME)] = words.clock()
    total_label, cheap = label(TOTALS), rng.choice((999, 4999))
    most = rng.choice((1, 3, 9)) if look.items != "name amount" else 1
    items = tuple(
        Item(unique(name, taken), rng.randint(50, cheap), rng.randint(1, most) if rng.random() < 0.6 else 1)
        for _ in range(count)
    )
    total = sum(item.amount for item in items)
    sums: list[tuple[str, int]] = []
    if "sub" in look.sums:
        sums.append((label(SUBTOTALS), total))
    for part, names, most_of in (("discount", DISCOUNTS, -4), ("tax", TAXES, 5)):
        if part in look.sums:
            amount = rng.randint(1, max(1, total // abs(most_of))) * (1 if most_of > 0 else -1)
            sums.append((label(names), amount))
            total += amount
    tail: list[tuple[str, int]] = []
    if "tax" not in look.sums and look.tail == "tax":
        english, zh = rng.choice(TAXES)
        tail.append((f"含{zh}" if chinese else f"incl. {english}", rng.randint(1, max(1, total // 6))))
    if look.tail == "cash":
        given = next((bill for bill in BILLS if bill > total), -(-total // 10_00) * 10_00)
        tail += [(label(PAYMENTS), given), (label(CHANGES), given - total)]
    shop = words.zh(2, 4) if chinese else words.phrase(1, 2)
    sign = rng.choice(SIGNS)[chinese]
    return Receipt(shop, head, items, tuple(sums), total_label, total, tuple(tail), sign, rng.random() < 0.6)


def ask_receipt(scene: Scene, receipt: Receipt) -> None:
    rng, fields = scene.rng, receipt.fields
    total = receipt.money(receipt.total)
    scene.ask("receipt_total", "receipt_total", total, {"value": total}, 2.5)
    single = [item for item in receipt.items if item.quantity == 1]
    for item in rng.sample(single, min(2, len(single))):
        price = receipt.item_money(item.price)
        scene.ask("form_value", "receipt_item", price, {"value": price}, 0.6, item=item.name)
    count = len(receipt.items)
    things = scene.say("items", "商品")
    if receipt.counted:
        things = scene.say("different items", "不同的商品")
    scene.ask("count", "count", str(count), {"count": count}, 0.3, things=things)
    names = {item.name for item in receipt.items}
    labels = [label for label in fields if label not in names]
    for label in rng.sample(labels, min(3, len(labels))):
        scene.ask("form_value", "form_value", fields[label], {"value": fields[label]}, 0.5, field=label)
    if not receipt.counted:
        answer = json.dumps(fields, ensure_ascii=False)
        scene.ask("key_values", "key_values", answer, {"fields": fields}, 0.8, record=receipt.record)
    text = scene.say(f"A receipt from {receipt.shop} with a total of {total}.", f"{receipt.shop}的小票，合计{total}。")
    scene.ask("describe", "describe", text, {"text": text}, 0.4)
