"""What the settings say of the page, and what a person changes: language, colours, streaming, figures, keeping."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from qwen3vl.settings import InterfaceSettings, Settings
from support import drawing
from support.pages import Site, ask, attach, open_page, page_site, png
from support.server import wait_until


def test_the_interface_settings_are_kept_to(page: Page) -> None:
    interface = InterfaceSettings(language="zh", streaming=False, token_counts=False, autosave=False)
    with page_site(settings=Settings(interface=interface)) as site:
        open_page(page, site.url)
        expect(page.locator(".side .new")).to_have_attribute("aria-label", "新对话")
        page.locator("#task").select_option("grounding")
        attach(page, png("shapes.png", drawing.shapes().image))
        boxes = [{"bbox_2d": [x, 300, x + 90, 400], "label": "形状"} for x in range(0, 800, 100)]
        site.says(f"<think>\n想一想\n</think>\n\n{json.dumps(boxes, ensure_ascii=False)}", seconds=0.1)
        page.locator(".box textarea").fill("Go")
        page.locator(".send").click()
        expect(page.locator(".turn.answer .status.running")).to_be_visible()
        page.wait_for_timeout(2500)  # some boxes would be there
        expect(page.locator(".turn.answer .status.running")).to_be_visible()
        expect(page.locator(".turn.answer .said")).to_be_empty()
        expect(page.locator(".turn.answer .thinking")).to_be_hidden()
        expect(page.locator(".stage")).to_have_count(0)
        expect(page.locator(".stage .mark")).to_have_count(8, timeout=15_000)
        expect(page.locator(".turn.answer .said")).to_contain_text("形状")
        expect(page.locator(".turn.answer .status")).not_to_contain_text("token")
        store = site.services.store.conversations
        assert len(store.list("").items) == 1
        page.locator(".side .new").click()  # it goes when it is left, also for another one
        wait_until(lambda: not store.list("").items)
        site.says("Another.")
        page.locator("#task").select_option("chat")
        page.locator(".box textarea").fill("Go")
        page.locator(".send").click()
        expect(page.locator(".turn.answer .status.done")).to_be_visible()
        assert len(store.list("").items) == 1
        page.goto("about:blank")
        wait_until(lambda: not store.list("").items)


@pytest.mark.parametrize(("locale", "word"), [("zh-CN", "新对话"), ("en-US", "New conversation")])
def test_the_language_is_the_browsers(page: Page, site: Site, locale: str, word: str) -> None:
    browser = page.context.browser
    assert browser is not None
    with browser.new_context(locale=locale) as context:
        other = context.new_page()
        open_page(other, site.url)
        expect(other.locator(".side .new")).to_have_attribute("aria-label", word)


def test_language_and_colours_are_switched_and_stay(page: Page, site: Site) -> None:
    open_page(page, site.url)
    site.says("A word.")
    ask(page, "Say something.")
    page.locator("#task").select_option("grounding")
    page.get_by_label("Question", exact=True).fill("half a thought")
    page.get_by_role("button", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    expect(page.locator(".turn.answer .state")).to_have_text("完成")
    expect(page.locator(".box textarea")).to_have_value("half a thought")
    expect(page.locator("#task option:checked")).to_have_text("定位")
    page.get_by_role("button", name="深色").click()
    ground = "getComputedStyle(document.querySelector('#app')).backgroundColor"
    dark = page.evaluate(ground)
    page.reload()
    page.wait_for_selector("#app[data-ready]")
    assert page.evaluate(ground) == dark
    assert sum(int(part) for part in dark.strip("rgb()").split(",")) < 150
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    page.get_by_role("button", name="English").click()
    page.get_by_role("button", name="Light colours").click()


def test_dark_by_the_systems_wish(page: Page, site: Site) -> None:
    page.emulate_media(color_scheme="dark")
    open_page(page, site.url)
    assert page.evaluate("document.body.classList.contains('dark')")
