"""A server of its own process that is killed while its page shows an answer; and a picture from the camera, sent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect

from qwen3vl.server import Services, create_app
from qwen3vl.settings import ModelSettings, ServerSettings, Settings
from qwen3vl.webui import mount_page
from support.browser import Watched
from support.pages import Site, ask, open_page
from support.server import endless_model, serving, wait_until

SHOWN = ".turn.answer .said"


@contextmanager
def process(model: Path, data: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The command that people start, on a port of this machine."""
    program = [sys.executable, "-c", "from qwen3vl.cli import main; main()"]
    command = [*program, "serve", str(model), "--port", str(port), "--data-dir", str(data)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen([*command, "--memory", "1GiB"], env=environment, stderr=subprocess.DEVNULL) as started:
        try:
            wait_until(lambda: answers(port), seconds=60)
            yield started
        finally:
            started.kill()


@contextmanager
def another(model: Path, data: Path, port: int) -> Iterator[None]:
    """The next server in the same place, which may live in this process: it need not be killed."""
    settings = Settings(
        model=ModelSettings(name=str(model), device="cpu", memory="1GiB"),  # type: ignore[arg-type]
        server=ServerSettings(data_dir=data),
    )
    with Services.open(settings) as services:
        app = create_app(services)
        mount_page(app, services)
        with serving(app, port):
            yield


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_killed_server_loses_nothing_that_was_shown(page: Page, browser: Watched, tmp_path: Path) -> None:
    model, data, port = endless_model(tmp_path / "endless"), tmp_path / "data", free_port()
    with process(model, data, port) as first:
        open_page(page, f"http://127.0.0.1:{port}")
        ask(page, "Read the text.", wait=False)
        wait_until(lambda: len(page.locator(SHOWN).inner_text()) > 60, seconds=30)
        first.kill()
        first.wait(timeout=30)
        expect(page.locator(".composer > [role=alert]")).to_contain_text("does not answer")
        shown = page.locator(SHOWN).inner_text().rstrip()
    with another(model, data, port):
        # The page that was open finds its server again by itself, and so does one that is opened anew.
        expect(page.locator(".turn.answer .status")).to_contain_text("Interrupted", timeout=30_000)
        assert page.locator(SHOWN).inner_text().startswith(shown)
        kept = page.locator(SHOWN).inner_text()
        page.reload()
        expect(page.locator(".turn.answer .status")).to_contain_text("Interrupted")
        expect(page.locator(".turn.question")).to_contain_text("Read the text.")
        assert page.locator(SHOWN).inner_text() == kept
    browser.complaints.clear()  # the browser's own notes of the connections that were lost


def test_a_picture_from_the_camera_is_sent(page: Page, site: Site) -> None:
    script = site.says("A green square with a clock.")
    open_page(page, site.url)
    page.get_by_label("Take a picture with the camera").click()
    page.wait_for_function("document.querySelector('dialog.webcam video')?.videoWidth > 0")
    size = page.evaluate(
        "(({videoWidth, videoHeight}) => [videoWidth, videoHeight])(document.querySelector('dialog video'))"
    )
    page.get_by_role("button", name="Take the picture").click()
    expect(page.locator('.card[data-state="ready"]')).to_contain_text("webcam-")
    ask(page, "What do you see?")
    expect(page.locator(".turn.question img")).to_have_count(1)
    page.wait_for_function("document.querySelector('.turn.question img').naturalWidth > 0")
    assert page.evaluate("document.querySelector('.turn.question img').naturalWidth") == size[0]
    [picture] = [part for part in script.asked[0]["messages"][-1]["content"] if part["type"] == "image"]
    assert picture["image"].is_file()
    media = site.services.store.media.get(picture["image"].name)
    assert media is not None
    assert (media.media_type, media.width, media.height) == ("image/jpeg", *size)
