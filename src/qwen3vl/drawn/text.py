"""Family `text`: lines of words, codes and Chinese on plain or patterned grounds, to be read, with boxes too."""

from __future__ import annotations

from dataclasses import dataclass

from qwen3vl.drawn.canvas import Box, Canvas, Color, relative
from qwen3vl.drawn.fonts import Font
from qwen3vl.drawn.scene import Scene, fenced_json

SMALLEST, SMALLEST_CHINESE = 12, 15  # font sizes: below these a 16-pixel patch holds too little of a glyph
CHINESE_PICTURES = 0.35
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


@dataclass(frozen=True)
class Line:
    text: str
    box: Box


def ink_and_ground(scene: Scene) -> tuple[Color, Color]:
    """A dark colour on a light one, or the other way round three times in ten."""
    rng = scene.rng
    level = rng.randint(218, 255)
    light = tuple(max(0, min(255, level + rng.randint(-12, 12))) for _ in range(3))
    dark = tuple(rng.randint(0, 100) for _ in range(3)) if rng.random() < 0.5 else (rng.randint(0, 60),) * 3
    pair: tuple[Color, Color] = ((dark[0], dark[1], dark[2]), (light[0], light[1], light[2]))
    return pair if rng.random() < 0.7 else (pair[1], pair[0])


