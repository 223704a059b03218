"""Makes the pictures of the documentation: starts a server as people do, and asks on its page, in Chromium.

    python docs/pictures.py [--only NAME] [--model MODEL]

Ends with an error, and says which, when something is not on the page that should be.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from picture_inputs import SETTINGS_PAGE, Asked, best, long_film
from PIL import Image
from playwright.sync_api import Error, Page, expect, sync_playwright

FOLDER = Path(__file__).parent / "pictures"
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 412, "height": 892}
LARGEST, LARGEST_TOGETHER = 150_000, 2_500_000  # bytes
AGENT_SIZES = ((416, 288), (384, 256), (448, 320), (352, 288))  # of its window, in pixels
ANSWER_MS = 90_000
SPINNER_MS = 2_500  # that the browser's own player turns on after it has a frame


@dataclass
class Studio:
    """A browser's page on a server of our own."""

    page: Page
    api: httpx.Client
    url: str
    found: dict[str, Asked] = field(default_factory=dict)

    def open(self, place: str = "", *, viewport: Mapping[str, int] = DESKTOP) -> None:
        self.page.set_viewport_size({"width": viewport["width"], "height": viewport["height"]})
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/{place}")
        self.page.wait_for_selector("#app[data-ready]", timeout=30_000)

    def find(self, kind: str) -> Asked:
        if kind not in self.found:
            self.found[kind], right = best(self.api, kind)
            print(f"  {kind}: {right:.0%} right", flush=True)
        return self.found[kind]

    def ask(self, asked: Asked) -> None:
        """Puts a question to the page as a person does, and waits for the answer's end."""
        page = self.page
        page.locator("#task").select_option(asked.task)
        page.set_input_files(".composer input[type=file]", [file.upload for file in asked.files])
        expect(page.locator(".card .cost")).to_have_count(len(asked.files), timeout=20_000)
        for name, value in asked.params.items():
            field = page.locator(f"#param-{name}")
            if not field.count():
                continue  # the one that the text stands for
            field.set_checked(value) if isinstance(value, bool) else field.select_option(value)
        self.say(asked.text)

    def say(self, text: str) -> None:
        page, answers = self.page, self.page.locator(".turn.answer").count()
        page.locator(".composer textarea[aria-describedby=task-summary]").fill(text)
        page.locator(".composer .send").click()
        expect(page.locator(".turn.answer")).to_have_count(answers + 1)
        expect(page.locator(".turn.answer .status.done")).to_have_count(answers + 1, timeout=ANSWER_MS)
        expect(page.locator(".composer .send.stopping")).to_have_count(0)

    def shows(self, *selectors: str) -> None:
        for selector in selectors:
            expect(self.page.locator(selector).first, f"{selector} is not on the page").to_be_visible(timeout=20_000)

    def seek(self, selector: str) -> None:
        """Clicks on a time, and waits until the player shows that moment."""
        self.page.locator(selector).first.click()
        self.page.wait_for_function(
            "() => { const video = document.querySelector('video[controls]'); video.pause();"
            " return !video.seeking && video.readyState >= 3 && video.currentTime > 0; }",
            timeout=20_000,
        )
        self.page.wait_for_timeout(SPINNER_MS)

    def settle(self) -> None:
        """Pictures are there, nothing moves."""
        self.page.evaluate(
            "() => Promise.all([...document.images].filter((image) => image.checkVisibility())"
            ".map((image) => image.decode().catch(() => {})))"
        )
        self.page.evaluate(
            "() => Promise.all(document.getAnimations().filter(a => a.playState === 'running' "
            "&& a.effect.getTiming().iterations !== Infinity).map(a => a.finished.catch(() => {})))"
        )
        self.page.wait_for_timeout(300)


Recipe = Callable[[Studio], None]
RECIPES: dict[str, Recipe] = {}


def picture(name: str) -> Callable[[Recipe], Recipe]:
    """The recipe leaves the page as it should be shown."""

    def keep(recipe: Recipe) -> Recipe:
        RECIPES[name] = recipe
        return recipe

    return keep


