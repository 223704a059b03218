"""The model box: which runs, another loaded in its place, unloading, and why something failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from qwen3vl.server import Services, create_app
from qwen3vl.settings import ModelSettings, ServerSettings, Settings
from qwen3vl.webui import mount_page
from support import drawing
from support.browser import Watched
from support.pages import ask, open_page, png
from support.server import serving


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A server of its own settings, with a folder that looks like a model and is none."""
    broken = tmp_path / "models" / "broken"
    broken.mkdir(parents=True)
    (broken / "config.json").write_text("{}")
    model = ModelSettings(name="tiny-moe", device="cpu", memory="1GiB", folders=(tmp_path / "models",))  # type: ignore[arg-type]
    settings = Settings(model=model, server=ServerSettings(data_dir=tmp_path / "data"))
    with Services.open(settings) as services:
        app = create_app(services)
        mount_page(app, services)
        with serving(app) as url:
            yield url


def test_load_switch_unload_and_fail(page: Page, browser: Watched, url: str) -> None:
    open_page(page, url)
    box, row = page.locator(".model-box"), page.locator("dialog.models li")
    expect(box).to_contain_text("tiny-moe")
    attach_without_a_model(page)
    box.click()
    page.locator('dialog li[data-id="tiny-moe"]').get_by_role("button", name="Load").click()
    expect(row.first).to_contain_text("Running", timeout=30_000)
    expect(row.first).to_contain_text("4 of 8 experts")
    expect(box).to_have_attribute("data-state", "ready")
    expect(page.locator(".card .cost")).to_contain_text("96 tokens")  # known as soon as there is a model

    page.locator('dialog li[data-id="tiny-dense"]').get_by_role("button", name="Load").click()
    expect(box).to_contain_text("tiny-dense", timeout=30_000)
    expect(page.locator("#mode")).to_be_hidden()

    page.locator('dialog li[data-id="broken"]').get_by_role("button", name="Load").click()
    failed = page.locator('dialog li[data-id="broken"]')
    expect(failed.locator(".error")).to_be_visible(timeout=30_000)
    expect(box).to_contain_text("tiny-dense")  # it stays

    page.get_by_label("Name or hub id").fill("no such model")
    page.locator(".wish button").click()
    expect(page.locator("dialog [role=alert]")).to_contain_text("no such model")

    page.locator('dialog li[data-id="tiny-dense"]').get_by_role("button", name="Unload").click()
    expect(box).to_contain_text("On this machine", timeout=30_000)
    page.keyboard.press("Escape")
    ask(page, "Read the text.")  # which loads it again
    browser.complaints.clear()  # the browser's own note of the status 404


def attach_without_a_model(page: Page) -> None:
    page.set_input_files(".composer input[type=file]", [png("shapes.png", drawing.shapes().image)])
    expect(page.locator(".card")).to_contain_text("What it costs is known when the model is loaded.")
