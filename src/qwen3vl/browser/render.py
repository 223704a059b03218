"""Pictures of HTML that nobody has checked, such as what a model wrote: Chromium without network and without scripts.

Every request of a page is refused before it leaves; there are no downloads, popups, workers or permissions. Pages whose
scripts may run get a context each; others share a window, in which nothing of them can stay. What a page may do is take
time, and that is limited. Knows nothing of models or tasks.
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING

from PIL import Image

from qwen3vl.browser.chromium import NO_PLAYWRIGHT, launch_options
from qwen3vl.errors import BrowserError, InputError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

LONGEST_SIDE = 4096
MOST_HTML = 2_000_000  # characters
_NOBODY = "http://127.0.0.1:9"  # a proxy that is not there: what slipped through finds no one


class Renderer:
    """A browser that is kept for many pages. Safe to use from many threads: it belongs to one of its own.

    It is started when the first page comes, and anew after a page that took too long or broke it.
    """

    def __init__(self, *, timeout: float = 10.0, scripts: bool = False) -> None:
        """`timeout`: seconds that each step of a page may take, filling it and painting it. `scripts`: whether pages
        may run JavaScript; they are shut off from the network all the same."""
        self._milliseconds, self._scripts = timeout * 1000, scripts
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="qwen3vl-browser")
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._page: Page | None = None  # used again where no script can leave anything in it
        self._closed = False

    def render(self, html: str, size: tuple[int, int]) -> Image.Image:
        """What a window of `size` (width, height in pixels) shows of a document, in RGB.

        Raises `BrowserError` where there is no browser, or the page takes too long; `InputError` for a size or a
        document that is too large.
        """
        if not all(1 <= side <= LONGEST_SIDE for side in size):
            raise InputError(f"a page may be 1 to {LONGEST_SIDE} pixels wide and high, got {size[0]}x{size[1]}")
        if len(html) > MOST_HTML:
            raise InputError(f"a page may have {MOST_HTML:,} characters, got {len(html):,}")
        if self._closed:
            raise BrowserError("the browser is closed")
        return self._thread.submit(self._render, html, size).result()

    def close(self) -> None:
        """Ends the browser. May be called twice."""
        if not self._closed:
            self._closed = True
            self._thread.submit(self._stop).result()
            self._thread.shutdown()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What follows runs in the browser's thread.

    def _render(self, html: str, size: tuple[int, int]) -> Image.Image:
        browser = self._started()
        from playwright.sync_api import Error, TimeoutError

        try:
            if self._page is None or self._scripts:
                self._page = self._new_page(browser)
            self._page.set_viewport_size({"width": size[0], "height": size[1]})
            self._page.set_content(html)
            picture = self._page.screenshot(animations="disabled")
        except TimeoutError as error:
            self._stop()
            raise BrowserError(f"the page took longer than {self._milliseconds / 1000:g} s") from error
        except Error as error:
            self._stop()
            raise BrowserError(f"the browser failed on the page: {error.message.splitlines()[0]}") from error
        with Image.open(io.BytesIO(picture)) as image:
            return image.convert("RGB")

    def _new_page(self, browser: Browser) -> Page:
        """An empty page in a context of its own; the one before it is gone."""
        for context in browser.contexts:
            context.close()
        context = browser.new_context(
            java_script_enabled=self._scripts, accept_downloads=False, service_workers="block", offline=True
        )
        context.set_default_timeout(self._milliseconds)
        context.route("**/*", lambda route: route.abort())
        page = context.new_page()
        page.on("popup", lambda popup: popup.close())
        return page

    def _started(self) -> Browser:
        if self._browser is None:
            try:
                from playwright.sync_api import Error, sync_playwright
            except ImportError as error:
                raise BrowserError(NO_PLAYWRIGHT) from error
            try:
                self._playwright = sync_playwright().start()
                chromium = self._playwright.chromium
                self._browser = chromium.launch(**launch_options(chromium.executable_path, proxy=_NOBODY))
            except Error as error:
                self._stop()
                raise BrowserError(f"Chromium does not start: {error.message.splitlines()[0]}") from error
            except BrowserError:
                self._stop()
                raise
        return self._browser

    def _stop(self) -> None:
        browser, playwright = self._browser, self._playwright
        self._page = self._browser = self._playwright = None
        if browser is not None:
            browser.close()
        if playwright is not None:
            playwright.stop()
