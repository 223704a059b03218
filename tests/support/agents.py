"""Agents on a page in Chromium, with a model that says what the test wrote."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from PIL import Image

from qwen3vl.engine.outputs import Choice, Result, TokenLogprob, Usage
from qwen3vl.server import errors
from qwen3vl.server.agent.routes import agent_router
from qwen3vl.server.agent.sessions import AgentLimits, AgentSessions

PAGE = """<!doctype html><meta charset=utf-8><title>Shop</title><style>*{margin:0;font:16px sans-serif}
button,input,a{position:absolute;width:200px;height:40px}</style>
<button style="left:0;top:0" onclick="document.title='clicked'">Details</button>
<form action="/bought"><input name=q style="left:0;top:100px"><input type=password name=p style="left:300px;top:100px">
<button style="left:0;top:200px">Buy now</button></form>
<a href="http://evil.test/" style="left:0;top:300px">Elsewhere</a>
<button style="left:0;top:350px" onclick="this.remove()">Vanish</button>"""
SIZE = (500, 400)


def call(action: str, **arguments: Any) -> str:
    return json.dumps({"name": "computer_use", "arguments": {"action": action, **arguments}})


def native(action: str, **arguments: Any) -> str:
    return f'Thought: because.\nAction: "{action}"\n<tool_call>\n{call(action, **arguments)}\n</tool_call>'


def at(x: float, y: float) -> list[int]:
    """Pixels to the models' thousandths."""
    return [round(x * 1000 / SIZE[0]), round(y * 1000 / SIZE[1])]


DETAILS = native("left_click", coordinate=at(100, 20))
BUY = native("left_click", coordinate=at(100, 220))
DONE = native("terminate", status="success")


class Scripted:
    """A model that says what is written, with one probability for all its tokens, and remembers what it was asked."""

    thinks = False

    def __init__(self, *answers: str, probability: float = 0.9) -> None:
        self.answers, self.probability = list(answers), probability
        self.asked: list[tuple[Sequence[Mapping[str, Any]], dict[str, Any]]] = []
        self.gate: asyncio.Event | None = None

    async def agenerate(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> Result:
        import math

        self.asked.append((messages, options))
        if self.gate is not None:
            await self.gate.wait()
        text = self.answers.pop(0)
        tokens = [TokenLogprob(0, character, math.log(self.probability)) for character in text]
        usage = Usage(10, len(text), 0, 4, 1, 0.0, 0.1, 0.2)
        return Result([Choice(0, text, [0] * len(text), "stop", tokens)], usage)

    @asynccontextmanager
    async def use(self, name: str | None = None) -> AsyncIterator[Scripted]:
        yield self

    def said(self, number: int) -> str:
        """The words of a question's last message."""
        return str(self.asked[number][0][-1]["content"][-1]["text"])


Api = httpx.AsyncClient


def with_api(model: Scripted, work: Callable[[Api, AgentSessions], Awaitable[None]], **limits: Any) -> None:
    async def go() -> None:
        agents = AgentSessions(model.use, AgentLimits(**limits))
        app = FastAPI()
        errors.install(app)
        app.include_router(agent_router(agents))
        try:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test/v1/agent", timeout=60) as api:
                await work(api, agents)
        finally:
            await agents.close()

    asyncio.run(go())


async def start(api: Api, **body: Any) -> dict[str, Any]:
    asked = {"html": PAGE, "goal": "Show the details.", "width": SIZE[0], "height": SIZE[1], **body}
    answer = await api.post("/sessions", json=asked)
    assert answer.status_code == 201, answer.text
    view: dict[str, Any] = answer.json()
    return view


async def post(api: Api, session: dict[str, Any], what: str, body: Any = None, status: int = 200) -> dict[str, Any]:
    answer = await api.post(f"/sessions/{session['id']}/{what}", json=body if body is not None else {})
    assert answer.status_code == status, answer.text
    view: dict[str, Any] = answer.json()
    return view


async def at_rest(api: Api, session: dict[str, Any]) -> dict[str, Any]:
    """The session once its run has ended, by its own events."""
    async with asyncio.timeout(60):
        while (view := (await api.get(f"/sessions/{session['id']}")).json())["busy"]:
            await asyncio.sleep(0.05)
    result: dict[str, Any] = view
    return result


def picture(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    assert image.size == SIZE
    return image
