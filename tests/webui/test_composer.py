"""Files beside the question and what they cost, tasks and their forms, mode, sampling: that what a person sees is what
the model gets.
"""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from qwen3vl.engine.options import GenerationOptions
from qwen3vl.tasks.registry import TASKS
from support import drawing
from support.browser import Watched
from support.pages import Site, ask, attach, document, film, open_page, png, send_files
from support.server import wait_until


def picture(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    drawing.shapes().image.save(buffer, kind, **options)
    return buffer.getvalue()


def gif() -> bytes:
    frames = [Image.new("RGB", (128, 96), colour) for colour in ("white", "red", "white", "blue", "green", "black")]
    return picture_of(frames)


def picture_of(frames: list[Image.Image]) -> bytes:
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=500)
    return buffer.getvalue()


def file(name: str, mime: str, data: bytes) -> Any:
    return {"name": name, "mimeType": mime, "buffer": data}


FILES = [
    file("a.jpg", "image/jpeg", picture("JPEG")),
    file("b.png", "image/png", picture("PNG")),
    file("c.webp", "image/webp", picture("WEBP")),
    file("d.bmp", "image/bmp", picture("BMP")),
    file("e.gif", "image/gif", gif()),
    file("f.webm", "video/webm", film(4)),
    file("g.pdf", "application/pdf", document("One", "Two")),
]


def told_tokens(page: Page) -> list[int]:
    return [int(text.split()[0].replace(",", "")) for text in page.locator(".card .cost b").all_inner_texts()]


def real_tokens(site: Site, asked: dict[str, Any], **options: Any) -> int:
    """Of the prompt that the engine would build."""
    prompt = site.engine.prepare(asked["messages"], GenerationOptions(**options))
    return sum(visual.num_tokens for visual in prompt.visuals)


@pytest.mark.parametrize("given", FILES, ids=lambda given: given["name"])
def test_the_cost_told_before_sending_is_what_the_prompt_holds(page: Page, site: Site, given: Any) -> None:
    """With the resolution lowered too, which changes the figures at once."""
    open_page(page, site.url)
    attach(page, given)
    [full] = told_tokens(page)
    script = site.says("I see.")
    page.get_by_label("Resolution").evaluate("(e) => { e.value = 20; e.dispatchEvent(new Event('input')); }")
    wait_until(lambda: told_tokens(page)[0] < full or given["name"] in ("e.gif", "f.webm"))
    page.wait_for_timeout(100)
    [told] = told_tokens(page)
    ask(page, "What is it?")
    asked = script.asked[0]
    assert real_tokens(site, asked, max_pixels=asked["max_pixels"]) == told
    assert real_tokens(site, asked) == full
    expect(page.locator(".turn.question .thumbnail :is(img, video)")).to_have_count(1)


def test_frames_a_second_change_the_cost_of_a_video(page: Page, site: Site) -> None:
    open_page(page, site.url)
    attach(page, file("f.webm", "video/webm", film(8)))
    expect(page.locator(".card")).to_contain_text("16 frames")
    page.get_by_label("Frames", exact=True).evaluate("(e) => { e.value = 3; e.dispatchEvent(new Event('input')); }")
    expect(page.locator(".card")).to_contain_text("24 frames")
    [told] = told_tokens(page)
    script = site.says("A square.")
    ask(page, "What moves?")
    assert script.asked[0]["fps"] == 3
    assert real_tokens(site, script.asked[0], fps=3.0) == told


