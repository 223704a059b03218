"""Asking and what becomes of it, in a real Chromium: streaming, stopping, branches, reloads, restarts, the list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from qwen3vl.errors import EngineClosedError
from qwen3vl.server import Services, create_app
from qwen3vl.settings import ServerSettings, Settings
from qwen3vl.webui import mount_page
from support import drawing
from support.browser import Watched
from support.pages import Site, ask, attach, on_picture, open_page, page_site, png
from support.scripted import USAGE
from support.server import MODELS, endless_model, serving, wait_until


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page of a model whose answers never end by themselves."""
    with page_site(endless_model(tmp_path_factory.mktemp("models") / "endless")) as site:
        yield site


def last(page: Page) -> str:
    return page.locator(".turn.answer .said").last.inner_text()


def test_from_a_picture_to_a_marked_answer_of_the_shipped_model(page: Page, site: Site) -> None:
    open_page(page, site.url)
    window = drawing.window()
    attach(page, png("window.png", window.image))
    expect(page.locator(".card")).to_contain_text("384 × 256")
    expect(page.locator(".card")).to_contain_text("96 tokens")
    ask(page, "Click the Save button.")
    expect(page.locator(".turn.answer")).to_contain_text('"action": "left_click"')
    expect(page.locator(".turn.question img")).to_have_count(1)
    for words in ("tokens/s", "to the first token", "tokens", "prompt tokens", "4 experts"):
        expect(page.locator(".turn.answer .status")).to_contain_text(words)
    expect(page.locator(".marks .action b")).to_have_text("Click")
    x1, y1, x2, y2 = on_picture(page.locator(".stage .mark.point"), page.locator(".stage img"), window.image.size)
    left, top, right, bottom = window.boxes["Save"]
    assert left < (x1 + x2) / 2 < right
    assert top < (y1 + y2) / 2 < bottom
    expect(page.locator(".conversations li.current")).to_contain_text("Click the Save button.")


def test_an_answer_streams_and_escape_stops_the_engine(page: Page, endless: Site) -> None:
    open_page(page, endless.url)
    ask(page, "Read the text.", wait=False)
    expect(page.locator(".turn.answer .status.running")).to_be_visible()
    lengths: list[int] = []
    for _ in range(3):
        wait_until(lambda: len(last(page)) > (lengths[-1] if lengths else 0))
        lengths.append(len(last(page)))
    assert endless.engine.stats().running == 1
    expect(page.locator(".turn.answer")).to_have_attribute("aria-busy", "true")
    page.keyboard.press("Escape")
    expect(page.locator(".turn.answer .status.stopped")).to_be_visible()
    wait_until(lambda: endless.engine.stats().running == 0)
    generated = endless.engine.stats().generated_tokens
    page.wait_for_timeout(200)
    assert endless.engine.stats().generated_tokens == generated
    assert len(last(page)) >= lengths[-1]  # what was written stays
    expect(page.get_by_label("Send", exact=True)).to_be_visible()


def test_an_answer_goes_on_while_the_page_is_loaded_again(page: Page, endless: Site) -> None:
    open_page(page, endless.url)
    ask(page, "Read the text.", wait=False)
    expect(page.locator(".turn.answer .status.running .state")).to_be_visible()
    before = len(last(page))
    page.reload()
    page.wait_for_selector("#app[data-ready]")
    expect(page.locator(".turn.question")).to_contain_text("Read the text.")
    wait_until(lambda: len(last(page)) > before)
    page.get_by_label("Stop", exact=True).click()
    expect(page.locator(".turn.answer .status.stopped")).to_be_visible()
    text = last(page)
    page.reload()
    page.wait_for_selector("#app[data-ready]")
    assert last(page) == text


def test_what_was_shown_is_there_after_the_server_was_killed(page: Page, browser: Watched, tmp_path: Path) -> None:
    """A store whose server never ended its answer is what a kill leaves behind."""
    settings = Settings(server=ServerSettings(data_dir=tmp_path))
    with Services.open(settings) as services:
        conversation = services.store.conversations.create(title="Cut off")
        question = services.store.messages.add_question(conversation.id, None, [{"type": "text", "text": "Say more."}])
        answer = services.store.messages.add_answer(conversation.id, question.id, {})
        services.store.messages.append(answer.id, "Here is what there ")
        services.store.messages.append(answer.id, "was.")
    with Services.open(settings) as services:
        app = create_app(services)
        mount_page(app, services)
        with serving(app) as url:
            open_page(page, f"{url}/#c={conversation.id}")
            expect(page.locator(".turn.answer .said")).to_have_text("Here is what there was.")
            expect(page.locator(".turn.answer .status")).to_contain_text("Interrupted")