def _simple(name: str, kind: str, *selectors: str) -> None:
    """One question, with its results beside it."""

    def recipe(studio: Studio) -> None:
        asked = studio.find(kind)
        studio.open()
        studio.ask(asked)
        studio.shows(*selectors)

    RECIPES[name] = recipe


_simple("gui-step", "screen", ".panel.picture .mark", ".marks .action")
_simple("boxes", "boxes", ".panel.picture .mark.box", ".marks li")
_simple("text-lines", "lines", ".panel.picture .mark.box", ".marks li")
_simple("table", "table", ".panel.table td")
_simple("fields", "fields", ".panel.table table.fields td")
_simple("code", "web page", ".panel.preview .scaled iframe", ".editor", ".exports .chip")
_simple("chart", "chart", ".panel.table table.fields td", ".exports .chip")
_simple("diagram", "diagram", ".panel.diagram svg.draft .node", ".exports .chip")
_simple("documents", "pages", ".panel.pages .sources li", ".panel.pages .page img")


_simple("chat", "chat", ".turn.question .thumbnail img", ".turn.answer .status.done .figures")


@picture("video-events")
def video_events(studio: Studio) -> None:
    _film(studio, "events")


@picture("video-when")
def video_when(studio: Studio) -> None:
    _film(studio, "moment")


def _film(studio: Studio, kind: str) -> None:
    asked = studio.find(kind)
    studio.open()
    studio.ask(asked)
    studio.shows(".panel.timeline .events li", ".strip button")
    studio.seek(".panel.timeline .events li:last-child button")


@picture("composer")
def composer(studio: Studio) -> None:
    """A question before it is sent: files, what they cost, the task's parameters."""
    asked = studio.find("boxes")
    studio.open()
    page = studio.page
    page.locator("#task").select_option(asked.task)
    page.set_input_files(".composer input[type=file]", [file.upload for file in asked.files])
    page.locator(".composer textarea[aria-describedby=task-summary]").fill(asked.text)
    studio.shows(".card .cost", ".knobs input[type=range]", "#param-ask", ".summary")


@picture("gui-agent")
def gui_agent(studio: Studio) -> None:
    open_agent(studio, DESKTOP)


@picture("phone-agent")
def phone_agent(studio: Studio) -> None:
    open_agent(studio, PHONE)


def open_agent(studio: Studio, viewport: Mapping[str, int]) -> None:
    """An agent on a page of our own, which waits for a word on its first step: the right one, in one of some sizes."""
    for size in AGENT_SIZES:
        begin_agent(studio, viewport, *size)
        if studio.page.locator(".proposal .touches b", has_text="Save").count():
            return studio.shows(".aims *", ".screen .canvas img", ".words-bar button")
        for session in studio.api.get("/agent/sessions").json()["data"]:
            studio.api.delete(f"/agent/sessions/{session['id']}").raise_for_status()
    raise AssertionError("in windows of no size did the agent propose to click on Save")


def begin_agent(studio: Studio, viewport: Mapping[str, int], width: int, height: int) -> None:
    studio.open("#agent", viewport=viewport)
    page = studio.page
    page.get_by_label("Goal", exact=True).fill("Click the Save button.")
    page.get_by_text("HTML", exact=True).click()
    page.get_by_label("HTML", exact=True).last.fill(SETTINGS_PAGE)
    page.get_by_label("Width in pixels").fill(str(width))
    page.get_by_label("Height in pixels").fill(str(height))
    page.get_by_text("More", exact=True).click()
    page.get_by_text("JSON", exact=True).click()
    page.get_by_role("button", name="Open the page").click()
    expect(page.locator(".proposal .what")).to_be_visible(timeout=ANSWER_MS)


@picture("video-index")
def video_index(studio: Studio) -> None:
    """A video whose scenes have been found. What the small model would say of them is of no use, so it is paused."""
    studio.open("#videos")
    page = studio.page
    page.set_input_files(".place input[type=file]", [long_film().upload])
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Longest segment").select_option("15")
    page.get_by_role("button", name="Index it").click()
    expect(page.locator(".chapter li .frame img").first).to_be_visible(timeout=ANSWER_MS)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator('.index-head .state[data-state="paused"]')).to_be_visible(timeout=ANSWER_MS)
    studio.shows(".strip button", ".index-head .primary", ".find input")
    studio.seek(".chapter li:nth-child(2) .time")


