"""Family `pages`: two or three pages of one document, and questions whose answers name the page."""

from __future__ import annotations

from dataclasses import dataclass

from qwen3vl.drawn.forms import TITLES, draw_fields
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.tables import CHINESE_DOCUMENTS
from qwen3vl.drawn.text import ink_and_ground

SIZES = ((256, 256), (224, 320), (256, 288), (224, 352))
HELD_OUT_SIZES = ((256, 320), (224, 384))


@dataclass(frozen=True)
class Page:
    title: str
    fields: dict[str, str]


def pages(scene: Scene) -> None:
    rng, words = scene.rng, scene.words
    scene.kind = "pages"
    chinese = rng.random() < CHINESE_DOCUMENTS
    ink, ground = ink_and_ground(scene)
    size = rng.randint(15, 16) if chinese else rng.randint(12, 15)
    font = scene.font(size, chinese=chinese, bold=False)
    bold = scene.font(size + 4, chinese=chinese, bold=True)
    titles = [pair[chinese] for pair in rng.sample(TITLES, rng.choice((2, 2, 3)))]
    made = []
    for title in titles:
        canvas = scene.canvas(ground)
        x, y = rng.randint(6, 18), rng.randint(5, 16)
        canvas.text(x, y, title, bold, ink)
        y += bold.height + 6
        if rng.random() < 0.3:
            line = words.zh_sentence(5, 9) if chinese else words.sentence(2, 3)
            if font.width(line) < canvas.width - x - 6:
                canvas.text(x, y, line, font, ink)
                y += font.height + 4
        made.append(Page(title, draw_fields(scene, canvas, x, y, font, ink, chinese)))
        scene.keep(canvas)
    _ask(scene, made)


def _ask(scene: Scene, made: list[Page]) -> None:
    for number, page in enumerate(made, 1):
        here = scene.say(f"Page {number}", f"第{number}页")
        truth = {"page": number, "value": page.title}
        scene.ask("pages_question", "page_of_title", here, truth, 1.0, title=page.title)
        others = [other for other in made if other is not page]
        for label, value in page.fields.items():
            truth = {"page": number, "value": value}
            if not any(value in other.fields.values() for other in others):
                scene.ask("pages_question", "page_of_value", here, truth, 0.7, value=value)
            answer = scene.say(f"{value} (page {number})", f"{value}（第{number}页）")
            if any(label in other.fields for other in others):
                which = scene.say(f"page {number}", f"第{number}页")
                scene.ask("pages_question", "page_field_on", answer, truth, 1.0, field=label, which=which)
            else:
                scene.ask("pages_question", "page_field", answer, truth, 1.0, field=label)
    things = scene.say("pages", "页")
    scene.ask("count", "count", str(len(made)), {"count": len(made)}, 0.5, things=things)
