"""What tests of conversations ask a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from qwen3vl.server import Services
from qwen3vl.settings import ServerSettings, Settings

GREEDY = {"temperature": 0.0, "max_tokens": 24}


def make(api: httpx.Client, **body: Any) -> str:
    response = api.post("/conversations", json=body)
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


def ask(api: httpx.Client, conversation: str, content: Any, **body: Any) -> dict[str, Any]:
    """The question and its answer."""
    body = {"content": content, "options": GREEDY, **body}
    response = api.post(f"/conversations/{conversation}/messages", json=body)
    assert response.status_code == 200, response.text
    turn: dict[str, Any] = response.json()
    return turn


@contextmanager
def events(api: httpx.Client, method: str, path: str, **request: Any) -> Iterator[Iterator[dict[str, Any]]]:
    with api.stream(method, path, **request) as response:
        assert response.status_code == 200, response.read()
        lines = (line.removeprefix("data: ") for line in response.iter_lines() if line)
        yield (json.loads(line) for line in lines if line != "[DONE]")


def picture() -> Image.Image:
    image = Image.new("RGB", (96, 64), "white")
    image.paste("red", (20, 10, 60, 50))
    return image


def open_services(folder: Path, **server: Any) -> Services:
    return Services.open(Settings(server=ServerSettings(data_dir=folder, **server)))
