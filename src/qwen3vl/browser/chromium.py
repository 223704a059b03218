"""How Chromium is found and started: without a word to anybody that the caller did not send."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from qwen3vl.errors import BrowserError

NO_PLAYWRIGHT = "a browser needs Playwright: pip install 'qwen3vl[browser]'"

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    *("--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--hide-scrollbars", "--force-color-profile=srgb", "--disable-dev-shm-usage"),
    "--proxy-bypass-list=<-loopback>",  # this machine, too, is reached through the proxy only
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # names are the proxy's to look up
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
)


def launch_options(own: str, *, proxy: str) -> dict[str, Any]:
    """Arguments for Playwright's `chromium.launch`, whose own browser would be at `own`. Everything that the browser
    sends goes to `proxy`, an `http://127.0.0.1:port`. Raises `BrowserError` where there is no Chromium."""
    return {
        "executable_path": _executable(own),
        "args": [*_ARGUMENTS, f"--proxy-server={proxy}"],
        "chromium_sandbox": os.geteuid() != 0,  # as root Chromium runs only without its sandbox
    }


def _executable(own: str) -> str:
    """Chromium as the system has it, else as `playwright install` puts it at `own`."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None and not Path(own).is_file():
        raise BrowserError(
            "there is no Chromium on this machine: apt-get install chromium or playwright install chromium"
        )
    return found or own
