"""Every task of the page, asked of the shipped model itself: from a file that is dropped in to its rendered result.

The pictures are drawn with words, fonts and layouts that training never showed, and the truth about them is known. On a
desktop the page speaks English, on a telephone Chinese.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as WaitedTooLong

from qwen3vl.drawn import Sample, Turn, draw
from qwen3vl.tasks.registry import TASKS
from support.drawing import Rectangle, iou
from support.pages import Site, film_of, no_sideways, on_picture, open_page, png, send_files
from support.server import wait_until

LOOKS = {"en": (1280, 860), "zh": (390, 844)}
MARKS, IMAGE = ".stage .mark", ".stage img"


@dataclass(frozen=True)
class Asked:
    """A task, what is drawn for it, how it is asked, and what must be seen of the answer."""

    task: str
    family: str
    drawn: str  # the drawn sample's task
    seeds: dict[str, int]  # by language
    check: Callable[[Page, Sample, Turn, str], None]
    choices: dict[str, str] = field(default_factory=dict)  # of the form
    text: Callable[[Turn], str] = lambda turn: ""


def size(sample: Sample) -> tuple[int, int]:
    height, width, _ = sample.frames[0].shape
    return width, height


def in_pixels(box: list[int], sample: Sample) -> Rectangle:
    width, height = size(sample)
    x1, y1, x2, y2 = box
    return x1 * width / 1000, y1 * height / 1000, x2 * width / 1000, y2 * height / 1000


def expect_boxes(page: Page, sample: Sample, boxes: list[list[int]]) -> None:
    """Each box is marked on the picture where it is, and nothing else is."""
    marks, image = page.locator(MARKS), page.locator(IMAGE)
    expect(marks).to_have_count(len(boxes))

    def all_stand_there() -> bool:  # a smooth scroll to them may be under way
        shown = [on_picture(mark, image, size(sample)) for mark in marks.all()]
        return all(max(iou(in_pixels(box, sample), each) for each in shown) > 0.5 for box in boxes)

    wait_until(all_stand_there)


def said(page: Page) -> str:
    return page.locator(".turn.answer .said").inner_text()


def check_chat(page: Page, sample: Sample, turn: Turn, language: str) -> None:
    assert str(turn.truth["count"]) in said(page)


def check_action(page: Page, sample: Sample, turn: Turn, language: str) -> None:
    expect(page.locator(".marks .action b")).to_have_text({"en": "Click", "zh": "点击"}[language])
    expect_boxes(page, sample, [turn.truth["box"]])
    expect(page.locator(MARKS)).to_have_text(turn.truth["element"])


def check_boxes(page: Page, sample: Sample, turn: Turn, language: str) -> None:
    expect_boxes(page, sample, [each["box"] for each in turn.truth["boxes"]])


def check_lines(page: Page, sample: Sample, turn: Turn, language: str) -> None:
    expect_boxes(page, sample, [each["box"] for each in turn.truth["boxes"]])
    expect(page.locator(".marks li b")).to_have_text([each["text"] for each in turn.truth["boxes"]])


def check_table(page: Page, sample: Sample, turn: Turn, language: str) -> None:
    rows = page.locator(".panel table tr")
    expect(rows).to_have_count(len(turn.truth["rows"]))
    assert [row.locator("td").all_inner_texts() for row in rows.all()] == turn.truth["rows"]


def check_fields(page: Page, sample: Sample, turn: Turn, language: str) -> None:
    wanted = {name: str(value) for name, value in (turn.truth.get("fields") or turn.truth["values"]).items()}
    rows = page.locator("table.fields tbody tr")
    expect(rows).to_have_count(len(wanted))
    assert {row.locator("th").inner_text(): row.locator("td").inner_text() for row in rows.all()} == wanted


def check_page(page: Page, sample: Sample, turn: Turn, language: str) -> None:
    body = page.frame_locator("iframe").locator("body")
    for words in Words.of(turn.truth["html"]):
        expect(body).to_contain_text(words)
    assert page.locator(".editor").input_value().startswith("<!DOCTYPE")
    expect(page.locator(".sides figure")).to_have_count(2)  # the picture and the page made of it


def check_diagram(page: Page, sample: Sample, turn: Turn, language: str) -> None:
    texts = sorted(node["text"] for node in turn.truth["nodes"])
    expect(page.locator(".draft .node")).to_have_count(len(texts))
    assert sorted(page.locator(".draft .node-text").all_text_contents()) == texts
    expect(page.locator(".draft .edge")).to_have_count(len(turn.truth["edges"]))
    with page.expect_download() as download:
        page.locator(".exports").get_by_role("link", name="DRAWIO").click()
    cells = ElementTree.parse(Path(download.value.path())).getroot().iter("mxCell")
    assert sorted(cell.get("value", "") for cell in cells if cell.get("vertex")) == texts


def check_events(page: Page, sample: Sample, turn: Turn, language: str) -> None:
    events = page.locator(".events li")
    expect(events).to_have_count(len(turn.truth["events"]))
    expect(page.locator(".strip button")).to_have_count(len(turn.truth["events"]))
    for number, event in enumerate(turn.truth["events"]):
        row = events.nth(number)
        assert float(row.get_attribute("data-start") or -1) == pytest.approx(event["start"], abs=0.5)
        assert float(row.get_attribute("data-end") or -1) == pytest.approx(event["end"], abs=0.5)
        expect(row).to_contain_text(event["description"])
    check_seeking(page, turn.truth["events"][-1]["start"])


def check_moment(page: Page, sample: Sample, turn: Turn, language: str) -> None:
    expect(page.locator(".events li")).to_have_count(1)
    check_seeking(page, turn.truth["seconds"])


def check_seeking(page: Page, seconds: float) -> None:
    """A click on the last event brings the film there."""
    page.wait_for_function("document.querySelector('.timeline video').readyState > 0")
    page.locator(".events button").last.click()
    time = "document.querySelector('.timeline video').currentTime"
    wait_until(lambda: page.evaluate(time) == pytest.approx(seconds, abs=0.5))


def check_source(page: Page, sample: Sample, turn: Turn, language: str) -> None:
    assert turn.truth["value"] in said(page)
    expect(page.locator(".panel .page img")).to_have_attribute("src", re.compile(f"pages/{turn.truth['page']}"))
    wait_until(lambda: page.evaluate("document.querySelector('.panel .page img').naturalWidth") > 0)


def check_text(page: Page, sample: Sample, turn: Turn, language: str) -> None:
    page.locator("#tab-text").click()
    expect(page.locator(".panel pre")).to_have_text("\n".join(turn.truth["lines"]))


def check_count(page: Page, sample: Sample, turn: Turn, language: str) -> None:
    expect(page.locator(".marks .count")).to_contain_text(str(turn.truth["count"]))


def question(turn: Turn) -> str:
    return turn.question


def first_label(turn: Turn) -> str:
    label: str = turn.truth["boxes"][0]["label"]
    return label


ASKED = (
    Asked("chat", "shapes", "count", {"en": 1, "zh": 0}, check_chat, text=question),
    Asked("gui_agent", "screens", "gui_click", {"en": 0, "zh": 4}, check_action, {"form": "json"}, question),
    Asked("grounding", "shapes", "boxes", {"en": 0, "zh": 0}, check_boxes, text=first_label),
    Asked("ocr", "text", "ocr_boxes", {"en": 1, "zh": 15}, check_lines, {"form": "lines"}),
    Asked("tables", "documents", "table_html", {"en": 3, "zh": 13}, check_table),
    Asked("extract", "documents", "key_values", {"en": 1, "zh": 0}, check_fields),
    Asked("screenshot_to_code", "web", "html", {"en": 1, "zh": 5}, check_page),
    Asked("chart_to_code", "charts", "chart_values", {"en": 0, "zh": 12}, check_fields, {"result": "data"}),
    Asked("diagram", "diagrams", "drawio", {"en": 0, "zh": 10}, check_diagram),
    Asked("video_events", "video", "video_events", {"en": 1, "zh": 0}, check_events),
    Asked("video_when", "video", "video_when", {"en": 0, "zh": 0}, check_moment, text=question),
    Asked("video_summary", "video", "video_chapters", {"en": 1, "zh": 0}, check_events),
    Asked("documents", "pages", "pages_question", {"en": 3, "zh": 2}, check_source, {"citations": ""}, question),
)


def test_every_task_is_here() -> None:
    assert [asked.task for asked in ASKED] == list(TASKS)


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.task)
@pytest.mark.parametrize("language", LOOKS)
def test_from_a_file_to_its_result(page: Page, site: Site, asked: Asked, language: str) -> None:
    sample, turn = sample_of(asked, language)
    start(page, site, language)
    put(page, asked.task, file_of(sample, asked.task), asked.choices)
    send(page, asked.text(turn))
    if asked.task != "chat":
        results(page)
    asked.check(page, sample, turn, language)
    assert no_sideways(page)


OTHERS = (
    Asked("ocr", "text", "ocr_page", {"zh": 10}, check_text),
    Asked("grounding", "shapes", "count", {"en": 1}, check_count, {"ask": "count"}, lambda turn: "shapes"),
)


@pytest.mark.parametrize("asked", OTHERS, ids=lambda asked: f"{asked.task} {asked.drawn}")
def test_other_forms_of_a_result(page: Page, site: Site, asked: Asked) -> None:
    [language] = asked.seeds
    test_from_a_file_to_its_result(page, site, asked, language)


@pytest.mark.parametrize(
    ("task", "choices", "text", "language"),
    [
        ("ocr", {"form": "translation"}, "", "en"),
        ("grounding", {"ask": "boxes_3d"}, "all shapes", "en"),
        ("chart_to_code", {"result": "code"}, "", "zh"),
        ("diagram", {"form": "mermaid"}, "", "zh"),
        ("diagram", {"form": "svg"}, "", "en"),
    ],
)
def test_what_the_small_model_has_not_learnt_is_answered_and_said(
    page: Page, site: Site, task: str, choices: dict[str, str], text: str, language: str
) -> None:
    """No error: an answer, and in the page's language what cannot be read of it."""
    start(page, site, language)
    drawn = draw(random.Random(3), "shapes", split="held_out", task="count")
    put(page, task, file_of(drawn, task), choices)
    send(page, text)
    results(page)
    assert said(page)
    assert page.locator("[role=alert]:visible, dialog[open]").count() == 0
    for warning in page.locator(".warning").all_inner_texts():
        assert bool(re.search("[\u4e00-\u9fff]", warning)) == (language == "zh"), warning