def test_regenerate_edit_and_switch_between_branches(page: Page, site: Site) -> None:
    open_page(page, site.url)
    site.says("The first answer.")
    ask(page, "What is it?")
    site.says("The second answer.")
    page.get_by_label("Answer again").click()
    expect(page.locator(".turn.answer .said")).to_have_text("The second answer.")
    expect(page.locator(".turn.answer .count")).to_have_text("2 / 2")
    page.locator(".turn.answer").get_by_label("The version before").click()
    expect(page.locator(".turn.answer .said")).to_have_text("The first answer.")

    site.says("Another question has another answer.")
    page.locator(".turn.question").hover()
    page.get_by_label("Edit and ask again").click()
    box = page.get_by_label("Question", exact=True)
    expect(box).to_have_value("What is it?")
    expect(page.locator(".editing")).to_be_visible()
    box.fill("What is it really?")
    box.press("Enter")
    expect(page.locator(".turn.question p")).to_have_text("What is it really?")
    expect(page.locator(".turn.answer .said")).to_have_text("Another question has another answer.")
    expect(page.locator(".turn.question .count")).to_have_text("2 / 2")
    page.locator(".turn.question").get_by_label("The version before").click()
    expect(page.locator(".turn.question p")).to_have_text("What is it?")
    expect(page.locator(".turn.answer .count")).to_contain_text("/ 2")
    page.reload()  # the shown branch is the conversation's own
    expect(page.locator(".turn.question p")).to_have_text("What is it?")


def test_several_turns_reach_the_model_with_their_history(page: Page, site: Site) -> None:
    open_page(page, site.url)
    script = site.says("One.")
    ask(page, "First?")
    script = site.says("Two.")
    ask(page, "Second?")
    said = [message["content"] for message in script.asked[-1]["messages"]]
    assert said[1] == "One."
    assert [part["text"] for part in said[2]] == ["Second?"]


def test_the_list_is_searched_renamed_and_deleted(page: Page, site: Site) -> None:
    open_page(page, site.url)
    for words in ("About apples", "About pears"):
        site.says(f"{words}, there is much to say.")
        page.locator(".side .new").click()
        ask(page, words)
    titles = page.locator(".conversations .title span")
    expect(titles).to_have_text(["About pears", "About apples"])
    page.get_by_label("Search").fill("apples much")
    expect(titles).to_have_text(["About apples"])
    page.get_by_label("Search").fill("")
    expect(titles).to_have_count(2)

    item = page.locator(".conversations li").nth(1)
    item.hover()
    item.get_by_label("Rename").click()
    page.locator(".conversations input").fill("Fruit")
    page.keyboard.press("Enter")
    expect(titles).to_have_text(["About pears", "Fruit"])
    titles.nth(1).click()
    expect(page.locator(".turn.answer .said")).to_have_text("About apples, there is much to say.")
    expect(page.locator(".head h2")).to_have_text("Fruit")
    item = page.locator(".conversations li").nth(1)
    item.hover()
    item.get_by_label("Delete").click()
    page.locator(".conversations .danger").click()
    expect(titles).to_have_text(["About pears"])
    expect(page.locator(".welcome")).to_be_visible()  # the one that was open is gone
    assert len(site.services.store.conversations.list("").items) == 1


def test_markdown_code_formulas_and_thoughts(page: Page, site: Site) -> None:
    open_page(page, site.url)
    text = "So $x^2$:\n\n```python\nprint('<b>')\n```\n\n**Bold** <img src=x onerror=alert(1)> ![p](http://192.0.2.1/x.png)"
    site.says(f"<think>\nI wonder.\n</think>\n\n{text}")
    ask(page, "Explain.")
    answer = page.locator(".turn.answer")
    thoughts = answer.locator("details.thinking")
    expect(thoughts.locator(".prose")).to_be_hidden()
    thoughts.locator("summary").click()
    expect(thoughts.locator(".prose")).to_have_text("I wonder.")
    expect(answer.locator(".katex")).to_have_count(1)
    expect(answer.locator("strong")).to_have_text("Bold")
    expect(answer.locator("pre .hl-nb, pre .hl-k").first).to_have_text("print")
    expect(answer.locator(".prose img")).to_have_count(0)
    answer.get_by_label("Copy the code").click()
    assert page.evaluate("navigator.clipboard.readText()").strip() == "print('<b>')"
    answer.get_by_label("Copy", exact=True).click()
    assert page.evaluate("navigator.clipboard.readText()") == text


