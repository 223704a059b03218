"""The page in a real Chromium, on a real server, with the shipped models: what a person sees and does.

Screenshots are left in out/screenshots, for people to look at.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from qwen3vl import Engine
from qwen3vl.server import create_app
from qwen3vl.tasks.grounding import Box, parse_marks
from qwen3vl.webui import mount_page
from support import drawing
from support.browser import Watched, browsing
from support.server import MODELS, endless_model, serving, wait_until

SCREENSHOTS = Path(__file__).parents[2] / "out" / "screenshots"
FILE_INPUT = '#prompt input[type="file"]'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, str]]:
    """The page of a model whose answers end as they should."""
    yield from _site(MODELS / "moe")


@pytest.fixture(scope="module")
def endless_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, str]]:
    """The page of a model whose answers never end by themselves."""
    yield from _site(endless_model(tmp_path_factory.mktemp("models") / "endless"))


def _site(model: Path) -> Iterator[tuple[Engine, str]]:
    with Engine.load(model, device="cpu", memory="1GiB") as engine:
        app = create_app(engine)
        mount_page(app, engine)
        with serving(app) as url:
            yield engine, url


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with browsing(tmp_path_factory.mktemp("profile")) as watched:
        yield watched


@pytest.fixture
def page(browser: Watched) -> Iterator[Page]:
    """The browser's page. No test may leave a request to another host or an error on the console behind."""
    browser.outside.clear()
    browser.complaints.clear()
    browser.page.set_viewport_size({"width": 1360, "height": 860})
    yield browser.page
    assert browser.outside == []
    assert browser.complaints == []


def test_from_a_picture_to_a_marked_answer(page: Page, site: tuple[Engine, str]) -> None:
    _open(page, site[1])
    expect(page.locator(".stage.empty")).to_be_visible()
    _shoot(page, "empty")

    window = drawing.window()
    page.set_input_files(FILE_INPUT, files=[_file("window.png", window.image)])
    expect(page.locator(".stage figcaption")).to_contain_text("384 × 256, 96 tokens")
    _ask(page, "Click the Save button.")
    expect(page.locator("#statistics .done")).to_be_visible(timeout=30_000)

    expect(page.locator("#answer")).to_contain_text('"action": "click"')
    expect(page.locator(".mark")).to_have_count(1)
    expect(page.locator(".mark span")).to_have_text("Save")
    _shoot(page, "marked")
    shown = _shown_box(page, window.image.size)
    assert drawing.iou(shown, window.boxes["Save"]) > 0.5
    [said] = parse_marks(page.locator("#answer code").inner_text(), *window.image.size)
    assert isinstance(said, Box)
    assert shown == pytest.approx((said.x1, said.y1, said.x2, said.y2), abs=1)
    for words in ("tokens", "tokens/s", "first token", "prompt", "4 experts"):
        expect(page.locator("#statistics")).to_contain_text(words)
    expect(page.locator("#ask")).to_be_enabled()
    expect(page.locator("#stop")).to_be_disabled()


def test_the_marks_stay_right_at_any_size(page: Page, site: tuple[Engine, str]) -> None:
    """Also on a telephone, where the picture is shown smaller; and they go when the picture goes."""
    _open(page, site[1])
    shapes = drawing.shapes()
    page.set_input_files(FILE_INPUT, files=[_file("shapes.png", shapes.image)])
    expect(page.locator(".stage img")).to_be_visible()
    _ask(page, "Locate the green triangle.")
    expect(page.locator(".mark span")).to_have_text("green triangle", timeout=30_000)
    page.set_viewport_size({"width": 420, "height": 900})
    _settle(page)
    assert drawing.iou(_shown_box(page, shapes.image.size), shapes.boxes["green triangle"]) > 0.5
    _shoot(page, "narrow")
    page.set_viewport_size({"width": 1360, "height": 860})
    page.get_by_label("Remove attachment").or_(page.locator("#prompt .delete-button")).first.click()
    expect(page.locator(".mark")).to_have_count(0)
    expect(page.locator(".stage.empty")).to_be_visible()


def test_the_answer_streams_and_stop_stops(page: Page, endless_site: tuple[Engine, str]) -> None:
    engine, url = endless_site
    _open(page, url)
    page.locator("#settings button").click()
    page.locator('#max-tokens input[type="number"]').fill("3500")
    page.locator('#max-tokens input[type="number"]').press("Tab")
    page.set_input_files(FILE_INPUT, files=[_file("shapes.png", drawing.shapes().image)])
    expect(page.locator(".stage img")).to_be_visible()
    _ask(page, "List all shapes from left to right.")
    expect(page.locator("#statistics .writing")).to_be_visible(timeout=30_000)
    lengths: list[int] = []
    for _ in range(3):
        wait_until(lambda: len(page.locator("#answer").inner_text()) > (lengths[-1] if lengths else 0))
        lengths.append(len(page.locator("#answer").inner_text()))
    assert engine.stats().running == 1
    expect(page.locator("#ask")).to_be_disabled()
    _shoot(page, "streaming")

    page.locator("#stop").click()
    expect(page.locator("#statistics .stopped")).to_be_visible()
    wait_until(lambda: engine.stats().running == engine.stats().waiting == 0)
    generated = engine.stats().generated_tokens
    assert generated < 3400
    page.wait_for_timeout(200)
    assert engine.stats().generated_tokens == generated
    engine.check_invariants()
    expect(page.locator("#ask")).to_be_enabled()
    expect(page.locator("#stop")).to_be_disabled()
    expect(page.locator("#answer")).to_contain_text("red square")  # what was written stays
    _shoot(page, "stopped")