def sample_of(asked: Asked, language: str) -> tuple[Sample, Turn]:
    """The first sample from the seed on that is worded in the language."""
    for seed in range(asked.seeds[language], 10_000):
        sample = draw(random.Random(seed), asked.family, split="held_out", task=asked.drawn)
        if sample.turns[0].language == language:
            return sample, sample.turns[0]
    raise AssertionError("no such sample")


def file_of(sample: Sample, task: str) -> Any:
    pictures = [Image.fromarray(frame) for frame in sample.frames]
    if sample.kind == "video":
        film = film_of(sample.frames, round(sample.fps))
        return {"name": "film.webm", "mimeType": "video/webm", "buffer": film}
    if task == "documents":
        buffer = io.BytesIO()
        pictures[0].save(buffer, "PDF", save_all=True, append_images=pictures[1:])
        return {"name": "papers.pdf", "mimeType": "application/pdf", "buffer": buffer.getvalue()}
    return png("picture.png", pictures[0])


def start(page: Page, site: Site, language: str) -> None:
    width, height = LOOKS[language]
    page.set_viewport_size({"width": width, "height": height})
    open_page(page, site.url, language=language)


def put(page: Page, task: str, given: Any, choices: dict[str, str]) -> None:
    """Drops the file in and fills the task's form out. A box is ticked by any text, and emptied by none."""
    if not page.locator("#task").is_visible():
        page.locator(".bar button[aria-expanded]").click()
    send_files(page, "drop", [given])
    expect(page.locator('.card[data-state="ready"] .cost')).to_have_count(1)
    page.locator("#task").select_option(task)
    for name, value in choices.items():
        control = page.locator(f"#param-{name}")
        if control.get_attribute("type") == "checkbox":
            control.set_checked(bool(value))
        else:
            control.select_option(value)


def send(page: Page, text: str) -> None:
    page.locator(".box textarea").fill(text)
    page.locator(".send").click()
    expect(page.locator(".turn.answer .status.done")).to_be_visible(timeout=60_000)


def results(page: Page) -> None:
    """On a telephone, and where there is only text, they stand behind a button; else they open by themselves, maybe
    just now.
    """
    panel, button = page.locator(".panel"), page.locator(".to-results")

    def opened() -> bool:
        if not panel.is_visible() and button.is_visible():
            with suppress(WaitedTooLong):
                button.click(timeout=1_000)
        return panel.is_visible()

    wait_until(opened)


class Words(HTMLParser):
    """The words of a page, element by element."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    @classmethod
    def of(cls, html: str) -> list[str]:
        parser = cls()
        parser.feed(html)
        return parser.found

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.found.append(data.strip())
