"""A response that dies while it is being sent: the generation behind it is closed whatever it was waiting for."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from qwen3vl.engine.outputs import Delta
from qwen3vl.server.answering import EventStream
from qwen3vl.server.wire import ChatWriter


class Deltas:
    """Stands for the engine's stream: endless, and remembers that it was closed."""

    closed = False

    def __aiter__(self) -> Deltas:
        return self

    async def __anext__(self) -> Delta:
        return Delta("more", [1])

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("version", ["2.3", "2.4"])
@pytest.mark.parametrize("sent_before", [0, 1, 3])
def test_closed_when_the_client_takes_nothing_more(version: str, sent_before: int) -> None:
    """Older servers tell of a disconnect through `receive`, newer ones by an error of `send`."""
    deltas = Deltas()
    held = AsyncExitStack()
    held.push_async_callback(deltas.aclose)
    response = EventStream(Delta("first", [0]), deltas, ChatWriter("id", "m"), held, include_usage=False)  # type: ignore[arg-type]
    sent: list[Any] = []
    full = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) > sent_before:
            full.set()
            if version == "2.4":
                raise OSError("the client is gone")
            await asyncio.Event().wait()  # the client reads no more, so this never ends

    async def receive() -> Any:
        await full.wait()
        return {"type": "http.disconnect"}

    async def respond() -> None:
        scope = {"type": "http", "asgi": {"spec_version": version}}
        await asyncio.wait_for(response(scope, receive, send), timeout=5)

    if version == "2.4":
        with pytest.raises(ClientDisconnect):
            asyncio.run(respond())
    else:
        asyncio.run(respond())
    assert deltas.closed
