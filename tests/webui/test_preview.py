"""Code with its preview: it can be edited and compared, and a page that a model wrote reaches nothing: not the page
around it, no storage, no network, no window.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from support import drawing
from support.browser import Watched
from support.pages import Site, ask, attach, open_page, png

DOCUMENT = (
    "<!DOCTYPE html><html><body style='margin:0'><h1>{title}</h1><p id=said></p><script>{script}</script></body></html>"
)


class Listener(http.server.BaseHTTPRequestHandler):
    heard: list[str] = []  # noqa: RUF012  # one for all connections

    def do_GET(self) -> None:
        self.heard.append(self.path)
        self.send_response(200)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[str]:
    """Another server on this machine, which must hear nothing."""
    Listener.heard.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def show(page: Page, site: Site, script: str, title: str = "Here") -> None:
    open_page(page, site.url)
    page.locator("#task").select_option("screenshot_to_code")
    attach(page, png("page.png", drawing.page().image))
    site.says(f"```html\n{DOCUMENT.format(title=title, script=script)}\n```")
    ask(page, "")
    expect(page.locator("iframe")).to_have_count(1)


def test_a_page_is_shown_edited_and_compared(page: Page, site: Site) -> None:
    show(page, site, "document.querySelector('#said').textContent = 'scripts run'", "Welcome home")
    frame = page.frame_locator("iframe")
    expect(frame.locator("#said")).to_have_text("scripts run")
    expect(page.locator(".sides img")).to_have_count(1)
    editor = page.get_by_label("Code", exact=True).and_(page.locator("textarea"))
    expect(editor).to_have_value(
        DOCUMENT.format(title="Welcome home", script="document.querySelector('#said').textContent = 'scripts run'")
    )
    editor.fill("<h1>Edited</h1>")
    expect(frame.locator("h1")).to_have_text("Edited")
    expect(page.locator(".editing-code .hl-nt").first).to_have_text("h1")
    page.get_by_role("button", name="How alike?").click()
    expect(page.locator(".preview .hint")).to_contain_text("% alike", timeout=30_000)
    page.get_by_role("button", name="Undo edits").click()
    expect(frame.locator("h1")).to_have_text("Welcome home")


def test_a_hostile_page_reaches_nothing(page: Page, browser: Watched, site: Site, stranger: str) -> None:
    tries = {
        "parent": "parent.document.title",
        "top": "top.location.href = 'about:blank'",
        "localStorage": "localStorage.length",
        "cookies": "document.cookie",
        "indexedDB": "indexedDB.open('x').readyState && null.x",
        "popup": f"window.open('{stranger}/popup').closed",
        "eval": "eval('1')",
        "worker": "new Worker(URL.createObjectURL(new Blob(['1']))) && null.x",
    }
    requests = [
        f"fetch('{stranger}/fetch')",
        "fetch('/v1/conversations')",
        f"navigator.sendBeacon('{stranger}/beacon', 'x')",
        f"new Image().src = '{stranger}/image'",
        f"new WebSocket('{stranger.replace('http', 'ws')}/socket')",
        f"new EventSource('{stranger}/events')",
        f"document.body.append(Object.assign(document.createElement('iframe'), {{src: '{stranger}/frame'}}))",
        *(
            f"document.head.append(Object.assign(document.createElement('link'), {{rel: '{rel}', href: '{stranger}'}}))"
            for rel in ("stylesheet", "prefetch", "preload")
        ),
        f"import('{stranger}/module')",
        f"document.body.insertAdjacentHTML('beforeend', '<form id=f action={stranger}/form></form>'); f.submit()",
        f"document.querySelector('#said').onclick = () => {{ location.href = '{stranger}/away'; }}",
    ]
    script = "const reached = [];"
    script += "".join(f"try {{ {code}; reached.push('{name}'); }} catch {{}}" for name, code in tries.items())
    script += "".join(f"try {{ {code}; }} catch {{}}" for code in requests)
    script += "addEventListener('unhandledrejection', (event) => event.preventDefault());"
    script += "document.querySelector('#said').textContent = 'reached: ' + reached;"
    show(page, site, script)
    said = page.frame_locator("iframe").locator("#said")
    expect(said).to_have_text("reached: ")
    said.dispatch_event("click")  # and it goes away by itself
    page.wait_for_timeout(1000)
    assert Listener.heard == []
    assert page.title() == "Qwen3-VL"
    assert len(page.context.pages) == 1
    frame = page.locator("iframe")
    assert frame.get_attribute("sandbox") == "allow-scripts"
    browser.complaints.clear()  # each try is noted on the console
    browser.outside.clear()


def test_the_policy_keeps_the_page_itself_at_home(page: Page, browser: Watched, site: Site) -> None:
    """The proof that the checks of all other tests can fail: a request to another host is stopped and noticed."""
    open_page(page, site.url)
    blocked = page.evaluate("fetch('http://192.0.2.1/').then(() => 'went out', () => 'blocked')")
    assert blocked == "blocked"
    assert any("Content Security Policy" in line for line in browser.complaints)
    browser.complaints.clear()
    browser.outside.clear()
