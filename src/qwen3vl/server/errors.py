"""Errors in OpenAI's shape, `{"error": {"message", "type", "param", "code"}}`, each with its HTTP status."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from qwen3vl.errors import ContextLengthError, EngineClosedError, InputError, MediaError, Qwen3VLError
from qwen3vl.server.schema import InputFieldError

logger = logging.getLogger(__name__)

_NOT_JSON = "the body must be a JSON object in UTF-8, sent with Content-Type: application/json"


class ApiError(Exception):
    """An error that the server itself finds, before the engine is asked."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


def describe(error: BaseException) -> tuple[int, dict[str, Any]]:
    """HTTP status and body of any error. What nobody foresaw is logged here and not told to the client."""
    match error:
        case ApiError():
            return error.status, _body(error.status, str(error), error.param, error.code)
        case RequestValidationError():
            return 400, _validation(error)
        case HTTPException(status_code=400):  # the one that FastAPI raises for bytes that are no text
            return 400, _body(400, _NOT_JSON)
        case HTTPException():
            return error.status_code, _body(error.status_code, str(error.detail))
        case ContextLengthError():
            return 400, _body(400, str(error), "messages", "context_length_exceeded")
        case MediaError():
            return 400, _body(400, str(error), "messages", "invalid_media")
        case InputError():
            return 400, _body(400, str(error), getattr(error, "field", None))
        case EngineClosedError():
            return 503, _body(503, str(error), code="engine_unavailable")
        case Qwen3VLError():
            return 500, _body(500, str(error))
        case _:
            logger.error("unexpected error", exc_info=error)
            return 500, _body(500, "internal error; the server's log says more")


def install(app: FastAPI) -> None:
    """Makes every error that leaves a route of `app` take this shape."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        status, body = describe(error)
        return JSONResponse(body, status_code=status)

    for kind in (ApiError, RequestValidationError, HTTPException, Qwen3VLError, Exception):
        app.add_exception_handler(kind, handle)


def _body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _validation(error: RequestValidationError) -> dict[str, Any]:
    """The first fault that pydantic found, as one sentence."""
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputFieldError):
        return _body(400, str(cause), cause.field)
    if first["type"] == "json_invalid":
        return _body(400, f"the body is not valid JSON: {first['ctx']['error']}")
    where = first["loc"][1:]  # without "body"
    # An alternative of a union is named after its type (`stop.list[str]`); the field itself is what the client knows.
    path = ".".join(str(part) for part in where[:1] + tuple(p for p in where[1:] if isinstance(p, int)))
    if not path:
        return _body(400, _NOT_JSON)
    return _body(400, f"{path!r}: {first['msg'][:1].lower()}{first['msg'][1:]}", str(where[0]))
