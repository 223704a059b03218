"""Opens a guarded window: the proxy, the browser whose only way out it is, and what turns away the rest."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from qwen3vl.browser.chromium import NO_PLAYWRIGHT, launch_options
from qwen3vl.browser.proxy import Proxy
from qwen3vl.browser.rules import HostRules, Resolve
from qwen3vl.browser.session import BrowserSession, Notice, check_url
from qwen3vl.errors import BrowserError

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Dialog, Download, Page, Playwright, Route

START_HOST = "page.invalid"  # where a document that came without an address lives: a name that nobody can own
# Where Chromium itself calls in spite of all switches. It does not get there; when a page asks for these, that is noted
# by the whole URL.
_BROWSERS_OWN = re.compile(r"(https?://)?([a-z0-9-]+\.)*(google|googleapis|gvt1)\.com(:\d+)?(/.*)?")


@asynccontextmanager
async def open_session(
    *,
    url: str | None = None,
    html: str | None = None,
    rules: HostRules,
    size: tuple[int, int],
    phone: bool = False,
    timeout: float = 10.0,
    resolve: Resolve | None = None,
) -> AsyncIterator[BrowserSession]:
    """A window of `size` (width, height in pixels) at `url` or with the document `html`; the browser ends with the
    block. Raises `InputError` for a start that is not allowed or cannot be opened, `BrowserError` without a browser."""
    try:
        from playwright.async_api import Error, async_playwright
    except ImportError as error:
        raise BrowserError(NO_PLAYWRIGHT) from error
    home = url or f"http://{START_HOST}/"
    session: BrowserSession | None = None

    def refused(url: str, reason: str) -> None:
        if session is not None and not _BROWSERS_OWN.fullmatch(url):
            session.note(Notice("blocked", url[:2000], reason))

    pages = {START_HOST: html} if html is not None else {}
    if pages:
        rules = HostRules((*rules.hosts, START_HOST), rules.private)
    check_url(home, rules)
    proxy = Proxy(rules, refused=refused, pages=pages, resolve=resolve)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(proxy.close)
        address = await proxy.start()
        playwright = await stack.enter_async_context(async_playwright())
        try:
            browser = await _launch(playwright, address)
        except Error as error:
            raise BrowserError(f"Chromium does not start: {error.message}") from error
        stack.push_async_callback(browser.close)
        context = await _new_context(browser, size, phone)
        page = await context.new_page()
        session = BrowserSession(
            page, await context.new_cdp_session(page), rules, home=home, phone=phone, timeout=timeout
        )
        await _watch(context, session, rules)
        await session.goto(home)
        yield session


async def _launch(playwright: Playwright, proxy: str) -> Browser:
    chromium = playwright.chromium
    return await chromium.launch(
        **launch_options(chromium.executable_path, proxy=proxy), handle_sigint=False, handle_sigterm=False
    )


async def _new_context(browser: Browser, size: tuple[int, int], phone: bool) -> BrowserContext:
    return await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=1,
        is_mobile=phone,
        has_touch=phone,
        accept_downloads=False,
        service_workers="block",
    )


async def _watch(context: BrowserContext, session: BrowserSession, rules: HostRules) -> None:
    """Turns away what is not for this window. The proxy would refuse the requests too, but knows only half a URL of an
    encrypted one; and a navigation that is aborted here leaves the page where it was."""
    page = session.page

    async def refuse(route: Route) -> None:
        known = route.request.url.split(":", 1)[0] in ("http", "https", "ws", "wss")
        reason = "host_not_allowed" if known else "scheme_not_allowed"
        session.note(Notice("blocked", route.request.url[:2000], reason))
        await route.abort("aborted")

    async def popup(other: Page) -> None:
        if other is not page:
            await other.close()

    async def dialog(dialog: Dialog) -> None:
        session.note(Notice("dialog", f"{dialog.type}: {dialog.message[:500]}"))
        if dialog.type == "beforeunload":
            await dialog.accept()
        else:
            await dialog.dismiss()

    async def download(download: Download) -> None:
        session.note(Notice("download", download.url[:2000]))
        await download.cancel()

    async def quietly(work: Awaitable[None]) -> None:
        from playwright.async_api import Error

        with contextlib.suppress(Error):  # the page, or the browser, went away meanwhile
            await work

    def on(handler: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
        return lambda event: quietly(handler(event))

    await context.route(lambda url: not rules.allows_url(url), on(refuse))
    await session.cdp.send("Page.enable")
    # Playwright tells of a window when it has loaded, Chromium when it is asked for.
    session.cdp.on(
        "Page.windowOpen", lambda event: session.turn_away(event["url"], asked_for=event.get("userGesture", False))
    )
    context.on("page", on(popup))
    page.on("dialog", on(dialog))
    page.on("download", on(download))
    page.on("filechooser", lambda _: session.note(Notice("file", "the page asked for a file; it got none")))
