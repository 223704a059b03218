"""Pictures of HTML, and pages that would like to do more than be looked at."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from PIL import Image

from qwen3vl.browser import LONGEST_SIDE, Renderer
from qwen3vl.browser.render import MOST_HTML
from qwen3vl.errors import BrowserError, InputError

GREEN = "<body style='margin: 0; background: rgb(0, 128, 0)'>"
SIZE = (96, 64)


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with Renderer(timeout=10) as renderer:
        yield renderer


def is_green(picture: Image.Image) -> bool:
    return bool((np.asarray(picture) == (0, 128, 0)).all())


def browsers() -> set[int]:
    """The processes of browsers that this one has started."""
    return {child.pid for child in psutil.Process().children(recursive=True) if "chrom" in child.name()}


@pytest.fixture
def visits() -> Iterator[tuple[str, list[str]]]:
    """The URL of a server, and what it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_a_window_shows(renderer: Renderer) -> None:
    html = f"{GREEN}<div style='position: absolute; left: 10px; top: 20px; width: 30px; height: 5px; background: red'>"
    picture = renderer.render(html, SIZE)
    assert (picture.mode, picture.size) == ("RGB", SIZE)
    red = (np.asarray(picture) == (255, 0, 0)).all(-1)
    assert np.argwhere(red).min(0).tolist() == [20, 10]
    assert np.argwhere(red).max(0).tolist() == [24, 39]
    long = renderer.render(f"{GREEN}<p style='height: 5000px'>", (200, 100))
    assert long.size == (200, 100)


def test_nothing_of_a_page_stays(renderer: Renderer) -> None:
    renderer.render("<style>body { color: red }</style><title>a</title>" + "x" * 50, (300, 40))
    assert is_green(renderer.render(GREEN, SIZE))


@pytest.mark.parametrize("scripts", [False, True])
def test_nothing_gets_out(scripts: bool, visits: tuple[str, list[str]]) -> None:
    url, asked = visits
    bait = f"""{GREEN}<link rel=stylesheet href={url}/css><img src={url}/img><iframe src={url}/frame></iframe>
        <object data={url}/object></object><video autoplay src={url}/video></video><style>@import '{url}/import';
        body {{ cursor: url({url}/cursor) }}</style><form action={url}/form><input autofocus></form>
        <script>fetch('{url}/fetch'); new WebSocket('{url.replace("http", "ws")}/ws'); navigator.sendBeacon('{url}/b');
        open('{url}/open'); location = '{url}/location'</script><link rel=prefetch href={url}/prefetch>"""
    with Renderer(timeout=10, scripts=scripts) as renderer:
        try:
            renderer.render(bait, SIZE)
        except BrowserError:
            assert scripts  # a page that only wants to be elsewhere
        assert is_green(renderer.render(GREEN, SIZE))
    assert asked == []


def test_a_page_that_wants_to_be_another(renderer: Renderer, visits: tuple[str, list[str]]) -> None:
    url, asked = visits
    for goal in (url, "data:text/html,<body bgcolor=red>", "file:///etc/passwd"):
        for _ in range(3):
            with contextlib.suppress(BrowserError):
                renderer.render(f"<meta http-equiv=refresh content='0; url={goal}'>", SIZE)
            assert is_green(renderer.render(GREEN, SIZE))
    assert asked == []


def test_files_of_this_machine_cannot_be_shown(renderer: Renderer) -> None:
    frame = "<iframe style='width: 90px; height: 60px; border: 0' src='file:///etc/passwd'></iframe>"
    assert np.asarray(renderer.render(frame, SIZE)).std() == np.asarray(renderer.render("<p>", SIZE)).std()


def test_scripts_run_only_where_they_are_allowed(renderer: Renderer) -> None:
    html = f"{GREEN}<script>document.body.style.background = 'red'; window.name = 'seen'</script>"
    assert is_green(renderer.render(html, SIZE))
    with Renderer(scripts=True) as running:
        assert not is_green(running.render(html, SIZE))
        again = f"{GREEN}<script>if (window.name) document.body.style.background = 'red'</script>"
        assert is_green(running.render(again, SIZE))  # each page has a window of its own


def test_a_page_that_never_ends() -> None:
    with Renderer(timeout=2, scripts=True) as renderer:
        with pytest.raises(BrowserError, match="longer than 2 s"):
            renderer.render("<script>for (;;);</script>", SIZE)
        assert is_green(renderer.render(GREEN, SIZE))
    with Renderer(timeout=1) as renderer:
        with pytest.raises(BrowserError, match="longer than 1 s"):
            renderer.render("<div>" * 300_000, SIZE)
        renderer._milliseconds = 10_000  # for a new browser on a busy machine
        assert is_green(renderer.render(GREEN, SIZE))


def test_a_browser_that_dies_is_started_anew() -> None:
    before = browsers()
    with Renderer() as renderer:
        renderer.render(GREEN, SIZE)
        for pid in browsers() - before:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(BrowserError, match="browser failed"):
            renderer.render(GREEN, SIZE)
        assert is_green(renderer.render(GREEN, SIZE))


def test_from_many_threads_and_from_an_event_loop(renderer: Renderer) -> None:
    with ThreadPoolExecutor(4) as pool:
        pages = [f"<body style='background: rgb({i}, 0, 0)'>" for i in range(12)]
        pictures = list(pool.map(lambda page: renderer.render(page, SIZE), pages))
    assert [np.asarray(picture)[0, 0, 0] for picture in pictures] == list(range(12))

    async def inside() -> Image.Image:
        return renderer.render(GREEN, SIZE)

    assert is_green(asyncio.run(inside()))


def test_what_is_too_large_is_refused(renderer: Renderer) -> None:
    for size in ((0, 10), (10, LONGEST_SIDE + 1), (-1, 5)):
        with pytest.raises(InputError, match=f"1 to {LONGEST_SIDE} pixels"):
            renderer.render(GREEN, size)
    with pytest.raises(InputError, match="characters"):
        renderer.render("x" * (MOST_HTML + 1), SIZE)


def test_nothing_is_left_when_it_is_closed() -> None:
    before = browsers()
    renderer = Renderer()
    renderer.render(GREEN, SIZE)
    assert browsers() > before
    renderer.close()
    renderer.close()
    assert browsers() == before
    with pytest.raises(BrowserError, match="closed"):
        renderer.render(GREEN, SIZE)


def test_without_playwright_or_chromium(monkeypatch: pytest.MonkeyPatch) -> None:
    with Renderer() as renderer:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "playwright.sync_api", None)
            with pytest.raises(BrowserError, match=r"qwen3vl\[browser\]"):
                renderer.render(GREEN, SIZE)
        with monkeypatch.context() as patch:
            patch.setattr("qwen3vl.browser.chromium.shutil.which", lambda name: None)
            patch.setattr("playwright.sync_api.BrowserType.executable_path", "/no/chrome")
            with pytest.raises(BrowserError, match="install chromium"):
                renderer.render(GREEN, SIZE)
        assert is_green(renderer.render(GREEN, SIZE))
