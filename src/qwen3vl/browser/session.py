"""One browser window that a program looks at and acts in: observe, say what stands somewhere, click, type, scroll.

A browser of its own for every session, with an empty profile, whose only way to any host is a `Proxy` that keeps to the
session's rules. There is one page: popups, downloads, dialogs and file choosers are turned away and noted. Belongs to
the event loop in which it was opened. Knows nothing of models, and does what it is told without asking.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qwen3vl.browser.proxy import REFUSED_HEADER
from qwen3vl.browser.rules import HostRules
from qwen3vl.errors import BrowserError, InputError

if TYPE_CHECKING:
    from playwright.async_api import CDPSession, Page

_MOST_NOTICES = 200

NoticeKind = Literal["blocked", "popup", "download", "dialog", "file", "error"]


@dataclass(frozen=True)
class Notice:
    """Something that a page tried, or that befell it. `what`: a URL, a dialog's message or an error."""

    kind: NoticeKind
    what: str
    reason: str = ""  # of a blocked request: host_not_allowed, host_not_known, private_address, scheme_not_allowed


@dataclass(frozen=True)
class Observation:
    """What the window shows."""

    png: bytes
    width: int  # pixels, of the picture and of the window
    height: int
    url: str
    title: str


@dataclass(frozen=True)
class Element:
    """What stands at a place of a page: a control, or whatever is there."""

    tag: str
    kind: str  # the type of a field or button
    text: str  # what it is called
    href: str  # where a link leads
    traits: frozenset[str]
    """Of `file`, `password`, `payment` (a field for these), `sends` (a click sends its form), `enter_sends` (Enter in
    it does), `form_password`, `form_payment` (that form has such a field), `frame` (another site's, closed to us)."""


