"""Long videos on the page: indexed while one watches, searched, asked about; times that the player goes to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from support.browser import Watched
from support.films import film
from support.pages import Site, attach, no_sideways, open_page, send_files, shoot
from support.scripted import Script

FILM = film([(0, 12), (1, 11), (2, 13), (3, 12)], container="webm", fps=2)
STARTS = ["00:00", "00:12", "00:23", "00:36"]
VIDEO = {"name": "cards.webm", "mimeType": "video/webm", "buffer": FILM}
COLOURS = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 0): "yellow"}


class Describer(Script):
    """Says which colour the frames that it is shown have."""

    def __init__(self) -> None:
        super().__init__([])
        self.allowed = 1000  # segments that are described; the others take for ever

    def astream(self, messages: Any, **options: Any) -> Any:
        self.asked.append({"messages": messages, **options})
        content = messages[-1]["content"]
        clips = [part["video"] for part in content if part["type"] == "video"]
        if clips and re.search("Describe|描述这段", content[-1]["text"]):
            event = {"start": "00:02.00", "end": "00:04.00", "description": f"the {colour(clips[0])} card is shown"}
            self.allowed -= 1
            self.seconds = 600 if self.allowed < 0 else 0
            self.pieces = [json.dumps({"summary": f"A {colour(clips[0])} scene.", "events": [event]})]
        elif clips:
            self.seconds = 0
            moment = {"clip": len(clips), "start": "00:03.00", "end": "00:05.00", "description": "the card"}
            whole = json.dumps({"answer": f"It is {colour(clips[-1])}.", "moments": [moment]})
            self.pieces = [whole[at : at + 9] for at in range(0, len(whole), 9)]
        else:
            chapters = [
                {"first": 1, "title": "Warm", "summary": "red"},
                {"first": 3, "title": "Cold", "summary": "blue"},
            ]
            self.pieces = [json.dumps(chapters)]
        return super().astream(messages, **options)


def colour(video: Any) -> str:
    return COLOURS[tuple(int(value > 128) for value in video.frames[0][2, 2])]  # type: ignore[index]


@pytest.fixture
def videos(site: Site) -> Iterator[Site]:
    yield site
    with httpx.Client(base_url=f"{site.url}/v1") as api:
        for index in api.get("/indexes").json()["data"]:
            api.delete(f"/indexes/{index['id']}")


def describes(site: Site, allowed: int = 1000) -> Describer:
    describer = Describer()
    describer.allowed = allowed
    site.engine.astream = describer.astream  # type: ignore[method-assign]
    return describer


def begin(page: Page, site: Site, focus: str = "") -> None:
    open_page(page, f"{site.url}/#videos")
    send_files(page, "drop", [VIDEO])
    if focus:
        page.get_by_label("Look out for").fill(focus)
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Longest segment").select_option("15")
    page.get_by_role("button", name="Index it").click()
    expect(page.locator(".index-head .state")).to_be_visible()


def at_end(page: Page) -> None:
    expect(page.locator(".index-head .state")).to_have_text("Done · 4 of 4 segments", timeout=30_000)


def position(page: Page) -> float:
    return float(page.evaluate("document.querySelector('.watch video').currentTime"))


def test_from_a_file_to_times_that_are_a_click_away(page: Page, videos: Site) -> None:
    describer = describes(videos)
    begin(page, videos, focus="the cards")
    at_end(page)
    assert "the cards" in describer.asked[0]["messages"][-1]["content"][-1]["text"]
    rows = page.locator(".chapter ol > li")
    expect(rows).to_have_count(4)
    expect(page.locator(".chapter > header b")).to_have_text(["Warm", "Cold"])
    expect(rows.nth(2)).to_contain_text("A blue scene.")
    for row, start in enumerate(STARTS):
        expect(rows.nth(row).locator(".time").first).to_contain_text(start)
    middles = page.evaluate(
        """() => Promise.all([...document.querySelectorAll('.frame img')].map(async (img) => {
            img.loading = "eager";
            await img.decode();
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
            canvas.getContext("2d").drawImage(img, 0, 0);
            return [...canvas.getContext("2d").getImageData(4, 4, 1, 1).data].slice(0, 3).map((v) => +(v > 128));
        }))"""
    )
    assert [COLOURS[tuple(each)] for each in middles] == ["red", "green", "blue", "yellow"]  # type: ignore[index]

    rows.nth(3).locator(".time").first.click()
    page.wait_for_function("document.querySelector('.watch video').currentTime >= 35.9")
    assert position(page) == pytest.approx(36, abs=2)
    expect(rows.nth(3)).to_have_class(re.compile("now"))
    page.locator(".strip button").first.click()
    page.wait_for_function("document.querySelector('.watch video').currentTime < 3")

    with page.expect_response(lambda answer: "/v1/media/" in answer.url and answer.status == 206):
        page.reload()
    at_end(page)
    page.get_by_role("button", name="All videos").click()
    expect(page.locator(".entries li")).to_contain_text("cards.webm")
    expect(page.locator(".entries li")).to_contain_text("4 of 4 segments")
    page.locator(".entries li").get_by_label("Delete").click()
    page.locator(".entries .danger").click()
    expect(page.locator(".entries li")).to_have_count(0)


def test_searching_asking_and_files(page: Page, videos: Site) -> None:
    describes(videos)
    begin(page, videos)
    at_end(page)
    page.get_by_label("Search in the video").fill("when is BLUE shown")
    hit = page.locator(".hits li").first
    expect(hit).to_contain_text("the blue card is shown")
    hit.locator(".time").click()
    page.wait_for_function("Math.abs(document.querySelector('.watch video').currentTime - 25) < 2")
    page.get_by_label("Search in the video").fill("elephant")
    expect(page.locator(".hits")).to_have_text("Nothing found")
    page.get_by_label("Search in the video").fill("")
    expect(page.locator(".chapter ol > li").first).to_be_visible()

    page.get_by_label("Ask something").fill("Where is the yellow card?")
    page.keyboard.press("Enter")
    answer = page.locator(".answers li").first
    expect(answer.locator(".text")).to_have_text("It is yellow.")
    expect(answer.locator(".status")).to_contain_text("tokens")
    answer.locator(".time").click()
    page.wait_for_function("Math.abs(document.querySelector('.watch video').currentTime - 39) < 2")
    page.get_by_role("button", name="All videos").click()
    page.locator(".entries .entry").click()
    expect(page.locator(".answers .text")).to_have_text("It is yellow.")  # still there

    for name, words in (("SRT", "00:00:25,000 -->"), ("MD", "## 00:23 Cold"), ("JSON", "A red scene.")):
        with page.expect_download() as download:
            page.locator(".index-head").get_by_role("link", name=name, exact=True).click()
        assert download.value.suggested_filename.startswith("cards.")
        assert words in Path(download.value.path()).read_text(encoding="utf-8")

    send_files(page, "drop", [VIDEO])  # another one, while this one is looked at
    expect(page.get_by_role("button", name="Index it")).to_be_visible()

    kept = videos.services.store.indexes
    [mine] = kept.list("")
    theirs = kept.open("somebody else", mine.sha256, name="", settings={})
    kept.cut(theirs.id, [(0.0, 12.0)])
    with httpx.Client(base_url=f"{videos.url}/page/indexes") as client:
        answer = client.get(f"/{mine.id}/segments/3/picture")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        for path in (
            f"/{mine.id}/segments/4/picture",
            f"/{theirs.id}/segments/0/picture",
            f"/{'0' * 32}/segments/0/picture",
        ):
            assert client.get(path).status_code == 404, path
    kept.delete(theirs.id)


def test_pausing_going_on_and_cancelling(page: Page, videos: Site) -> None:
    describer = describes(videos, allowed=1)
    begin(page, videos)
    expect(page.locator(".index-head .state")).to_contain_text("Describing: 1 of 4 segments", timeout=30_000)
    expect(page.locator(".chapter li.bare")).to_have_count(3)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".index-head .state")).to_contain_text("Paused")
    page.get_by_label("Ask something").fill("So far?")  # what there is can be asked about
    page.keyboard.press("Enter")
    expect(page.locator(".answers .text")).to_have_text("It is red.")
    describer.allowed = 2
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".index-head .state")).to_contain_text("Describing: 3 of 4 segments")
    page.get_by_role("button", name="Cancel").click()
    page.locator(".erase .danger").click()
    expect(page.locator(".target .pick")).to_be_visible()
    assert videos.services.store.indexes.list("") == []


def test_what_cannot_be_indexed(page: Page, browser: Watched, videos: Site) -> None:
    open_page(page, f"{videos.url}/#videos")
    alert = page.locator(".sheet [role=alert]")
    page.set_input_files(".sheet input[type=file]", [{"name": "a.txt", "mimeType": "text/plain", "buffer": b"x"}])
    expect(alert).to_have_text("Only videos can be indexed.")
    page.set_input_files(".sheet input[type=file]", [{**VIDEO, "buffer": FILM[:40]}])
    expect(alert).not_to_be_empty()
    expect(page.locator(".target .pick")).to_be_visible()
    page.goto(f"{videos.url}/#videos={'0' * 32}")
    expect(page.locator(".index-head [role=alert]")).to_contain_text("no index")
    browser.complaints.clear()  # the browser's own notes of statuses


def test_a_video_too_large_for_a_question_is_handed_over(page: Page, videos: Site) -> None:
    describes(videos)
    open_page(page, videos.url)
    attach(page, {**VIDEO, "buffer": film([(0, 150), (1, 160)], container="webm", fps=1)})
    page.get_by_role("button", name="Index it as a long video").click()
    page.get_by_role("button", name="Index it").click()
    expect(page.locator(".index-head .state")).to_contain_text("Done", timeout=30_000)


@pytest.mark.parametrize(("language", "colours", "width"), [("zh", "dark", 390)])
def test_looks(page: Page, videos: Site, language: str, colours: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 860})
    describer = describes(videos, allowed=2)
    open_page(page, f"{videos.url}/#videos", language=language, colours=colours)
    name = f"{language}-{colours}-{width}-videos"

    def look(state: str) -> None:
        shoot(page, f"{name}-{state}")
        assert no_sideways(page), state

    look("empty")
    page.set_input_files(".sheet input[type=file]", [VIDEO])
    expect(page.locator(".target .primary")).to_be_visible()
    page.locator(".sheet .folded summary").click()
    page.locator("#videos-length").select_option("15")
    look("chosen")
    page.locator(".target .primary").click()
    expect(page.locator(".chapter li:not(.bare)").first).to_be_visible(timeout=30_000)
    look("working")
    page.locator(".index-head .act").click()
    describer.allowed = 1000
    page.locator(".index-head .act.primary").click()
    expect(page.locator(".chapter > header b")).to_have_count(2, timeout=30_000)
    page.locator(".asking textarea").fill({"en": "Where is the yellow card?", "zh": "黄色的卡片在哪里？"}[language])
    page.keyboard.press("Enter")
    expect(page.locator('.answers [data-state="done"]')).to_be_visible()
    page.locator(".chapter .time").nth(3).click()
    page.wait_for_timeout(300)
    page.evaluate("document.querySelector('.watch video').pause()")
    look("done")
    page.locator(".contents input").fill("blue")
    expect(page.locator(".hits li")).not_to_have_count(0)
    look("search")
    page.locator(".place .back").click()
    expect(page.locator(".entries li")).to_have_count(1)
    look("list")