@pytest.mark.parametrize("after", [0, 0.02, 0.05, 0.3])
def test_leaving_the_page_cancels(page: Page, browser: Watched, endless_site: tuple[Engine, str], after: float) -> None:
    """At whatever moment: before the page's stream of the answer is open, too."""
    engine, url = endless_site
    _open(page, url)
    page.locator("#settings button").click()
    page.locator('#max-tokens input[type="number"]').fill("3500")
    page.locator('#max-tokens input[type="number"]').press("Tab")
    before = engine.stats().generated_tokens
    _ask(page, "Read the text.")
    wait_until(lambda: engine.stats().running == 1)
    time.sleep(after)
    page.goto("about:blank")
    wait_until(lambda: engine.stats().running == 0)
    assert engine.stats().generated_tokens - before < 3400
    browser.complaints.clear()  # Gradio's own, about its stream that was cut


def test_modes(page: Page, site: tuple[Engine, str]) -> None:
    _open(page, site[1])
    for name in ("Fast · 2 of 8", "Balanced · 3 of 8", "Full · 4 of 8"):
        expect(page.locator("#mode")).to_contain_text(name)
    expect(page.get_by_role("radio", name="Full")).to_be_checked()
    page.get_by_role("button", name="List shapes").click()
    expect(page.locator(".stage img")).to_be_visible()
    page.get_by_text("Fast · 2 of 8").click()
    page.locator("#ask").click()
    expect(page.locator("#statistics")).to_contain_text("2 experts", timeout=30_000)


def test_a_dense_model_says_why_there_are_no_modes(page: Page) -> None:
    for _, url in _site(MODELS / "dense"):
        _open(page, url)
        expect(page.locator("#mode")).to_be_hidden()
        expect(page.locator("#dense")).to_contain_text("dense")
        page.get_by_role("button", name="List shapes").click()
        expect(page.locator(".stage img")).to_be_visible()
        page.locator("#ask").click()
        expect(page.locator("#statistics .done")).to_be_visible(timeout=30_000)


def test_several_pictures_dropped_and_pasted(page: Page, site: tuple[Engine, str]) -> None:
    """Two dropped beside the question box, a third pasted; the marks are moved to the picture that they belong to."""
    _open(page, site[1])
    shapes, window = drawing.shapes(), drawing.window()
    _send(page, "drop", {"window.png": window.image, "shapes.png": shapes.image})
    expect(page.locator(".stage figure")).to_have_count(2)
    _send(page, "paste", {"note.png": drawing.note().image})
    expect(page.locator(".stage figure")).to_have_count(3)
    _ask(page, "Locate the blue circle.")
    expect(page.locator("#statistics .done")).to_be_visible(timeout=30_000)
    expect(page.locator("figure").nth(0).locator(".mark")).to_have_count(1)
    page.get_by_label("Picture 2").click()
    expect(page.locator("figure").nth(1).locator(".mark")).to_have_count(1)
    expect(page.locator("figure").nth(0).locator(".mark")).to_have_count(0)
    _shoot(page, "several")


def test_a_moving_picture_and_a_document(page: Page, site: tuple[Engine, str], tmp_path: Path) -> None:
    _open(page, site[1])
    frames = [Image.new("RGB", (128, 128), colour) for colour in ("white", "red", "white", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:], duration=500)
    drawing.note().image.save(tmp_path / "note.pdf")
    page.set_input_files(FILE_INPUT, [tmp_path / "moving.gif", tmp_path / "note.pdf"])
    expect(page.locator(".stage figure")).to_have_count(2)
    expect(page.locator("figcaption").nth(1)).to_contain_text("note.pdf, 1")
    wait_until(lambda: page.evaluate("[...document.querySelectorAll('.stage img')].every(i => i.naturalWidth > 0)"))
    _ask(page, "Read the text.")
    expect(page.locator("#statistics .done")).to_be_visible(timeout=30_000)


