"""Family `pages`: two or three pages of one document, and questions whose answers name the page."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qwen3vl.drawn.canvas import Box, Canvas, Color, relative
from qwen3vl.drawn.documents import scan
from qwen3vl.drawn.form_drawing import Entry, new_look
from qwen3vl.drawn.forms import TITLES, draw_form, page_text
from qwen3vl.drawn.paper import CHINESE_PAPERS, SMALLEST, SMALLEST_CHINESE, ink_and_ground, sheet
from qwen3vl.drawn.scene import Scene

SIZES = ((256, 256), (224, 320), (256, 288), (224, 352))
HELD_OUT_SIZES = ((256, 320), (224, 384))
TELLING = 3  # characters that a value has at least, if a page is looked for by it
MOST_ASKED = 4  # fields of a page
SCANNED = 0.06  # of single pages


@dataclass(frozen=True)
class Page:
    title: str
    entries: list[Entry]

    def has(self, text: str) -> bool:
        """Whether a reader could find `text` somewhere on the page, be it within something longer."""
        texts = [self.title, *(text for entry in self.entries for text in (entry.label, entry.value, *entry.options))]
        return any(text.casefold() in written.casefold() for written in texts)

    def has_label(self, label: str) -> bool:
        return any(entry.label == label for entry in self.entries)


def pages(scene: Scene) -> None:
    rng = scene.rng
    scene.kind = "pages"
    chinese = rng.random() < CHINESE_PAPERS
    ink, ground = ink_and_ground(scene)
    titles = [pair[chinese] for pair in rng.sample(TITLES, rng.choice((2, 2, 3)))]
    look, alike = new_look(scene), rng.random() < 0.6
    numbered = rng.choice(("", "", "{}", "- {} -", "{} / {}"))
    made = []
    for number, title in enumerate(titles, 1):
        canvas = scene.canvas(ground)
        left, top, right, bottom = sheet(scene, canvas, ink)
        if numbered:
            bottom = _number(scene, canvas, (left, top, right, bottom), numbered.format(number, len(titles)), ink)
        used = look if alike else new_look(scene)
        used = replace(used, title=rng.choice(("left", "centre", "ruled"))) if used.title == "none" else used
        made.append(Page(title, draw_form(scene, canvas, (left, top, right, bottom), ink, used, title, chinese)))
        scene.keep(canvas)
        if rng.random() < SCANNED:
            scan(scene)
    _ask(scene, made)


def _number(scene: Scene, canvas: Canvas, area: Box, text: str, ink: Color) -> int:
    """Writes the page's number at the foot; returns the y above it."""
    font = scene.font(scene.rng.randint(SMALLEST, SMALLEST_CHINESE), bold=False)
    room = area[2] - area[0] - font.width(text) - 12
    canvas.text(area[0] + 6 + scene.rng.choice((room // 2, room)), area[3] - font.height - 2, text, font, ink)
    return area[3] - font.height - 2


def _ask(scene: Scene, made: list[Page]) -> None:
    scene.texts += [page_text(page.title, page.entries) for page in made]
    for number, page in enumerate(made, 1):
        here = scene.say(f"Page {number}", f"第{number}页")
        truth = {"page": number, "value": page.title}
        others = [other for other in made if other is not page]
        if not any(other.has(page.title) for other in others):
            scene.ask("pages_question", "page_of_title", here, truth, 1.0, title=page.title)
        for entry in scene.rng.sample(page.entries, min(MOST_ASKED, len(page.entries))):
            truth, place = {"page": number, "value": entry.value}, None
            if entry.box:
                place = relative(entry.box, scene.size)
            telling = len(entry.value) >= TELLING and not entry.options
            if telling and not any(other.has(entry.value) for other in others):
                scene.ask("pages_question", "page_of_value", here, truth, 0.7, place, value=entry.value)
            answer = scene.say(f"{entry.value} (page {number})", f"{entry.value}（第{number}页）")
            if any(other.has_label(entry.label) for other in others):
                which = scene.say(f"page {number}", f"第{number}页")
                scene.ask("pages_question", "page_field_on", answer, truth, 1.0, place, field=entry.label, which=which)
            else:
                scene.ask("pages_question", "page_field", answer, truth, 1.0, place, field=entry.label)
    things = scene.say("pages", "页")
    scene.ask("count", "count", str(len(made)), {"count": len(made)}, 0.5, things=things)
