"""The page's modules and styles. Their address changes with their contents, so that a browser keeps them for good and
asks for none of them again.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from qwen3vl.webui.panels import FOLDER as PANELS

FOLDERS = {"static": Path(__file__).parent / "static", "panels": PANELS}
TYPES = {".js": "text/javascript", ".css": "text/css"}


@functools.cache
def version() -> str:
    """Changes with any of the files. They are read once: who edits them starts the server again."""
    digest = hashlib.blake2b(digest_size=8)
    for folder in FOLDERS:
        for name in names(folder, *TYPES):
            content = (FOLDERS[folder] / name).read_bytes()
            digest.update(f"{folder}/{name}/{len(content)}/".encode() + content)
    return digest.hexdigest()


def names(folder: str, *suffixes: str) -> list[str]:
    """The files of a folder with one of these suffixes, in order."""
    return sorted(path.name for path in FOLDERS[folder].iterdir() if path.suffix in suffixes)


def address(folder: str, name: str) -> str:
    """Where the page finds a file, from its own place."""
    return f"page/assets/{version()}/{folder}/{name}"
