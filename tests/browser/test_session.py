"""A window that a program looks at and acts in: Chromium itself is the oracle of what happened."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import playwright.async_api
import psutil
import pytest
from PIL import Image

from qwen3vl.browser.hands import Hands, key_chord
from qwen3vl.browser.opening import open_session
from qwen3vl.browser.rules import HostRules
from qwen3vl.browser.session import BrowserSession, Element
from qwen3vl.errors import BrowserError, InputError

PAGE = """<!doctype html><meta charset=utf-8><meta name=viewport content="width=device-width,initial-scale=1">
<title>A page</title><style>body{margin:0;height:3000px}
div,input,button{position:absolute;width:100px;height:40px}</style>
<div id=red style="left:0;top:0;background:#f00"></div>
<button id=b style="left:200px;top:0">Go</button>
<input id=a style="left:200px;top:60px">
<div id=d style="left:0;top:100px;background:#00f">hold</div>
<script>
const log = [];
for (const kind of ['click','contextmenu','dblclick','auxclick','touchstart','touchend','mousemove','mouseup'])
  addEventListener(kind, e => log.push([kind, e.target.id, e.button ?? 0, e.clientX ?? 0, e.clientY ?? 0]));
</script>"""
SIZE = (400, 600)


def window(html: str = PAGE, **options: Any) -> AbstractAsyncContextManager[BrowserSession]:
    return open_session(html=html, **{"rules": HostRules(), "size": SIZE, "timeout": 5.0, **options})


@pytest.fixture(scope="module")
def desktop(loop: asyncio.Runner) -> Iterator[BrowserSession]:
    yield from _opened(loop, phone=False)


@pytest.fixture(scope="module")
def phone(loop: asyncio.Runner) -> Iterator[BrowserSession]:
    yield from _opened(loop, phone=True)


def _opened(loop: asyncio.Runner, *, phone: bool) -> Iterator[BrowserSession]:
    manager = window(phone=phone)
    yield loop.run(manager.__aenter__())
    loop.run(manager.__aexit__(None, None, None))


def did(loop: asyncio.Runner, session: BrowserSession, work: Callable[[Hands], Awaitable[None]]) -> list[list[Any]]:
    """The events that `work` makes on a fresh page."""

    async def go() -> list[list[Any]]:
        await session.goto(session.home)
        await session.observe()  # as before each step: a phone's page finds its width only when it is drawn
        await work(Hands(session))
        await session.observe()
        events: list[list[Any]] = await session.page.evaluate("log")
        return events

    return loop.run(go())


def test_what_it_shows(loop: asyncio.Runner, desktop: BrowserSession) -> None:
    seen = loop.run(desktop.observe())
    assert (seen.width, seen.height, seen.url, seen.title) == (*SIZE, "http://page.invalid/", "A page")
    with Image.open(io.BytesIO(seen.png)) as image:
        assert image.size == SIZE
        assert image.convert("RGB").getpixel((99, 39)) == (255, 0, 0)
        assert image.convert("RGB").getpixel((101, 41)) == (255, 255, 255)


@pytest.mark.parametrize(("said", "tries"), [("Unable to capture screenshot", 3), ("Target closed", 1)])
def test_a_browser_with_no_frame_is_asked_again(
    loop: asyncio.Runner, desktop: BrowserSession, monkeypatch: pytest.MonkeyPatch, said: str, tries: int
) -> None:
    taken, asked = desktop.page.screenshot, []

    async def screenshot(**options: Any) -> bytes:
        asked.append(options)
        if len(asked) < 3:
            raise playwright.async_api.Error(f"Page.screenshot: Protocol error (Page.captureScreenshot): {said}")
        return await taken(**options)

    monkeypatch.setattr(desktop.page, "screenshot", screenshot)
    if tries == 1:
        with pytest.raises(BrowserError, match=said):
            loop.run(desktop.observe())
    else:
        assert Image.open(io.BytesIO(loop.run(desktop.observe()).png)).size == SIZE
    assert len(asked) == tries


def test_the_mouse(loop: asyncio.Runner, desktop: BrowserSession) -> None:
    events = did(loop, desktop, lambda hands: hands.click((250, 20)))
    assert ["click", "b", 0, 250, 20] in events
    events = did(loop, desktop, lambda hands: hands.click((20, 120), button="right"))
    assert ["contextmenu", "d", 2, 20, 120] in events
    events = did(loop, desktop, lambda hands: hands.click((20, 120), button="middle"))
    assert ["auxclick", "d", 1, 20, 120] in events
    assert [event[0] for event in did(loop, desktop, lambda hands: hands.click((20, 120), count=2))].count(
        "dblclick"
    ) == 1
    events = did(loop, desktop, lambda hands: hands.drag((20, 120), (80, 220)))
    assert events[-1][0] in ("click", "mouseup")
    assert ["mouseup", "", 0, 80, 220] in events
    moves = [event for event in events if event[0] == "mousemove"]
    assert len(moves) > 5
    assert did(loop, desktop, lambda hands: hands.move((30, 30)))[-1] == ["mousemove", "red", 0, 30, 30]


def test_holding(loop: asyncio.Runner, desktop: BrowserSession) -> None:
    began = time.monotonic()
    assert ["click", "d", 0, 20, 120] in did(loop, desktop, lambda hands: hands.hold((20, 120), 0.5))
    assert time.monotonic() - began > 0.5


def test_typing(loop: asyncio.Runner, desktop: BrowserSession) -> None:
    async def go(hands: Hands) -> None:
        await hands.click((250, 80))
        await hands.type("Grüße, 你好")
        assert await desktop.page.input_value("#a") == "Grüße, 你好"
        await hands.press("ctrl+a")
        await hands.press("Delete")
        await hands.type("x")
        assert await desktop.page.input_value("#a") == "x"
        with pytest.raises(InputError, match="5000"):
            await hands.type("x" * 5001)

    did(loop, desktop, go)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("enter", "Enter"),
        ("ctrl+s", "Control+s"),
        ("Ctrl + Shift + T", "Control+Shift+T"),
        ("page down", "PageDown"),
        ("pagedown", "PageDown"),
        ("alt+left", "Alt+ArrowLeft"),
        ("ctrl++", "Control++"),
        ("+", "+"),
        ("F5", "F5"),
        ("esc", "Escape"),
    ],
)
def test_names_of_keys(said: str, meant: str) -> None:
    assert key_chord(said) == meant


@pytest.mark.parametrize("said", ["", "hyper+x", "ctrl+", "abc", "F99"])
def test_what_is_no_key(said: str) -> None:
    if said == "ctrl+":  # the plus is a key
        assert key_chord(said) == "Control++"
        return
    with pytest.raises(InputError):
        key_chord(said)


def test_scrolling(loop: asyncio.Runner, desktop: BrowserSession, phone: BrowserSession) -> None:
    for session in (desktop, phone):

        async def top(session: BrowserSession = session) -> int:
            await session.observe()
            return int(await session.page.evaluate("scrollY"))

        async def go(hands: Hands) -> None:
            await hands.scroll("down", 200)
            assert await top() == 200
            await hands.scroll("up", 50, (200, 300))
            assert await top() == 150
            await hands.scroll("down")
            assert await top() == 150 + 0.7 * SIZE[1]

        did(loop, session, go)


def test_a_finger(loop: asyncio.Runner, phone: BrowserSession) -> None:
    events = did(loop, phone, lambda hands: hands.click((250, 20)))
    assert ["touchstart", "b", 0, 0, 0] in events
    assert ["click", "b", 0, 250, 20] in events

    async def swipe(hands: Hands) -> None:
        await hands.drag((200, 500), (200, 200))
        await phone.observe()
        assert 270 <= await phone.page.evaluate("scrollY") <= 300  # with the finger, and not thrown beyond

    did(loop, phone, swipe)


def test_forward_back_and_home(loop: asyncio.Runner) -> None:
    async def go() -> None:
        async with window("<title>x</title><a href='?two'>two</a>") as session:
            hands = Hands(session)
            await session.page.click("a")
            assert (await session.observe()).url.endswith("?two")
            await session.back()
            assert (await session.observe()).url.endswith("/")
            await session.back()  # there is nothing before the first page that would be for a person to see
            assert (await session.observe()).url.endswith("/")
            await session.goto(session.home)
            await session.page.click("a")
            await hands.press("alt+left")
            assert (await session.observe()).url.endswith("/")
            with pytest.raises(InputError, match="not on the list"):
                await session.goto("http://evil.test/")
            with pytest.raises(InputError, match="not on the list"):
                await session.goto("about:blank")

    loop.run(go())


ELEMENTS = """<!doctype html><style>*{position:absolute;margin:0;padding:0}p,a,button,input,iframe,label,div,#s
{width:90px;height:30px}style,script,img{display:none}form{position:static}</style>
<form><button style="left:0;top:0">Log <b style="position:static">in</b></button>
<input type=password placeholder=Secret style="left:100px;top:0"><input name=user style="left:200px;top:0">
<input name=querySelector style="display:none"><input name=elements style="display:none"></form>
<form><input type=submit value=Pay style="left:0;top:40px">
<input autocomplete=cc-number name=n style="left:100px;top:40px"></form>
<a href="http://evil.test/x" style="left:0;top:80px"><span style="position:static">Out   there</span></a>
<label for=f style="left:100px;top:80px">A file</label><input type=file id=f style="left:200px;top:80px">
<button type=button aria-label="Close it" style="left:0;top:120px">x</button>
<iframe style="left:100px;top:120px" srcdoc="<style>*{margin:0}</style>
<button style='width:90px;height:30px'>inner</button>"></iframe>
<iframe sandbox style="left:200px;top:120px" srcdoc="<button>closed</button>"></iframe>
<div id=s style="left:0;top:160px"></div><p style="left:100px;top:160px">plain</p>
<img name=activeElement><img name=elementFromPoint>
<script>
s.attachShadow({mode:'open'}).innerHTML = '<button style="width:90px;height:30px">shadow</button>';
document.elementFromPoint = Document.prototype.elementFromPoint = () => document.body;
Element.prototype.closest = () => null; Element.prototype.getAttribute = () => 'lie';
</script>"""


def element(tag: str, kind: str, text: str, *traits: str, href: str = "") -> Element:
    return Element(tag, kind, text, href, frozenset(traits))


def test_what_stands_where_whatever_the_page_says(loop: asyncio.Runner) -> None:
    expected = {
        (45, 15): element("button", "", "Log in", "sends", "form_password"),
        (145, 15): element("input", "password", "Secret", "password", "enter_sends", "form_password"),
        (245, 15): element("input", "", "user", "enter_sends", "form_password"),
        (45, 55): element("input", "submit", "Pay", "sends", "form_payment"),
        (145, 55): element("input", "", "n", "payment", "enter_sends", "form_payment"),
        (10, 90): element("a", "", "Out there", href="http://evil.test/x"),
        (145, 95): element("input", "file", "A file", "file"),
        (245, 95): element("input", "file", "", "file"),
        (45, 135): element("button", "button", "Close it"),
        (145, 135): element("button", "", "inner"),
        (245, 135): element("iframe", "", "", "frame"),
        (45, 175): element("button", "", "shadow"),
        (145, 175): element("p", "", "plain"),
    }

    async def go() -> None:
        async with window(ELEMENTS) as session:
            await session.observe()
            found = {place: await session.element(*place) for place in expected}
            assert found == expected
            assert await session.element() is None
            await session.page.focus("[type=password]")
            assert await session.element() == expected[145, 15]

    loop.run(go())


def test_places_on_a_zoomed_phone_page(loop: asyncio.Runner) -> None:
    """A page without a viewport of its own is laid out wide and shown small."""
    page = "<style>*{margin:0}button{position:absolute;left:600px;top:300px;width:200px;height:100px}</style><button>Go"

    async def go() -> None:
        async with window(page, phone=True) as session:
            await session.observe()
            x, y = 700 * SIZE[0] / 980, 350 * SIZE[0] / 980
            assert await session.element(x, y) == element("button", "", "Go")
            assert (await session.element(x + 60, y) or element("", "", "")).tag != "button"

    loop.run(go())


def test_drawing_beside_the_page(loop: asyncio.Runner, desktop: BrowserSession) -> None:
    png = loop.run(desktop.draw("<body style='margin:0;background:#0f0'><script>document.body.remove()</script>"))
    with Image.open(io.BytesIO(png)) as image:
        assert image.size == SIZE
        assert image.convert("RGB").getcolors() == [(SIZE[0] * SIZE[1], (0, 255, 0))]
    assert len(desktop.page.context.pages) == 1


def test_a_page_that_hangs(loop: asyncio.Runner) -> None:
    before = browsers()

    async def go() -> None:
        async with window("<button onclick='for(;;);'>x</button>", timeout=1.0) as session:
            await session.observe()
            with contextlib.suppress(BrowserError):  # the click may come back before the page hangs
                await Hands(session).click((15, 15))
            with pytest.raises(BrowserError, match="does not answer"):
                await session.element(15, 15)
            with pytest.raises(BrowserError, match="does not answer"):
                await session.observe()

    began = time.monotonic()
    loop.run(go())
    assert time.monotonic() - began < 20
    assert browsers() <= before


def test_a_page_that_crashes(loop: asyncio.Runner) -> None:
    async def go() -> None:
        async with window(timeout=1.0) as session:
            await session.observe()
            with contextlib.suppress(BrowserError):
                async with session.answering():
                    await session.cdp.send("Page.crash")
            with pytest.raises(BrowserError):
                await session.observe()

    loop.run(go())


def test_the_browser_ends_with_whatever_ends_the_session(loop: asyncio.Runner) -> None:
    before = browsers()

    async def fail() -> None:
        async with window():
            assert browsers() - before
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError):
        loop.run(fail())
    assert browsers() <= before

    async def cancel() -> None:
        async with asyncio.timeout(0.5), window():  # mostly while it starts
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        loop.run(cancel())
    assert browsers() <= before


def test_the_browser_ends_with_a_program_that_is_killed() -> None:
    code = """
import asyncio
from qwen3vl.browser.rules import HostRules
from qwen3vl.browser.opening import open_session
async def go():
    async with open_session(html="x", rules=HostRules(), size=(300, 300)):
        print("up", flush=True)
        await asyncio.sleep(60)
asyncio.run(go())
"""
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert program.stdout is not None
    assert program.stdout.readline() == b"up\n"
    children = psutil.Process(program.pid).children(recursive=True)
    assert any("chrom" in child.name() for child in children if child.is_running())
    os.kill(program.pid, signal.SIGKILL)
    program.wait()
    program.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def browsers() -> set[int]:
    """Chromium's processes below this one."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # one may end between the listing and the look
            if child.status() != psutil.STATUS_ZOMBIE and "chrom" in child.name():
                found.add(child.pid)
    return found