class BrowserSession:
    """Made by `qwen3vl.browser.opening`. A page that does not answer within `timeout` seconds is a `BrowserError`."""

    def __init__(self, page: Page, cdp: CDPSession, rules: HostRules, *, home: str, phone: bool, timeout: float):
        self.page, self.cdp, self.phone, self.home = page, cdp, phone, home
        self._rules, self._timeout = rules, timeout
        self._notices: list[Notice] = []
        self._crashed = False
        self._last_url = home
        self._popup = ""  # that came of what was done; it is followed in this window
        page.on("crash", lambda _: setattr(self, "_crashed", True))

    @property
    def size(self) -> tuple[int, int]:
        size = self.page.viewport_size
        assert size is not None, "every window has a size"
        return size["width"], size["height"]

    def note(self, notice: Notice) -> None:
        if len(self._notices) < _MOST_NOTICES and notice not in self._notices[-8:]:  # a page may try in a loop
            self._notices.append(notice)

    def take_notices(self) -> list[Notice]:
        """What was noted since this was last asked."""
        taken, self._notices = self._notices, []
        return taken

    async def observe(self) -> Observation:
        """The window as it is, once it has stopped changing, or after a moment."""
        await self._settle()
        await self._follow_popup()
        await self._stay_inside()
        async with self.answering():
            png = await _picture(self.page, timeout=self._timeout * 1000, scale="css", caret="initial")
            title = await self.page.title()
        return Observation(png, *self.size, url=self.page.url, title=title[:300])

    async def element(self, x: float | None = None, y: float | None = None) -> Element | None:
        """What stands at a place (pixels), or without one what has the focus. Scripts of the page have no say in it."""
        place = "null" if x is None or y is None else json.dumps([x, y])
        async with self.answering():
            tree = await self.cdp.send("Page.getFrameTree")
            frame = tree["frameTree"]["frame"]["id"]
            world = await self.cdp.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "qwen3vl"})
            answer = await self.cdp.send(
                "Runtime.evaluate",
                {
                    "expression": f"({_element_script()})({place})",
                    "contextId": world["executionContextId"],
                    "returnByValue": True,
                },
            )
        if "exceptionDetails" in answer:
            raise BrowserError("the page cannot be asked what stands there")
        value = answer["result"].get("value")
        return value and Element(**{**value, "traits": frozenset(value["traits"])})

    async def draw(self, html: str) -> bytes:
        """A PNG of a document of ours, of the window's size, painted beside the page by the same browser."""
        browser = self.page.context.browser
        assert browser is not None, "only a persistent context has none"
        width, height = self.size
        async with self.answering():
            context = await browser.new_context(
                viewport={"width": width, "height": height}, java_script_enabled=False, offline=True
            )
            try:
                page = await context.new_page()
                await page.set_content(html, timeout=self._timeout * 1000)
                return await _picture(page, timeout=self._timeout * 1000)
            finally:
                await context.close()

    async def goto(self, url: str) -> None:
        """Raises `InputError` for a place that is not allowed, or where there is nothing."""
        from playwright.async_api import Error

        check_url(url, self._rules)
        async with self.answering(seconds=3 * self._timeout):
            try:
                answer = await self.page.goto(url, wait_until="commit", timeout=2 * self._timeout * 1000)
            except Error as error:
                raise InputError(f"{url!r} cannot be opened: {error.message.splitlines()[0][:200]}") from error
        reason = answer and answer.headers.get(REFUSED_HEADER)
        if reason or not self._rules.allows_url(self.page.url):
            raise InputError(f"{url!r} cannot be opened: {reason or 'it leads to a host that is not allowed'}")

    async def back(self) -> None:
        """To the page before this one; where there is none, nothing happens."""
        async with self.answering(seconds=2 * self._timeout):
            history = await self.cdp.send("Page.getNavigationHistory")
            if history["currentIndex"] > 1:  # the very first is the empty window
                await self.page.go_back(wait_until="commit", timeout=self._timeout * 1000)

    def turn_away(self, popup: str, *, asked_for: bool) -> None:
        """Another window wanted to open at a URL, `asked_for` by a click or key. There is only this one."""
        follow = asked_for and popup.startswith("http") and self._rules.allows_url(popup)
        if follow:
            self._popup = popup
        self.note(Notice("popup", popup[:2000], "opened_here" if follow else "closed"))

    @asynccontextmanager
    async def answering(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Whatever the page is asked for inside the block comes in time, or there is a `BrowserError`."""
        from playwright.async_api import Error

        if self._crashed:
            raise BrowserError("the page has crashed")
        try:
            async with asyncio.timeout(seconds or 2 * self._timeout):
                yield
        except TimeoutError as error:
            raise BrowserError("the page does not answer any more") from error
        except Error as error:
            if "Timeout" in error.message:
                raise BrowserError("the page does not answer any more") from error
            raise BrowserError(f"the browser failed: {error.message.splitlines()[0][:200]}") from error

    async def _settle(self) -> None:
        from playwright.async_api import Error

        await asyncio.sleep(0.1)  # in which what an action has set off begins
        for state, seconds in (("load", self._timeout / 2), ("networkidle", 1.0)):
            with contextlib.suppress(Error):
                await self.page.wait_for_load_state(state, timeout=seconds * 1000)  # type: ignore[arg-type]

    async def _follow_popup(self) -> None:
        popup, self._popup = self._popup, ""
        if popup:
            try:
                await self.goto(popup)
            except InputError as error:
                self.note(Notice("error", str(error)))
            await self._settle()

    async def _stay_inside(self) -> None:
        """Back from where nothing can be seen: a redirect that was refused, or a host that does not answer."""
        if self._rules.allows_url(self.page.url):
            self._last_url = self.page.url
            return
        self.note(Notice("error", f"the page that was to follow {self._last_url} could not be opened"))
        await self.goto(self._last_url)
        await self._settle()


async def _picture(page: Page, **options: Any) -> bytes:
    """A screenshot. A browser that is busy sometimes has no frame to give, and has one a moment later."""
    from playwright.async_api import Error

    for pause in (0.2, 0.5, 1.0):
        try:
            return await page.screenshot(**options)
        except Error as error:
            if "Unable to capture screenshot" not in error.message:
                raise
        await asyncio.sleep(pause)
    return await page.screenshot(**options)


def check_url(url: str, rules: HostRules) -> None:
    """Raises `InputError` for a place where no session may go by itself."""
    if not (url.startswith(("http://", "https://")) and rules.allows_url(url)):
        raise InputError(f"{url!r} is not on the list of hosts that this session may visit")


@cache
def _element_script() -> str:
    return Path(__file__).with_name("element.js").read_text(encoding="utf-8")
