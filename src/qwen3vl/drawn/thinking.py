"""Family `thinking`: counting and look-ups with a short `<think>` before the answer, switched on by the prompt."""

from __future__ import annotations

from qwen3vl.drawn.paper import CHINESE_PAPERS, SMALLEST, SMALLEST_CHINESE, ink_and_ground, sheet
from qwen3vl.drawn.receipts import draw_receipt
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.shapes import arrange, ground, nameable
from qwen3vl.drawn.table_drawing import draw_table, new_look
from qwen3vl.drawn.tables import Table, lookups, new_table
from qwen3vl.drawn.things import COLORS, SHAPES, Thing


def thinking(scene: Scene) -> None:
    scene.thinking = True
    if scene.rng.random() < 0.5:
        scene.system = scene.fill("think_system")
    else:
        scene.cue = scene.fill("think_cue")
    scene.rng.choice((_counting, _counting, _lookups, _receipt))(scene)


def thought(text: str, answer: str) -> str:
    """The answer as the released Thinking models lay it out."""
    return f"<think>\n{text}\n</think>\n\n{answer}"


def _counting(scene: Scene) -> None:
    rng = scene.rng
    chosen = scene.combine(
        "counting",
        places=("scattered", "scattered", "rows", "grid", "diagonal"),
        sizes=("alike", "mixed", "small", "large"),
        ground=("plain", "lines", "dots", "gradient"),
    )
    canvas = ground(scene, chosen["ground"])
    things = arrange(scene, canvas, rng.randint(3, 9), places=chosen["places"], sizes=chosen["sizes"])
    scene.keep(canvas)
    color, kinds = rng.choice(things).color, nameable(things)
    shape = rng.choice([thing.shape for thing in things if thing.shape in kinds])
    _ask_count(scene, things, scene.say("shapes", "图形"))
    of_color = scene.say(f"{color} shapes", f"{COLORS[color][1]}图形")
    _ask_count(scene, [thing for thing in things if thing.color == color], of_color)
    of_shape = scene.say(SHAPES[shape][1], SHAPES[shape][2])
    _ask_count(scene, [thing for thing in things if thing.shape == shape], of_shape)


def _ask_count(scene: Scene, found: list[Thing], what: str) -> None:
    """Numbers the things in reading order, so that the last number is the answer."""
    comma = scene.say(", ", "，")
    listed = comma.join(f"{i} {thing.name(scene.language)}" for i, thing in enumerate(found, 1))
    text = scene.say(f"From top to bottom: {listed}.", f"从上到下：{listed}。")
    scene.ask("count", "count", thought(text, str(len(found))), {"count": len(found)}, 1.0, things=what)


def _lookups(scene: Scene) -> None:
    rng = scene.rng
    chinese = rng.random() < CHINESE_PAPERS
    ink, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    left, top, right, bottom = sheet(scene, canvas, ink)
    size = SMALLEST_CHINESE if chinese else rng.randint(SMALLEST, 15)
    fonts = scene.font(size, chinese=chinese, bold=False), scene.font(size, chinese=chinese, bold=True)
    look = new_look(scene)
    box = left + rng.randint(5, 12), top + rng.randint(5, 14), right - 6, bottom - 6
    table = new_table(scene, *fonts, chinese, look, (box[2] - box[0], box[3] - box[1]))
    draw_table(scene, canvas, table.rows, box, fonts, ink, look)
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
    chinese = rng.random() < CHINESE_PAPERS
    _, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    font = scene.font(SMALLEST_CHINESE if chinese else rng.randint(SMALLEST, 14), chinese=chinese, bold=False)
    receipt = draw_receipt(scene, canvas, font, chinese, rng.randint(1, 4))
    scene.keep(canvas)
    total, comma = receipt.money(receipt.total), scene.say(", ", "，")
    listed = comma.join(f"{item.name} {receipt.item_money(item.amount)}" for item in receipt.items)
    text = scene.say(
        f"Items: {listed}. The line {receipt.total_label} says {total}.",
        f"商品：{listed}。{receipt.total_label}一行写着{total}。",
    )
    scene.ask("receipt_total", "receipt_total", thought(text, total), {"value": total}, 1.5)
    names = [item.name for item in receipt.items]
    count = len(names)
    numbered = comma.join(f"{i} {name}" for i, name in enumerate(names, 1))
    text = scene.say(f"The items: {numbered}.", f"商品：{numbered}。")
    things = scene.say("different items", "不同的商品") if receipt.counted else scene.say("items", "商品")
    scene.ask("count", "count", thought(text, str(count)), {"count": count}, 0.7, things=things)
