"""The pictures anew, from the pages of installed packages, in Chromium without scripts and without network."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from PIL import Image
from playwright.sync_api import Browser, Route, sync_playwright

from training.real_pages.pages import Page


def missing(pages: Sequence[Page], root: Path) -> list[str]:
    """The packages, as `name=version`, whose pages are not below `root`."""
    return sorted({f"{page.package}={page.version}" for page in pages if not _below(root, page.path).is_file()})


def take(pages: Sequence[Page], root: Path) -> None:
    """Replaces the pages' pictures. `root` is where packages are unpacked, "/" for those that are installed."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--hide-scrollbars"])
        try:
            for page in pages:
                _take(browser, page, root)
        finally:
            browser.close()


def _take(browser: Browser, page: Page, root: Path) -> None:
    def serve(route: Route) -> None:
        """Files of the packages; nothing else is reached."""
        url = urlsplit(route.request.url)
        file = _below(root, unquote(url.path))
        if url.scheme == "file" and file.is_file():
            route.fulfill(path=file)
        else:
            route.abort()

    context = browser.new_context(
        viewport={"width": page.width, "height": page.height}, java_script_enabled=False, offline=True
    )
    context.route("**/*", serve)
    window = context.new_page()
    window.goto(f"file://{page.path}")
    if page.at:
        window.evaluate("selector => document.querySelector(selector).scrollIntoView()", page.at)
    picture = window.screenshot(animations="disabled")
    context.close()
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(page.picture, optimize=True)  # small files


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
