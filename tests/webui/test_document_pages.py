"""Long documents on the page, in a real Chromium: what was looked at, where quotes stand, and scans that are read."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from support.pages import Site, ask, attach, open_page, shoot
from support.paper import HEIGHT, WIDTH, Leaf, leaf, paper
from support.server import wait_until

LINES = [f"Chapter {n} tells of stones, rivers and hills, and of nothing that anybody asks about" for n in range(1, 31)]
LINES[20] = "The warranty lasts 30 months"
BOOK = paper(*[leaf(line, "and so on", size=12) for line in LINES])


def start(page: Page, site: Site, data: bytes) -> None:
    open_page(page, site.url)
    page.locator("#task").select_option("documents")
    attach(page, {"name": "book.pdf", "mimeType": "application/pdf", "buffer": data})


def test_the_pages_that_were_looked_at_and_the_quote_in_its_place(page: Page, site: Site) -> None:
    start(page, site, BOOK)
    cited = [
        {"page": 21, "quote": "lasts 30 months", "bbox_2d": [0, 0, 1000, 1000]},
        {"page": 22, "quote": "nowhere to be found", "bbox_2d": [100, 500, 300, 550]},
    ]
    site.says(json.dumps({"answer": "30 months", "citations": cited}))
    page.locator("#task").select_option("documents")
    page.get_by_label("Pages at most").fill("3", force=True)
    ask(page, "How long is the warranty?")
    expect(page.locator(".turn.question").last).to_contain_text("How long is the warranty?")
    expect(page.locator(".seen button")).to_have_text(["20", "21", "22"])
    image, mark = page.locator(".panel .page img"), page.locator(".page .mark")
    expect(image).to_have_attribute("src", re.compile("pages/21"))
    picture, box = image.bounding_box(), mark.bounding_box()
    assert picture is not None
    assert box is not None
    base = (box["y"] + box["height"] - picture["y"]) / picture["height"]
    assert base == pytest.approx(1 - 700 / HEIGHT, abs=0.01)
    assert (box["x"] - picture["x"]) / picture["width"] == pytest.approx((60 + 6.5 * 12) / WIDTH, abs=0.05)
    expect(mark).not_to_have_class(re.compile("guessed"))
    wait_until(lambda: image.evaluate("(e) => e.naturalWidth") == 1237)
    shoot(page, "document-pages")
    page.locator(".sources button").nth(1).click()
    expect(mark).to_have_class(re.compile("guessed"))
    expect(mark).to_have_attribute("title", re.compile("own place"))
    page.locator(".seen button").first.click()
    expect(image).to_have_attribute("src", re.compile("pages/20"))
    expect(mark).to_have_count(0)
    expect(page.locator('.seen [aria-current="true"]')).to_have_text("20")
    shoot(page, "document-pages-other")


def test_scans_that_are_read_are_counted_and_can_be_stopped(page: Page, site: Site) -> None:
    start(page, site, paper(*[Leaf(scan=f"sheet {n}") for n in range(12)]))
    site.says("words on a sheet", seconds=0.4)
    ask(page, "What is it?", wait=False)
    status = page.locator(".turn.answer .status.running")
    expect(status).to_contain_text(re.compile(r"Reading page \d+ of 12 that have no text"))
    expect(status).to_contain_text("Reading page 5 of 12", timeout=10_000)
    page.get_by_label("Stop", exact=True).click()
    expect(page.locator(".turn.answer .status.stopped")).to_be_visible()
