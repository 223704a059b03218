"""From a model that writes to an HTTP response: whole, or as server-sent events. Knows no wire format.

However a response ends, the generation behind it is closed and the model let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, Protocol, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from qwen3vl.engine.outputs import Delta, Result, Usage
from qwen3vl.errors import InputError
from qwen3vl.server.errors import describe
from qwen3vl.server.places import renamed
from qwen3vl.server.schema import SamplingRequest
from qwen3vl.server.services import Services
from qwen3vl.server.serving import Served, ServedStream
from qwen3vl.server.wire import server_sent_event

_CLIENT_CLOSED_REQUEST = 499  # nobody reads it; it is for the access log

T = TypeVar("T")


class Writer(Protocol):
    """A wire format."""

    def completion(self, result: Result) -> dict[str, Any]:
        """The whole answer at once."""

    def chunks(self, delta: Delta) -> list[dict[str, Any]]:
        """What of a stream one delta adds."""

    def usage(self, usage: Usage) -> dict[str, Any] | None:
        """The last chunk of a stream, for a client that has asked for its usage. None where the chunk before it has
        said so.
        """


Begin = Callable[[Served], Awaitable[tuple[Writer, ServedStream]]]


async def answer(
    request: Request,
    services: Services,
    body: SamplingRequest,
    begin: Begin,
    places: Callable[[], Mapping[str, str]] = dict,
) -> Response:
    """Answers `body` with what `begin` makes of the model that it names. `places`: what the engine's places are called
    in the body, beside `body.said_as`.
    """
    stack = AsyncExitStack()

    async def start() -> tuple[Writer, ServedStream, Delta | Result]:
        model = await stack.enter_async_context(services.use(body.model))
        writer, deltas = await begin(model)
        stack.push_async_callback(deltas.aclose)
        # A request that the engine refuses fails here, while it still can be an HTTP error.
        return writer, deltas, await (anext(deltas) if body.stream else deltas.collect())

    async with stack:
        try:
            writer, deltas, first = await unless_disconnected(request, start())
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        except InputError as error:
            raise renamed(error, type(body).model_fields, {**body.said_as, **places()}) from error
        if isinstance(first, Result):
            return JSONResponse(writer.completion(first))
        return EventStream(first, deltas, writer, stack.pop_all(), include_usage=body.include_usage)


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled, with `ClientDisconnect` raised, when the client hangs up first."""
    task = asyncio.create_task(work)
    watch = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class EventStream(StreamingResponse):
    """The answer as server-sent events. `held` is closed when the response ends, however that is."""

    def __init__(
        self, first: Delta, deltas: ServedStream, writer: Writer, held: AsyncExitStack, *, include_usage: bool
    ) -> None:
        self._deltas, self._held = deltas, held
        events = self._events(first, writer, include_usage)
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._held.aclose()

    async def _events(self, first: Delta, writer: Writer, include_usage: bool) -> AsyncGenerator[bytes, None]:
        def encode(delta: Delta) -> bytes:
            chunks = writer.chunks(delta)
            if include_usage:
                chunks = [{"usage": None, **chunk} for chunk in chunks]
                if delta.usage is not None and (last := writer.usage(delta.usage)) is not None:
                    chunks.append(last)
            return b"".join(map(server_sent_event, chunks))

        try:
            yield encode(first)
            async for delta in self._deltas:
                yield encode(delta)
        except Exception as error:
            # Too late for a status. Without [DONE], so that no client takes the piece for the whole.
            yield server_sent_event(describe(error)[1])
            return
        yield server_sent_event("[DONE]")
