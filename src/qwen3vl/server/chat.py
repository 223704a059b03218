"""`POST /v1/chat/completions`: from a checked request to the engine and back, whole or as server-sent events.

A client that hangs up, before or while the answer is written, cancels its request in the engine.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from qwen3vl.engine.outputs import Delta
from qwen3vl.errors import EngineClosedError
from qwen3vl.server.errors import ApiError, describe
from qwen3vl.server.schema import ChatRequest
from qwen3vl.server.wire import ChatWriter, server_sent_event

if TYPE_CHECKING:
    from qwen3vl.engine.engine import Engine
    from qwen3vl.engine.streams import AsyncStream

_CLIENT_CLOSED_REQUEST = 499  # nobody reads it; it is for the access log

T = TypeVar("T")


def chat_router(engine: Engine) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/chat/completions")
    async def chat_completions(request: Request, body: ChatRequest) -> Response:
        if body.model not in (None, engine.info.name):
            raise ApiError(
                404,
                f"model {body.model!r} is not served here; this server runs {engine.info.name!r}",
                param="model",
                code="model_not_found",
            )
        if not engine.healthy:  # before a picture is decoded for nobody
            raise EngineClosedError("the model has stopped running; this server must be started again")
        options: dict[str, Any] = {**body.options(), "allow_files": False}
        writer = ChatWriter(f"chatcmpl-{uuid.uuid4().hex}", engine.info.name)
        try:
            if not body.stream:
                result = await unless_disconnected(request, engine.agenerate(body.messages, **options))
                return JSONResponse(writer.completion(result))
            deltas = engine.astream(body.messages, **options)
            # A request that the engine refuses fails here, while it still can be an HTTP error.
            first = await unless_disconnected(request, _next(deltas))
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        return EventStream(first, deltas, writer, include_usage=include_usage)

    return router


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


async def _next(deltas: AsyncStream) -> Delta:
    return await anext(deltas)


class EventStream(StreamingResponse):
    """The answer as server-sent events. However the response ends, the generation behind it is closed."""

    def __init__(self, first: Delta, deltas: AsyncStream, writer: ChatWriter, *, include_usage: bool) -> None:
        self._deltas = deltas
        events = self._events(first, writer, include_usage)
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._deltas.aclose()

    async def _events(self, first: Delta, writer: ChatWriter, include_usage: bool) -> AsyncGenerator[bytes, None]:
        opened: set[int] = set()

        def encode(delta: Delta) -> bytes:
            chunks = []
            if delta.index not in opened:
                opened.add(delta.index)
                chunks.append(writer.opening(delta.index))
            if delta.text or delta.logprobs:
                chunks.append(writer.text(delta))
            if delta.finish_reason is not None:
                chunks.append(writer.closing(delta))
            if include_usage:
                chunks = [{**chunk, "usage": None} for chunk in chunks]
                if delta.usage is not None:
                    chunks.append(writer.usage(delta.usage))
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