def test_mistakes_are_answered_in_words(page: Page, site: tuple[Engine, str]) -> None:
    _open(page, site[1])
    page.locator("#ask").click()
    expect(page.get_by_role("alert")).to_contain_text("question")
    _ask(page, "Is <|im_end|> allowed?")
    expect(page.get_by_role("alert")).to_contain_text("control token")
    expect(page.locator("#ask")).to_be_enabled()
    page.set_input_files(FILE_INPUT, {"name": "notes.pdf", "mimeType": "application/pdf", "buffer": b"no PDF"})
    expect(page.get_by_role("alert")).to_contain_text("notes.pdf: the file is of no known format")
    _ask(page, "Read the text.")
    expect(page.get_by_role("alert")).to_contain_text("notes.pdf")
    _shoot(page, "mistake")


def test_names_and_answers_are_shown_and_not_run(page: Page, site: tuple[Engine, str]) -> None:
    """A file's name and a web page in an answer are text to this page."""
    _open(page, site[1])
    name = "<img src=x onerror=document.title='hacked'>.png"
    page.set_input_files(FILE_INPUT, files=[_file(name, drawing.page().image)])
    expect(page.locator(".stage figcaption")).to_be_visible()
    _ask(page, "Convert this image to HTML.")
    expect(page.locator("#statistics .done")).to_be_visible(timeout=30_000)
    expect(page.locator("#answer code")).to_contain_text("<h1>Welcome home</h1>")
    assert page.locator("#answer h1").count() == 0
    assert page.locator(".stage img").count() == 1
    assert page.title() == "Qwen3-VL"
    _shoot(page, "html")


def test_the_policy_blocks_other_hosts(page: Page, browser: Watched, site: tuple[Engine, str]) -> None:
    """The proof that the checks above can fail: a request to another host is stopped and noticed."""
    _open(page, site[1])
    blocked = page.evaluate("fetch('http://192.0.2.1/').then(() => 'went out', error => 'blocked')")
    assert blocked == "blocked"
    assert any("Content Security Policy" in line for line in browser.complaints)
    browser.complaints.clear()
    browser.outside.clear()


def test_every_suggestion_works_also_in_the_dark(page: Page, site: tuple[Engine, str]) -> None:
    page.emulate_media(color_scheme="dark")
    _open(page, site[1])
    chips = page.locator("#chips button")
    answers = set()
    for number in range(chips.count()):
        chips.nth(number).click()
        expect(page.locator("#prompt textarea")).not_to_be_empty()
        expect(page.locator(".stage img")).to_be_visible()
        page.locator("#ask").click()
        expect(page.locator("#ask")).to_be_disabled()
        expect(page.locator("#ask")).to_be_enabled(timeout=30_000)
        answers.add(page.locator("#answer").inner_text())
    assert len(answers) == chips.count() == 5
    _shoot(page, "dark")
    page.emulate_media(color_scheme="light")


def _open(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.locator("#ask")).to_be_visible(timeout=30_000)


def _ask(page: Page, question: str) -> None:
    page.locator("#prompt textarea").fill(question)
    page.locator("#ask").click()


def _file(name: str, image: Image.Image) -> Any:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": buffer.getvalue()}


def _send(page: Page, event: str, images: dict[str, Image.Image]) -> None:
    """Drops on, or pastes into, the page's body: the question box is not asked to help."""
    files = {name: base64.b64encode(_file(name, image)["buffer"]).decode() for name, image in images.items()}
    page.evaluate(
        """([kind, files]) => {
            const data = new DataTransfer();
            for (const [name, text] of Object.entries(files)) {
                const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
                data.items.add(new File([bytes], name, { type: "image/png" }));
            }
            const init = { bubbles: true, cancelable: true };
            document.body.dispatchEvent(kind === "drop"
                ? new DragEvent("drop", { ...init, dataTransfer: data })
                : new ClipboardEvent("paste", { ...init, clipboardData: data }));
        }""",
        [event, files],
    )


def _shown_box(page: Page, size: tuple[int, int]) -> drawing.Rectangle:
    """The mark as it stands on the screen, in pixels of the picture below it."""
    _settle(page)
    mark, picture = _rectangle(page.locator(".mark")), _rectangle(page.locator(".stage img"))
    scale_x, scale_y = size[0] / (picture[2] - picture[0]), size[1] / (picture[3] - picture[1])
    return (
        (mark[0] - picture[0]) * scale_x,
        (mark[1] - picture[1]) * scale_y,
        (mark[2] - picture[0]) * scale_x,
        (mark[3] - picture[1]) * scale_y,
    )


def _rectangle(locator: Locator) -> drawing.Rectangle:
    box = locator.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def _settle(page: Page) -> None:
    """Waits until nothing is animated any more."""
    page.evaluate(
        "() => Promise.all(document.getAnimations().filter(a => a.playState === 'running' "
        "&& a.effect.getTiming().iterations !== Infinity).map(a => a.finished))"
    )


def _shoot(page: Page, name: str) -> None:
    _settle(page)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
