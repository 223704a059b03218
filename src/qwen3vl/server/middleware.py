"""What surrounds every request: an id, a limit on its body, and HEAD. Plain ASGI, so that bodies stream through."""

from __future__ import annotations

import re
import uuid

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qwen3vl.server.errors import ApiError, describe

_SAFE_ID = re.compile(r"[\x21-\x7e]{1,128}")


class RequestId:
    """Gives each answer an `x-request-id`: the client's own if it sent a usable one, else a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _SAFE_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


class Head:
    """Answers HEAD as GET would be, and ends the work once the header is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})
                raise _HeaderSent

        try:
            await self._app({**scope, "method": "GET"}, receive, send_header)
        except* _HeaderSent:
            pass


class _HeaderSent(BaseException):
    """Ends a response whose body nobody wants. No `Exception`, so that nobody answers it as an error."""


class BodyLimit:
    """Refuses bodies of more than `max_body` bytes under `/v1/` with 413, by the header or else while reading."""

    def __init__(self, app: ASGIApp, max_body: int) -> None:
        self._app = app
        self._max_body = max_body
        self._message = f"the body is larger than the {max_body:,} bytes that this server accepts"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if length.isdigit() and int(length) > self._max_body:
            status, body = describe(ApiError(413, self._message, code="body_too_large"))
            await JSONResponse(body, status_code=status)(scope, receive, send)
            return
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body:
                raise HTTPException(413, self._message)
            return message

        await self._app(scope, receive_limited, send)