@picture("phone")
def phone(studio: Studio) -> None:
    asked = studio.find("boxes")
    studio.open(viewport=PHONE)
    studio.ask(asked)
    studio.page.locator(".turn.answer .to-results").click()
    studio.shows(".panel.picture .mark.box", ".marks li")


@picture("page-zh")
def page_zh(studio: Studio) -> None:
    asked = studio.find("screen in Chinese")
    studio.open()
    studio.page.get_by_role("button", name="中文").click()
    try:
        studio.ask(asked)
        studio.shows(".panel.picture .mark", ".marks .action")
    finally:
        studio.page.evaluate("localStorage.clear()")


@picture("page")
def page(studio: Studio) -> None:
    """Last, when the side has conversations to show."""
    RECIPES["gui-step"](studio)


@contextmanager
def serving(model: str, folder: Path) -> Iterator[str]:
    """`qwen3vl serve` as a process of its own, with nothing of this user's settings or data. Yields its address."""
    own = "QWEN3VL_FONTS"
    environment = {name: value for name, value in os.environ.items() if name == own or not name.startswith("QWEN3VL_")}
    config = folder / "config.yaml"
    config.write_text("{}")
    command = [sys.executable, "-c", "from qwen3vl.cli import main; main()", "serve", model]
    options = ["--port", "0", "--data-dir", str(folder / "data")]
    log = folder / "log"
    with (
        log.open("w") as output,
        subprocess.Popen([*command, *options], cwd=folder, stderr=output, env=environment) as it,
    ):
        try:
            while not (address := _address(log.read_text())):
                if it.poll() is not None:
                    raise SystemExit(f"the server did not start:\n{log.read_text()}")
                time.sleep(0.1)
            yield address
        finally:
            it.terminate()


def _address(log: str) -> str:
    return next((word for word in log.split() if word.startswith("http://")), "")


def keep(shot: bytes, path: Path) -> int:
    """Writes a WebP, lossless where that is small enough. Returns its size in bytes."""
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    for options in ({"lossless": True}, {"quality": 88}, {"quality": 70}):
        file = io.BytesIO()
        image.save(file, "WEBP", method=6, **options)
        if file.tell() <= LARGEST:
            path.write_bytes(file.getvalue())
            return file.tell()
    raise SystemExit(f"{path.name} has {file.tell():,} bytes and may have {LARGEST:,}")


def make(names: list[str], model: str) -> list[str]:
    """Makes the pictures and returns a sentence for each that failed."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    faults: list[str] = []
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, serving(model, Path(folder)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(locale="en-GB", device_scale_factor=1, color_scheme="light")
        with httpx.Client(base_url=f"{url}/v1", timeout=300) as api:
            studio = Studio(context.new_page(), api, url)
            for name in names:
                began = time.monotonic()
                print(name, flush=True)
                try:
                    RECIPES[name](studio)
                    studio.settle()
                    size = keep(studio.page.screenshot(), FOLDER / f"{name}.webp")
                    print(f"  {size:,} bytes, {time.monotonic() - began:.1f} s", flush=True)
                except (AssertionError, Error, RuntimeError, httpx.HTTPError) as error:
                    seen = Path(tempfile.gettempdir()) / f"failed-{name}.png"
                    studio.page.screenshot(path=seen)
                    faults.append(f"{name}: {str(error).strip().splitlines()[0]}; see {seen}")
                    print(f"  FAILED: {error}".partition("Aria snapshot")[0], flush=True)
        browser.close()
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--only", action="append", choices=list(RECIPES), help="this picture; may be given again")
    parser.add_argument("--model", default="tiny-moe", help="what answers: a catalogue name or a folder")
    given = parser.parse_args()
    model = str(Path(given.model).resolve()) if Path(given.model).is_dir() else given.model
    faults = make(given.only or list(RECIPES), model)
    together: Any = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"{together:,} bytes in {FOLDER}")
    if together > LARGEST_TOGETHER:
        faults.append(f"all pictures have {together:,} bytes and may have {LARGEST_TOGETHER:,}")
    if faults:
        raise SystemExit("\n".join(["", *faults]))


if __name__ == "__main__":
    main()
