"""What was found in an answer, in its panels, in a real Chromium; the answers are as the released models write them."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from support import drawing
from support.answers import DRAWIO
from support.pages import Site, ask, attach, document, film, on_picture, open_page, png, rectangle
from support.server import wait_until


def start(page: Page, site: Site, task: str, given: object) -> None:
    open_page(page, site.url)
    page.locator("#task").select_option(task)
    attach(page, given)


SHAPES = (
    '[{"bbox_2d": [46, 390, 170, 570], "label": "red square"}, '
    '{"bbox_2d": [340, 100, 510, 400], "label": "blue circle"}, {"point_2d": [670, 780], "label": "<b>green</b>"}]'
)


def test_marks_stand_where_they_belong_at_any_size(page: Page, site: Site) -> None:
    start(page, site, "grounding", png("shapes.png", drawing.shapes().image))
    site.says(f"```json\n{SHAPES}\n```", logprobs=True)
    ask(page, "all shapes")
    marks, image = page.locator(".stage .mark"), page.locator(".stage img")
    expect(marks).to_have_text(["red square", "blue circle", "<b>green</b>"])
    wanted = (0.34 * 384, 0.1 * 256, 0.51 * 384, 0.4 * 256)
    for width in (1360, 700, 390):
        page.set_viewport_size({"width": width, "height": 844})
        wait_until(lambda: on_picture(marks.nth(1), image, (384, 256)) == pytest.approx(wanted, abs=1.5))
    page.set_viewport_size({"width": 1360, "height": 860})
    before = rectangle(image)
    page.get_by_label("Larger").click()
    after = rectangle(image)
    assert (after[2] - after[0]) / (before[2] - before[0]) == pytest.approx(1.5, abs=0.01)
    assert on_picture(marks.nth(1), image, (384, 256)) == pytest.approx(wanted, abs=1.5)


def test_a_mark_and_its_entry_belong_together(page: Page, site: Site) -> None:
    start(page, site, "grounding", png("shapes.png", drawing.shapes().image))
    site.says(SHAPES, logprobs=True)
    ask(page, "all shapes")
    entries = page.locator(".marks button")
    entries.nth(1).hover()
    expect(page.locator(".stage .mark.lit")).to_have_text(["blue circle"])
    page.locator(".stage .mark").nth(0).hover()
    expect(page.locator(".marks button.lit b")).to_have_text(["red square"])
    entries.nth(1).click()
    assert page.evaluate("navigator.clipboard.readText()") == "[131, 26, 196, 102]"
    page.locator(".stage .mark.point").click()
    assert page.evaluate("navigator.clipboard.readText()") == "[257, 200]"
    expect(entries.nth(0).locator("small")).to_have_text("61 %")


def test_marks_appear_while_the_answer_is_written(page: Page, site: Site) -> None:
    start(page, site, "grounding", png("shapes.png", drawing.shapes().image))
    site.says(SHAPES + " " * 40, seconds=0.15)
    ask(page, "all shapes", wait=False)
    expect(page.locator(".stage .mark")).to_have_count(1)
    expect(page.locator(".turn.answer .status.running")).to_be_visible()
    expect(page.locator(".stage .mark")).to_have_count(3)
    expect(page.locator(".turn.answer .status.done")).to_be_visible(timeout=15_000)


def test_boxes_in_space_and_several_pictures(page: Page, site: Site) -> None:
    start(page, site, "grounding", png("one.png", drawing.window().image))
    attach(page, png("two.png", drawing.shapes().image))
    site.says('[{"bbox_2d": [0, 0, 500, 500], "label": "x", "picture": 2}, {"bbox_2d": [0, 0, 90, 90], "label": "y"}]')
    ask(page, "it")
    chooser = page.get_by_label("Picture", exact=True)
    expect(chooser.locator("option:checked")).to_have_text("2. two.png")
    expect(page.locator(".stage .mark")).to_have_text(["x"])
    page.locator(".marks button").nth(1).click()
    expect(page.locator(".stage .mark")).to_have_text(["y"])

    page.locator("details.params > summary").click()
    page.locator("#param-ask").select_option("boxes_3d")
    site.says('[{"bbox_3d": [0.5, 0.3, 8, 2, 1.5, 1.7, 0, 0.5, 0], "label": "car"}]')
    ask(page, "cars")
    expect(page.locator(".cages path")).to_have_count(12)


def test_an_action_says_what_to_do_and_where(page: Page, site: Site) -> None:
    start(page, site, "gui_agent", png("window.png", drawing.window().image))
    call = '{"name": "computer_use", "arguments": {"action": "left_click", "coordinate": [134, 869]}}'
    site.says(f"Thought: It keeps the changes.\n<tool_call>\n{call}\n</tool_call>", logprobs=True)
    ask(page, "save")
    expect(page.locator(".marks .action")).to_contain_text("Click")
    expect(page.locator(".marks .action")).to_contain_text("It keeps the changes.")
    expect(page.locator(".marks .action small")).to_have_text("61 %")
    x1, y1, x2, y2 = on_picture(page.locator(".stage .mark.point"), page.locator(".stage img"), (384, 256))
    left, top, right, bottom = drawing.window().boxes["Save"]
    assert left < (x1 + x2) / 2 < right
    assert top < (y1 + y2) / 2 < bottom


def test_tables_and_their_files(page: Page, site: Site) -> None:
    start(page, site, "tables", png("note.png", drawing.note().image))
    site.says("<table><tr><th>Tea</th><th>2.50</th></tr><tr><td><i>x</i>=1</td><td>-5</td></tr></table>")
    ask(page, "")
    expect(page.locator(".panel table td")).to_have_text(["Tea", "2.50", "x=1", "-5"])
    with page.expect_download() as download:
        page.locator(".exports").get_by_role("link", name="CSV").click()
    rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8-sig"))))
    assert rows == [["Tea", "2.50"], ["x=1", "-5"]]
    with page.expect_download() as download:
        page.locator(".exports").get_by_role("link", name="JSON").click()
    assert json.loads(Path(download.value.path()).read_text(encoding="utf-8"))["tables"]


def test_a_diagram_is_drawn_and_its_file_opens(page: Page, site: Site) -> None:
    start(page, site, "diagram", png("page.png", drawing.page().image))
    site.says(f"```xml\n{DRAWIO}\n```")
    ask(page, "")
    expect(page.locator(".draft .node")).to_have_count(2)
    expect(page.locator(".draft .edge")).to_have_count(1)
    expect(page.locator(".draft .node-text")).to_have_text(["Start <b>", "结束"])
    with page.expect_download() as download:
        page.locator(".exports").get_by_role("link", name="DRAWIO").click()
    root = ElementTree.parse(download.value.path()).getroot()
    assert root.tag == "mxfile"
    assert len(root.findall(".//mxCell[@vertex='1']")) == 2


def test_a_click_on_an_event_goes_there_in_the_video(page: Page, site: Site) -> None:
    start(page, site, "video_events", {"name": "f.webm", "mimeType": "video/webm", "buffer": film(8)})
    site.says('{"00:01.00 - 00:03.00": "It starts.", "00:05.50 - 00:07.00": "It ends."}')
    ask(page, "")
    events = page.locator(".events button")
    expect(events).to_have_text(["00:01.0 – 00:03.0It starts.", "00:05.5 – 00:07.0It ends."])
    time = "document.querySelector('.timeline video').currentTime"
    events.nth(1).click()
    wait_until(lambda: page.evaluate(time) == pytest.approx(5.5, abs=0.05))
    expect(page.locator(".events li.now")).to_contain_text("It ends.")
    page.locator(".strip button").nth(0).click()
    wait_until(lambda: page.evaluate(time) == pytest.approx(1.0, abs=0.05))
    strip, block = rectangle(page.locator(".strip")), rectangle(page.locator(".strip button").nth(1))
    assert (block[0] - strip[0]) / (strip[2] - strip[0]) == pytest.approx(5.5 / 8, abs=0.02)
    with page.expect_download() as download:
        page.locator(".exports").get_by_role("link", name="SRT").click()
    assert "00:00:05,500 --> 00:00:07,000\nIt ends." in Path(download.value.path()).read_text(encoding="utf-8")


def test_a_click_on_a_source_opens_its_page(page: Page, site: Site) -> None:
    start(
        page, site, "documents", {"name": "bill.pdf", "mimeType": "application/pdf", "buffer": document("A", "B", "C")}
    )
    cited = [{"page": 3, "quote": "C", "bbox_2d": [100, 100, 200, 130]}, {"page": 1, "quote": "A"}]
    site.says(json.dumps({"answer": "It is **C**.", "citations": cited}))
    ask(page, "Which?")
    expect(page.locator(".turn.answer .said")).to_have_text("It is C.")
    expect(page.locator(".panel .page img")).to_have_attribute("src", re.compile("pages/3"))
    expect(page.locator(".page .mark.lit")).to_have_count(1)
    page.locator(".sources button").nth(1).click()
    expect(page.locator(".panel .page img")).to_have_attribute("src", re.compile("pages/1"))
    wait_until(lambda: page.evaluate("document.querySelector('.panel .page img').naturalWidth") > 0)


def test_a_warning_is_shown(page: Page, site: Site) -> None:
    start(page, site, "tables", png("note.png", drawing.note().image))
    site.says("There is no table here.")
    ask(page, "")
    page.get_by_role("button", name="Results").or_(page.locator(".to-results")).first.evaluate("(e) => e.click()")
    expect(page.locator(".warning")).to_have_text("no table was found in the answer")


def test_tabs_are_turned_with_the_keyboard(page: Page, site: Site) -> None:
    start(page, site, "grounding", png("shapes.png", drawing.shapes().image))
    site.says(SHAPES)
    ask(page, "all")
    page.get_by_role("tab", name="Picture").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Text")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".panel pre")).to_have_text(SHAPES)
    page.keyboard.press("ArrowRight")
    assert len(json.loads(page.locator(".panel pre").inner_text())["marks"]) == 3


def test_an_earlier_answer_shows_its_own_results(page: Page, site: Site) -> None:
    start(page, site, "grounding", png("shapes.png", drawing.shapes().image))
    site.says(SHAPES)
    ask(page, "all")
    site.says('[{"bbox_2d": [1, 1, 90, 90], "label": "corner"}]')
    ask(page, "corner")
    expect(page.locator(".stage .mark")).to_have_text(["corner"])
    page.locator(".turn.answer").first.locator(".said").click()
    expect(page.locator(".stage .mark")).to_have_count(3)


def test_a_moving_gif_is_shown_with_its_events(page: Page, site: Site) -> None:
    frames = [Image.new("RGB", (96, 96), colour) for colour in ("white", "red", "white", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=500)
    start(page, site, "video_events", {"name": "a.gif", "mimeType": "image/gif", "buffer": buffer.getvalue()})
    site.says("00:00.50 - 00:01.00: red")
    ask(page, "")
    expect(page.locator(".timeline > img")).to_be_visible()
    expect(page.locator(".strip button")).to_have_count(1)
