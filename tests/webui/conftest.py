"""One browser and one server with the page for all tests of it: to load the page for the first time costs seconds. What
a test leaves behind in them is removed after it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from qwen3vl.settings import ServerSettings, Settings
from support.browser import Watched, browsing
from support.pages import Site, page_site


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with browsing(tmp_path_factory.mktemp("profile")) as watched:
        yield watched


@pytest.fixture
def page(browser: Watched) -> Iterator[Page]:
    """The browser's page. No test may leave a request to another host or an error on the console behind."""
    page = browser.page
    page.goto("about:blank")
    browser.outside.clear()
    browser.complaints.clear()
    page.set_viewport_size({"width": 1360, "height": 860})
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    yield page
    outside, complaints = list(browser.outside), list(browser.complaints)  # not of what was taken away from it just now
    if page.url.startswith("http"):
        page.evaluate("localStorage.clear()")
    assert outside == []
    assert complaints == []


@pytest.fixture(scope="package")
def shared() -> Iterator[Site]:
    with page_site(settings=Settings(server=ServerSettings(agent_sessions=1))) as site:
        yield site


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    """The page of the shipped model, with nothing in it."""
    yield shared
    shared.speaks()
    store = shared.services.store.conversations
    for conversation in store.list("", limit=200).items:
        store.delete(conversation.id)