def test_several_files_dropped_and_pasted(page: Page, site: Site) -> None:
    open_page(page, site.url)
    send_files(page, "drop", [png("one.png", drawing.window().image), png("two.png", drawing.shapes().image)])
    expect(page.locator('.card[data-state="ready"]')).to_have_count(2)
    send_files(page, "paste", [png("three.png", drawing.note().image)])
    expect(page.locator('.card[data-state="ready"]')).to_have_count(3)
    expect(page.locator(".total")).to_contain_text("Together 288 tokens")
    page.get_by_label("Remove two.png").click()
    expect(page.locator(".card")).to_have_count(2)
    script = site.says("Two pictures.")
    ask(page, "How many?")
    parts = script.asked[0]["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["image", "image", "text"]
    expect(page.locator(".card")).to_have_count(0)


def test_a_picture_from_the_camera(page: Page, site: Site) -> None:
    open_page(page, site.url)
    page.get_by_label("Take a picture with the camera").click()
    page.wait_for_selector("dialog.webcam video")
    page.wait_for_function("document.querySelector('dialog.webcam video').videoWidth > 0")
    page.get_by_role("button", name="Take the picture").click()
    expect(page.locator('.card[data-state="ready"]')).to_contain_text("webcam-")
    assert page.locator("dialog.webcam").count() == 0


def test_files_that_cannot_be_read_say_why(page: Page, browser: Watched, site: Site) -> None:
    open_page(page, site.url)
    page.set_input_files(".composer input[type=file]", [file("notes.pdf", "application/pdf", b"no PDF at all")])
    expect(page.locator(".card .error")).to_contain_text("the file is of no known format")
    page.get_by_label("Question", exact=True).fill("What is it?")
    page.keyboard.press("Enter")
    expect(page.locator(".composer > [role=alert]")).to_contain_text("remove those that cannot be read")
    assert page.locator(".turn").count() == 0
    browser.complaints.clear()  # the browser's own note of the status 400


def test_the_form_of_every_task_is_made_from_its_parameters(page: Page, site: Site) -> None:
    open_page(page, site.url)
    for name, task in TASKS.items():
        page.locator("#task").select_option(name)
        expect(page.locator(".summary")).to_contain_text(task.summaries["en"])
        fields = page.locator(".params .param").evaluate_all("(all) => all.map((e) => e.htmlFor.replace('param-', ''))")
        properties = task.params.model_json_schema()["properties"]
        wanted = set() if name == "chat" else set(properties) - {task.text_param, "pages_text"}
        assert set(fields) == wanted, name


def test_a_task_is_asked_with_its_parameters(page: Page, site: Site) -> None:
    open_page(page, site.url)
    page.locator("#task").select_option("grounding")
    ask_without_a_picture(page)
    attach(page, png("shapes.png", drawing.shapes().image))
    page.locator("#param-ask").select_option("count")
    page.get_by_text("Enforce the format").click()
    script = site.says("4")
    ask(page, "shapes")
    [asked] = script.asked
    assert asked["messages"][0]["content"][-1]["text"] == "How many shapes are there? Answer with the number."
    assert asked["grammar"].kind == "regex"
    question = page.locator(".turn.question .bubble")
    expect(question).to_contain_text("Find things")
    expect(question).to_contain_text("Enforce the format · How many")
    expect(page.locator(".marks .count")).to_have_text("Counted: 4")

    assert page.locator("details.params").get_attribute("open") is None  # folded, to leave room for the answer
    # The next question of a task that needs a picture takes the one above.
    ask(page, "circles")
    assert [part["type"] for part in script.asked[1]["messages"][-1]["content"]] == ["image", "text"]

    page.locator(".turn.question").last.hover()
    page.get_by_label("Edit and ask again").last.click()
    expect(page.get_by_label("Question", exact=True)).to_have_value("circles")
    expect(page.locator("#param-ask")).to_have_value("count")
    expect(page.locator("#param-strict")).to_be_checked()
    expect(page.locator('.card[data-state="ready"]')).to_have_count(1)


def ask_without_a_picture(page: Page) -> None:
    page.get_by_label("Question", exact=True).fill("shapes")
    page.keyboard.press("Enter")
    expect(page.locator(".composer > [role=alert]")).to_have_text("This task needs a picture.")


def test_a_schema_of_ones_own(page: Page, site: Site) -> None:
    open_page(page, site.url)
    page.locator("#task").select_option("extract")
    attach(page, png("note.png", drawing.note().image))
    page.locator("#param-preset").select_option("schema")
    page.locator("#param-schema").fill("{no JSON")
    page.locator(".send").click()
    expect(page.locator(".composer > [role=alert]")).to_have_text("JSON schema is no valid JSON.")
    page.locator("#param-schema").fill('{"type": "object", "properties": {"title": {"type": "string"}}}')
    site.says('{"title": "Team meeting"}')
    ask(page, "")
    expect(page.locator("table.fields tbody tr")).to_have_text(["titleTeam meeting"])


def test_mode_system_prompt_and_sampling_reach_the_engine(page: Page, site: Site) -> None:
    open_page(page, site.url)
    expect(page.locator("#mode option")).to_have_text(["Fast · 2 of 8", "Balanced · 3 of 8", "Full · 4 of 8"])
    page.locator("#mode").select_option("fast")
    expect(page.locator(".summary")).to_contain_text("2 of 8 experts")
    page.get_by_role("button", name="System prompt and sampling").click()
    page.get_by_label("System prompt", exact=True).fill("Be brief.")
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_label("Longest answer").fill("64")
    page.get_by_label("Seed").fill("7")
    script = site.says("Briefly.")
    ask(page, "Who are you?")
    asked = script.asked[0]
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}
    wanted = {"mode": "fast", "temperature": 0.5, "max_tokens": 64, "seed": 7}
    assert {name: asked[name] for name in wanted} == wanted

    page.reload()  # the conversation brings them back
    page.wait_for_selector("#app[data-ready]")
    expect(page.locator("#mode")).to_have_value("fast")
    page.get_by_role("button", name="System prompt and sampling").click()
    expect(page.get_by_label("System prompt", exact=True)).to_have_value("Be brief.")
    expect(page.get_by_label("Temperature")).to_have_value("0.5")
    page.get_by_role("button", name="Back to the usual").click()
    expect(page.get_by_label("Temperature")).to_have_value("")


def test_the_speed_of_a_mode_is_told_when_it_was_measured(page: Page, site: Site) -> None:
    open_page(page, site.url)
    page.locator("#mode").select_option("balanced")  # in which nobody else asks the model itself
    ask(page, "Hello there, how are you today?")  # its speed is in the ledger
    page.reload()
    page.wait_for_selector("#app[data-ready]")
    tokens = int(page.locator(".turn.answer .status b").nth(2).inner_text())
    expect(page.locator(".summary")).to_contain_text("experts work on each token")  # the model has been asked after
    assert (tokens > 8) == ("measured here" in page.locator(".summary").inner_text())


def test_an_example_brings_its_picture_and_its_question(page: Page, site: Site) -> None:
    open_page(page, site.url)
    for words in ("Click the Save button.", "What is the total?"):
        page.get_by_role("button", name=words).click()
        expect(page.get_by_label("Question", exact=True)).to_have_value(words)
        expect(page.locator('.card[data-state="ready"]')).to_have_count(1)
