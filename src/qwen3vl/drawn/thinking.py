"""Family `thinking`: counting and look-ups with a short `<think>` before the answer, switched on by the prompt."""

from __future__ import annotations

from qwen3vl.drawn import wording
from qwen3vl.drawn.receipts import draw_receipt, new_receipt
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.shapes import COLORS, GROUNDS, HELD_OUT_GROUNDS, SHAPES, Thing, scatter, shade
from qwen3vl.drawn.tables import CHINESE_DOCUMENTS, Table, draw_table, lookups, new_table
from qwen3vl.drawn.text import ink_and_ground


def thinking(scene: Scene) -> None:
    scene.thinking = True
    if scene.rng.random() < 0.5:
        scene.system = wording.fill(scene.rng, "think_system", scene.language, scene.worded, {})
    else:
        scene.cue = wording.fill(scene.rng, "think_cue", scene.language, scene.worded, {})
    scene.rng.choice((_counting, _counting, _lookups, _receipt))(scene)


def thought(text: str, answer: str) -> str:
    """The answer as the released Thinking models lay it out."""
    return f"<think>\n{text}\n</think>\n\n{answer}"


def _counting(scene: Scene) -> None:
    rng = scene.rng
    canvas = scene.canvas(shade(scene, scene.pick(GROUNDS, HELD_OUT_GROUNDS), 5))
    things = scatter(scene, canvas, rng.randint(3, 9))
    scene.keep(canvas)
    color, shape = rng.choice(things).color, rng.choice(things).shape
    all_of_them = scene.say("shapes", "图形")
    of_color = scene.say(f"{color} shapes", f"{COLORS[color][1]}图形")
    _ask_count(scene, things, all_of_them)
    _ask_count(scene, [thing for thing in things if thing.color == color], of_color)
    _ask_count(
        scene, [thing for thing in things if thing.shape == shape], scene.say(SHAPES[shape][1], SHAPES[shape][2])
    )


def _ask_count(scene: Scene, found: list[Thing], what: str) -> None:
    """Numbers the things from left to right, so that the last number is the answer."""
    comma = scene.say(", ", "，")
    listed = comma.join(f"{i} {thing.name(scene.language)}" for i, thing in enumerate(found, 1))
    text = scene.say(f"From left to right: {listed}.", f"从左到右：{listed}。")
    scene.ask("count", "count", thought(text, str(len(found))), {"count": len(found)}, 1.0, things=what)


def _lookups(scene: Scene) -> None:
    rng = scene.rng
    chinese = rng.random() < CHINESE_DOCUMENTS
    ink, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    font = scene.font(15 if chinese else rng.randint(12, 15), chinese=chinese, bold=False)
    table = new_table(scene, font, font, chinese, (canvas.width - 24, canvas.height - 30))
    draw_table(scene, canvas, table, rng.randint(5, 12), rng.randint(5, 14), font, font, ink)
    scene.keep(canvas)
    for row, column in lookups(table)[:6]:
        _ask_lookup(scene, table, row, column)
    count = len(table.rows) - 1
    listed = scene.say(", ", "，").join(f"{i} {row[0]}" for i, row in enumerate(table.rows[1:], 1))
    text = scene.say(f"The rows: {listed}.", f"各行：{listed}。")
    scene.ask(
        "count", "count", thought(text, str(count)), {"count": count}, 0.7, things=scene.say("data rows", "数据行")
    )


def _ask_lookup(scene: Scene, table: Table, row: list[str], column: int) -> None:
    header = table.rows[0]
    values = scene.say(", ", "，").join(line[column] for line in table.rows[1:])
    text = scene.say(
        f"{header[column]}: {values}. {row[column]} is in the row {row[0]}.",
        f"{header[column]}：{values}。{row[column]}在{row[0]}这一行。",
    )
    slots = {"value": row[column], "column": header[column], "names": header[0]}
    scene.ask("table_lookup", "table_lookup", thought(text, row[0]), {"value": row[0]}, 1.0, **slots)


def _receipt(scene: Scene) -> None:
    rng = scene.rng
    chinese = rng.random() < CHINESE_DOCUMENTS
    _, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    font = scene.font(15 if chinese else rng.randint(12, 14), chinese=chinese, bold=False)
    receipt = new_receipt(scene, chinese, rng.randint(1, 3))
    draw_receipt(scene, canvas, receipt, font, chinese)
    scene.keep(canvas)
    total, comma = receipt.money(receipt.total), scene.say(", ", "，")
    listed = comma.join(f"{name} {receipt.money(price)}" for name, price in receipt.items.items())
    text = scene.say(
        f"Items: {listed}. The line {receipt.total_label} says {total}.",
        f"商品：{listed}。{receipt.total_label}一行写着{total}。",
    )
    scene.ask("receipt_total", "receipt_total", thought(text, total), {"value": total}, 1.5)
    count = len(receipt.items)
    numbered = comma.join(f"{i} {name}" for i, name in enumerate(receipt.items, 1))
    text = scene.say(f"The items: {numbered}.", f"商品：{numbered}。")
    scene.ask("count", "count", thought(text, str(count)), {"count": count}, 0.7, things=scene.say("items", "商品"))
