"""What the server tells of the model that it has in memory."""

from __future__ import annotations

import httpx

from qwen3vl import Engine
from qwen3vl.server import Services, create_app
from support.server import serving


def test_it_says_how_numbers_are_kept() -> None:
    services = Services.single(Engine.load("tiny-dense", device="cpu", quantization="int8"))
    with services, serving(create_app(services)) as url:
        [card] = [each for each in httpx.get(f"{url}/v1/models").json()["data"] if each["state"] == "ready"]
    assert (card["quantization"], card["kv_cache"], card["dtype"]) == ("int8", "bfloat16", "float32")