def written(scene: Scene, font: Font, width: int, *, chinese: bool) -> str:
    """A line of text that fits `width` pixels: words, codes, or Chinese with now and then a number."""
    rng, words = scene.rng, scene.words
    if chinese:
        room = max(1, min(width // (font.size + 1), rng.choice((3, 5, 8, 12, 20))))
        line = words.zh_sentence(room, room) if room > 5 and rng.random() < 0.4 else words.zh(room, room)
        end = rng.choice((words.number(), words.price(), words.date(), words.serial())) if rng.random() < 0.2 else ""
        line = line + end if font.width(line + end) <= width else line
        while font.width(line) > width:
            line = line[:-1]
        return line
    if rng.random() < 0.2:
        line = words.sentence(2, 6)
    else:
        line = " ".join(words.token() for _ in range(rng.choice((1, 1, 2, 3, 4, 5))))
    while font.width(line) > width:
        line = line.rpartition(" ")[0] or words.cased()
    return line


def text(scene: Scene) -> None:
    chinese = scene.rng.random() < CHINESE_PICTURES
    color, ground = ink_and_ground(scene)
    canvas = scene.canvas(ground)
    _pattern(scene, canvas)
    layout = scene.pick((_big, _page, _page, _page, _signs), (_big, _page, _page, _cards))
    lines = layout(scene, canvas, color, chinese)
    scene.keep(canvas)
    _ask(scene, lines)


def _pattern(scene: Scene, canvas: Canvas) -> None:
    """Soft blocks behind the text, a quarter of the time."""
    rng = scene.rng
    if rng.random() < 0.25:
        for _ in range(rng.randint(1, 4)):
            x, y = rng.randrange(canvas.width), rng.randrange(canvas.height)
            r, g, b = (min(255, max(0, value + rng.randint(-14, 14))) for value in canvas.background)
            canvas.draw.rectangle((x, y, x + rng.randint(10, 160), y + rng.randint(10, 160)), (r, g, b))


def _place(canvas: Canvas, x: int, y: int, line: str, font: Font, color: Color) -> Line:
    canvas.text(x, y, line, font, color)
    return Line(line, font.ink(x, y, line))


def _size(scene: Scene, chinese: bool, low: int, high: int) -> int:
    return max(scene.rng.randint(low, high), SMALLEST_CHINESE if chinese else SMALLEST)


def _big(scene: Scene, canvas: Canvas, color: Color, chinese: bool) -> list[Line]:
    """One to three large lines, left or centred."""
    rng = scene.rng
    lines: list[Line] = []
    y, middle = rng.randint(4, canvas.height // 2), rng.random() < 0.5
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        font = scene.font(_size(scene, chinese, 18, 34), chinese=chinese)
        if y + font.height > canvas.height - 2:
            break
        line = written(scene, font, canvas.width - 16, chinese=chinese)
        x = (canvas.width - font.width(line)) // 2 if middle else rng.randint(4, canvas.width - 10 - font.width(line))
        lines.append(_place(canvas, x, y, line, font, color))
        y += font.height + rng.randint(2, 20)
    return lines


def _page(scene: Scene, canvas: Canvas, color: Color, chinese: bool) -> list[Line]:
    """Two to eight lines of running text in one or two fonts, with a left margin."""
    rng = scene.rng
    lines: list[Line] = []
    font = scene.font(_size(scene, chinese, 12, 20), chinese=chinese)
    other = scene.font(_size(scene, chinese, 13, 22), chinese=chinese, bold=True) if rng.random() < 0.35 else font
    margin, y, gap = rng.randint(4, 40), rng.randint(3, 40), rng.randint(1, 12)
    for i in range(rng.randint(2, 8)):
        used = other if i == 0 else font
        if y + used.height > canvas.height - 2:
            break
        line = written(
            scene, used, canvas.width - margin - 6, chinese=chinese != (rng.random() < 0.08 and used.face.chinese)
        )
        lines.append(_place(canvas, margin, y, line, used, color))
        y += used.height + gap
    return lines


def _signs(scene: Scene, canvas: Canvas, color: Color, chinese: bool) -> list[Line]:
    """Lines of different fonts and sizes, each on its own height at any left edge, some on a coloured plate."""
    rng = scene.rng
    lines: list[Line] = []
    y = rng.randint(3, 24)
    while len(lines) < 6:
        font = scene.font(_size(scene, chinese, 12, 24), chinese=chinese)
        if y + font.height > canvas.height - 4:
            break
        line = written(scene, font, canvas.width - 24, chinese=chinese)
        x = rng.randint(8, canvas.width - 12 - font.width(line))
        if rng.random() < 0.3:
            canvas.rectangle(
                (x - 5, y - 1, x + font.width(line) + 5, y + font.height + 1), color, radius=rng.choice((0, 3, 6))
            )
            lines.append(_place(canvas, x, y, line, font, canvas.background))
        else:
            lines.append(_place(canvas, x, y, line, font, color))
        y += font.height + rng.randint(4, 26)
    return lines


def _cards(scene: Scene, canvas: Canvas, color: Color, chinese: bool) -> list[Line]:
    """Held-out layout: framed cards of two lines each."""
    rng = scene.rng
    lines: list[Line] = []
    font = scene.font(_size(scene, chinese, 12, 18), chinese=chinese)
    y, height = rng.randint(4, 16), 2 * font.height + 12
    while y + height < canvas.height - 2 and len(lines) < 8:
        left = rng.randint(4, 24)
        canvas.rectangle((left, y, canvas.width - 6, y + height), line=color, radius=5)
        for i in range(2):
            line = written(scene, font, canvas.width - left - 24, chinese=chinese)
            lines.append(_place(canvas, left + 9, y + 5 + i * (font.height + 2), line, font, color))
        y += height + rng.randint(5, 18)
    return lines


def _ask(scene: Scene, lines: list[Line]) -> None:
    rng = scene.rng
    texts = [line.text for line in lines]
    boxes = [{"box": relative(line.box, scene.size), "text": line.text} for line in lines]
    items = [{"bbox_2d": item["box"], "text": item["text"]} for item in boxes]
    scene.ask("ocr_boxes", "ocr_boxes", fenced_json(items), {"boxes": boxes}, 1.0)
    count = len(lines)
    if count == 1:
        scene.ask("ocr_line", "ocr_only", texts[0], {"text": texts[0]}, 3.0)
        said = scene.say(f'The picture shows one line of text: "{texts[0]}".', f"图中有一行文字：“{texts[0]}”。")
    else:
        scene.ask("ocr_page", "ocr_page", "\n".join(texts), {"lines": texts}, 3.0)
        for i in rng.sample(range(count), min(3, count)):
            which = scene.say(rng.choice((f"line {i + 1}", f"the {ORDINALS[i]} line")), f"第{i + 1}行")
            scene.ask("ocr_line", "ocr_line", texts[i], {"text": texts[i]}, 1.0, which=which)
        last = scene.say("the last line", "最后一行")
        scene.ask("ocr_line", "ocr_line", texts[-1], {"text": texts[-1]}, 0.5, which=last)
        said = scene.say(
            f'The picture shows {count} lines of text, starting with "{texts[0]}".',
            f"图中有{count}行文字，第一行是“{texts[0]}”。",
        )
    scene.ask("describe", "describe", said, {"text": said}, 0.4)
    one = rng.choice(boxes)
    found = fenced_json([{"bbox_2d": one["box"], "text": one["text"]}])
    if texts.count(str(one["text"])) == 1:
        scene.ask("ocr_boxes", "ocr_find", found, {"boxes": [one]}, 1.0, text=str(one["text"]))
