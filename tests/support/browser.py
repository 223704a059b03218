"""Chromium on a page of ours, with every request to another host remembered, and none of them getting anywhere.

Requests are watched and not intercepted: a browser whose requests are intercepted keeps nothing that it has loaded.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Page, Request, sync_playwright

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),  # a camera that shows a pattern
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no other host is found, whatever is asked of it
]
LOCAL_SCHEMES = ("data", "blob", "about", "chrome-extension")


@dataclass
class Watched:
    """A page and what it did that it should not."""

    page: Page
    outside: list[str] = field(default_factory=list)  # URLs of requests to other hosts
    complaints: list[str] = field(default_factory=list)  # errors on the console and uncaught ones


@contextmanager
def browsing(profile: Path, *, width: int = 1360, height: int = 860, dark: bool = False) -> Iterator[Watched]:
    """A new browser with an empty profile."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "these tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium,
            args=ARGUMENTS,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            permissions=["clipboard-read", "clipboard-write"],
            locale="en-GB",
        )
        watched = Watched(context.pages[0])

        def note(request: Request) -> None:
            if _is_outside(request.url):
                watched.outside.append(request.url)

        context.on("request", note)

        def listen(line: ConsoleMessage) -> None:
            if line.type == "error":
                watched.complaints.append(line.text)

        watched.page.on("console", listen)
        watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        try:
            yield watched
        finally:
            context.close()


def _is_outside(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in LOCAL_SCHEMES and parts.hostname != "127.0.0.1"
