"""Family `text`: words, codes and Chinese in many arrangements, to be read, with boxes too.

Lines are read from top to bottom; of columns the left one first, and of cards and bubbles each before the next. What
bullets and plates add is no text.
"""

from __future__ import annotations

from qwen3vl.drawn.canvas import relative
from qwen3vl.drawn.paper import CHINESE_PAPERS, ink_and_ground, sheet
from qwen3vl.drawn.scene import Scene, fenced_json
from qwen3vl.drawn.text_layouts import LAYOUTS, Line, Pen, Written

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def text(scene: Scene) -> None:
    rng = scene.rng
    chinese = rng.random() < CHINESE_PAPERS
    ink, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    area = sheet(scene, canvas, ink)
    chosen = scene.combine(
        "text",
        layout=tuple(LAYOUTS),
        align=("left", "centre", "right", "indented"),
        spacing=("tight", "normal", "wide"),
        mark=("none", "bar", "rule", "bullet", "number"),
    )
    pen = Pen(scene, canvas, area, ink, chinese, chosen["align"], chosen["spacing"], chosen["mark"])
    page = LAYOUTS[chosen["layout"]](pen)
    scene.keep(canvas)
    _ask(scene, page)


def _ask(scene: Scene, page: Written) -> None:
    rng, lines = scene.rng, page.lines
    texts = [line.text for line in lines]
    boxes = [{"box": relative(line.box, scene.size), "text": line.text} for line in lines]
    items = [{"bbox_2d": item["box"], "text": item["text"]} for item in boxes]
    scene.ask("ocr_boxes", "ocr_boxes", fenced_json(items), {"boxes": boxes}, 1.0)
    if len(lines) == 1:
        scene.ask("ocr_line", "ocr_only", texts[0], {"text": texts[0]}, 3.0)
        said = scene.say(f'The picture shows one line of text: "{texts[0]}".', f"图中有一行文字：“{texts[0]}”。")
    else:
        scene.ask("ocr_page", "ocr_page", "\n".join(texts), {"lines": texts}, 3.0)
        said = scene.say(
            f'The picture shows a text that starts with "{texts[0]}".', f"图中有一段以“{texts[0]}”开头的文字。"
        )
        if page.rows:
            _ask_lines(scene, lines)
            said = scene.say(
                f'The picture shows {len(lines)} lines of text, starting with "{texts[0]}".',
                f"图中有{len(lines)}行文字，第一行是“{texts[0]}”。",
            )
    scene.ask("describe", "describe", said, {"text": said}, 0.4)
    single = [item for item in boxes if sum(str(item["text"]).casefold() in text.casefold() for text in texts) == 1]
    for one in rng.sample(single, min(2, len(single))):
        found = fenced_json([{"bbox_2d": one["box"], "text": one["text"]}])
        scene.ask("ocr_boxes", "ocr_find", found, {"boxes": [one]}, 0.6, text=str(one["text"]))


def _ask_lines(scene: Scene, lines: list[Line]) -> None:
    """Single lines by their number, as the last one, or by their neighbour."""
    rng, texts = scene.rng, [line.text for line in lines]

    def ask(i: int, english: str, chinese: str, weight: float) -> None:
        which = scene.say(english, chinese)
        scene.ask("ocr_line", "ocr_line", texts[i], {"text": texts[i]}, weight, which=which)

    for i in rng.sample(range(len(lines)), min(3, len(lines))):
        ask(i, rng.choice((f"line {i + 1}", f"the {ORDINALS[i]} line")), f"第{i + 1}行", 1.0)
    ask(-1, "the last line", "最后一行", 0.5)
    i = rng.randrange(len(lines) - 1)
    if texts.count(texts[i]) == 1:
        ask(i + 1, f'the line below "{texts[i]}"', f"“{texts[i]}”下面一行", 0.4)
    heights = [line.box[3] - line.box[1] for line in lines]
    if lines[0].size > 1.35 * max(line.size for line in lines[1:]) and heights[0] == max(heights):
        ask(0, rng.choice(("the heading", "the title")), "标题", 0.6)