def test_an_answer_that_fails_says_why_and_can_be_asked_again(page: Page, browser: Watched, site: Site) -> None:
    open_page(page, site.url)
    page.get_by_label("Send", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Type a question first.")
    page.get_by_label("Question", exact=True).fill("Is <|im_end|> allowed?")
    page.keyboard.press("Enter")
    expect(page.locator(".turn.answer .status.failed")).to_be_visible()
    expect(page.get_by_role("alert").first).to_contain_text("control token")
    browser.complaints.clear()  # the browser's own note of the status 400
    site.says("It is fine.")
    page.get_by_label("Answer again").click()
    expect(page.locator(".turn.answer .said")).to_have_text("It is fine.")


def test_a_failure_whose_sentence_has_no_chinese_is_told_by_its_code(page: Page, browser: Watched, site: Site) -> None:
    engine = site.engine

    def refuse(*given: Any, **options: Any) -> Any:
        raise EngineClosedError("the engine stopped: something that nobody has translated")

    open_page(page, site.url)
    engine.astream = refuse  # type: ignore[method-assign]
    page.get_by_label("Question", exact=True).fill("Hello?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").first).to_have_text("the engine stopped: something that nobody has translated")
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("alert").first).to_have_text("模型当前无法使用")
    page.reload()  # and from what was kept
    page.wait_for_selector("#app[data-ready]")
    expect(page.get_by_role("alert").first).to_have_text("模型当前无法使用")
    browser.complaints.clear()  # the browser's own note of the status 503
    site.speaks()


def test_the_energy_of_an_answer_where_it_is_measured(page: Page, site: Site) -> None:
    open_page(page, site.url)
    site.says("Asked.")
    ask(page, "What does it take?")
    figures = page.locator(".turn.answer .figures")
    for joules, told in ((0.03456, "0.035 J"), (12.4, "12 J"), (1530, "1.5 kJ")):
        site.says("Measured.").usage = replace(USAGE, energy_joules=joules)
        page.get_by_label("Answer again").click()
        expect(figures).to_contain_text(f"{told} of energy")
        page.get_by_role("button", name="中文").click()
        expect(figures).to_contain_text(f"{told} 能耗")
        page.get_by_role("button", name="English").click()
    site.says("Not measured.")
    page.get_by_label("Answer again").click()
    expect(page.locator(".turn.answer .said")).to_have_text("Not measured.")
    expect(figures).not_to_contain_text("energy")


def test_keys_and_what_is_read_out(page: Page, site: Site) -> None:
    open_page(page, site.url)
    script = site.says("It has two lines.")
    box = page.get_by_label("Question", exact=True)
    expect(box).to_be_focused()
    page.keyboard.type("One line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("and another")
    expect(box).to_have_value("One line\nand another")
    page.keyboard.press("Enter")
    expect(page.locator(".turn.answer .said")).to_have_text("It has two lines.")
    assert script.asked[0]["messages"][0]["content"][0]["text"] == "One line\nand another"
    expect(page.locator("#app > [role=status]")).to_contain_text("Done. It has two lines.")
    unnamed = page.evaluate(
        "[...document.querySelectorAll('#app :is(button, input, select, textarea)')].filter((e) => e.checkVisibility()"
        " && !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"
    )
    assert unnamed == []


def test_the_conversation_is_exported(page: Page, site: Site) -> None:
    open_page(page, site.url)
    site.says("An answer to keep.")
    ask(page, "What should be kept?")
    for name, ending in (("Markdown", "md"), ("JSON, all branches", "json"), ("HTML with pictures", "html")):
        page.get_by_label("Export this conversation").click()
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        assert download.value.suggested_filename == f"What should be kept.{ending}"
        assert "An answer to keep." in Path(download.value.path()).read_text(encoding="utf-8")


def test_a_dense_model_has_no_modes(page: Page) -> None:
    with page_site(MODELS / "dense") as site:
        open_page(page, site.url)
        expect(page.locator("#mode")).to_be_hidden()
        page.get_by_role("button", name="Find all shapes").click()
        expect(page.locator('.card[data-state="ready"]')).to_be_visible()
        page.get_by_label("Question", exact=True).press("Enter")
        expect(page.locator(".turn.answer .status.done")).to_be_visible(timeout=30_000)
        expect(page.locator(".turn.answer .status")).not_to_contain_text("experts")
        assert re.search(r"square|circle", last(page))
