"""Every state of the page in both languages, by day and by night, on a desktop and on a telephone: it fits, nothing is
left untranslated, nothing comes from elsewhere. Screenshots are left in out/screenshots, for people to look at.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from support import drawing
from support.answers import DRAWIO
from support.pages import Site, attach, document, film, no_sideways, open_page, png, shoot

PROSE = """The roots of $ax^2 + bx + c = 0$ are

$$x = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a}$$

1. **First**, find the discriminant.
2. Then use it:

```python
def roots(a, b, c):
    d = (b * b - 4 * a * c) ** 0.5
    return (-b + d) / (2 * a), (-b - d) / (2 * a)
```

| a | b | c | roots |
|---|---|---|---|
| 1 | -3 | 2 | 1, 2 |
"""
BOXES = (
    '```json\n[{"bbox_2d": [46, 390, 170, 570], "label": "red square"}, '
    '{"bbox_2d": [340, 100, 510, 400], "label": "blue circle"}, '
    '{"point_2d": [670, 780], "label": "green triangle"}]\n```'
)
PAGE = """```html
<!DOCTYPE html><html><head><style>body{font-family:sans-serif;margin:16px}h1{font-size:22px}button{background:#16a34a;
color:#fff;border:0;padding:6px 12px;border-radius:4px}</style></head><body><h1>Welcome home</h1>
<p>Send us a message</p><a href="#">Learn more</a><p>
<input placeholder="Email"></p><button>Submit</button></body></html>
```"""
EVENTS = (
    '[{"start": "00:00.00", "end": "00:02.50", "description": "The square stands on the left."},'
    '{"start": "00:02.50", "end": "00:06.00", "description": "It moves to the right."},'
    '{"start": "00:06.00", "end": "00:08.00", "description": "It reaches the edge."}]'
)
CITED = (
    '{"answer": "The total is 42 euros.", "citations": [{"page": 2, "quote": "Total 42 EUR", '
    '"bbox_2d": [110, 90, 420, 125]}, {"page": 1, "quote": "Invoice", "bbox_2d": [110, 90, 300, 125]}]}'
)
LOOKS = [("en", "light", 1360), ("zh", "dark", 390)]


@pytest.mark.parametrize(("language", "colours", "width"), LOOKS)
def test_every_state_fits_and_is_translated(page: Page, site: Site, language: str, colours: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 860 if width > 500 else 844})
    open_page(page, site.url, language=language, colours=colours)
    look = Look(page, f"{language}-{colours}-{width}", language)
    look("empty")

    words = {"en": "How do I solve a quadratic equation?", "zh": "怎样解一元二次方程？"}[language]
    site.says(f"<think>\nA quadratic equation.\n</think>\n\n{PROSE}")
    look.ask(words)
    expect(page.locator(".katex")).to_have_count(2)
    look("prose")

    page.locator(".bar button[aria-expanded]").click()
    page.locator("#task").select_option("grounding")
    attach(page, png("shapes.png", drawing.shapes().image))
    look("composer")
    page.locator(".bar button[aria-expanded]").click()
    site.says(BOXES, logprobs=True)
    look.ask({"en": "all shapes", "zh": "所有形状"}[language])
    expect(page.locator(".stage .mark")).to_have_count(3)
    look("picture")
    if width < 500:
        page.locator(".to-results").last.click()
        look("results")

    page.locator("#task").select_option("screenshot_to_code")
    attach(page, png("page.png", drawing.page().image))
    site.says(PAGE)
    look.ask("")
    expect(page.frame_locator("iframe").locator("h1")).to_have_text("Welcome home")
    look("code")

    page.locator("#task").select_option("video_events")
    attach(page, {"name": "square.webm", "mimeType": "video/webm", "buffer": film()})
    look("video-card")
    site.says(EVENTS)
    look.ask("")
    expect(page.locator(".strip button")).to_have_count(3)
    look("timeline")

    page.locator("#task").select_option("documents")
    attach(page, {"name": "invoice.pdf", "mimeType": "application/pdf", "buffer": document("Invoice", "Total 42 EUR")})
    site.says(CITED)
    look.ask({"en": "How much is it?", "zh": "一共多少钱？"}[language])
    expect(page.locator(".page .mark.lit")).to_have_count(1)
    look("pages")

    page.locator("#task").select_option("diagram")
    site.says(f"```xml\n{DRAWIO}\n```")
    look.ask("")
    expect(page.locator(".draft .node")).to_have_count(2)
    look("diagram")

    page.locator("#task").select_option("extract")
    site.says('{"merchant": "Café", "items": [{"name": "Tea", "price": 2.5}], "total": 2.5, "paid": true}')
    look.ask("")
    expect(page.locator("table.fields tr")).to_have_count(5)
    look("fields")

    if width < 500:
        page.locator(".head .menu").click()
    expect(page.locator(".conversations li").first).to_be_visible()
    page.locator(".model-box").click()
    expect(page.locator("dialog.models li")).not_to_have_count(0)
    look("models")
    page.keyboard.press("Escape")


class Look:
    """Takes a picture of a state, and holds it against what is true of all states."""

    def __init__(self, page: Page, name: str, language: str) -> None:
        self._page, self._name, self._language = page, name, language

    def __call__(self, state: str) -> None:
        shoot(self._page, f"{self._name}-{state}")
        assert no_sideways(self._page), state
        if self._language == "zh":
            assert untranslated(self._page) == [], state

    def ask(self, text: str) -> None:
        page = self._page
        answers = page.locator(".turn.answer").count()
        page.locator(".box textarea").fill(text)
        page.locator(".send").click()
        expect(page.locator(".turn.answer")).to_have_count(answers + 1)
        expect(page.locator(".turn.answer").last.locator(".status.done")).to_be_visible(timeout=30_000)
        expect(page.locator(".send.stopping")).to_have_count(0)


# What is the same in every language, and what is not the page's own words.
_ALIKE = re.compile(
    r"(Qwen3-VL|English|Markdown|JSON|schema|HTML|Draw\.io|Mermaid|SVG|CSV|SRT|DRAWIO|MD|PY|Top [pk]|[KMG]?B|M|cpu"
    r"|token|float32|m?s|\W|\d)+"
)
_OWN = (
    ".prose, .bubble, .mark, .marks, pre, q, .events, table, .conversations, .samples, .head h2, .models b, iframe, "
    ".model-box b, option, textarea, .card b, .hint, .draft, figcaption, .page, .panel-bar b, .katex"
)


def untranslated(page: Page) -> list[str]:
    """Words of the page that hold Latin letters where there should be Chinese."""
    texts = page.evaluate(
        """(own) => {
            const walk = document.createTreeWalker(document.querySelector("#app"), NodeFilter.SHOW_TEXT);
            const found = [];
            while (walk.nextNode()) {
                const parent = walk.currentNode.parentElement;
                if (parent.closest(own) || !parent.checkVisibility()) continue;
                found.push(walk.currentNode.textContent.trim());
            }
            return found;
        }""",
        _OWN,
    )
    return [text for text in texts if text and not re.search("[\u4e00-\u9fff]", text) and not _ALIKE.fullmatch(text)]
