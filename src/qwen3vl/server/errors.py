"""Errors in OpenAI's shape, `{"error": {"message", "type", "param", "code"}}`, each with its HTTP status."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from qwen3vl.errors import (
    BrowserError,
    CheckpointError,
    ContextLengthError,
    DownloadError,
    EngineClosedError,
    InputError,
    InsufficientMemoryError,
    MediaError,
    Qwen3VLError,
    StoreError,
)
from qwen3vl.server.models import ModelBusyError, ModelNotServedError
from qwen3vl.server.schema import InputFieldError

logger = logging.getLogger(__name__)

_TYPE_NAMES = ("str", "int", "float", "bool")
_NOT_JSON = "the body must be a JSON object in UTF-8, sent with Content-Type: application/json"


class ApiError(Exception):
    """An error that the server itself finds, before the engine is asked."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`retry_after`: seconds after which the same request may succeed."""
        super().__init__(message)
        self.status, self.param, self.code = status, param, code
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)


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
        case ModelNotServedError():
            return 404, _body(404, str(error), "model", "model_not_found")
        case ContextLengthError():
            return 400, _body(400, str(error), "messages", "context_length_exceeded")
        case MediaError():
            return 400, _body(400, str(error), "messages", "invalid_media")
        case InputError():
            return 400, _body(400, str(error), getattr(error, "field", None))
        case EngineClosedError():
            return 503, _body(503, str(error), code="engine_unavailable")
        case ModelBusyError():
            return 504, _body(504, str(error), code="timeout")
        case CheckpointError() | DownloadError() | InsufficientMemoryError():  # a model that was to come back did not
            return 503, _body(503, str(error), code="model_unavailable")
        case BrowserError():
            return 503, _body(503, str(error), code="browser_unavailable")
        case StoreError():
            return 503, _body(503, str(error), code="store_unavailable")
        case Qwen3VLError():
            return 500, _body(500, str(error))
        case _:
            logger.error("unexpected error", exc_info=error)
            return 500, _body(500, "internal error; the server's log says more")


def headers_of(error: BaseException) -> dict[str, str]:
    """What an answer with this error says in its header."""
    if isinstance(error, HTTPException):
        return dict(error.headers or {})
    return error.headers if isinstance(error, ApiError) else {}


def install(app: FastAPI) -> None:
    """Makes every error that leaves a route of `app` take this shape."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        status, body = describe(error)
        return JSONResponse(body, status_code=status, headers=headers_of(error))

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
    path = ".".join(str(part) for part in where if "[" not in str(part) and part not in _TYPE_NAMES)
    if not path:
        return _body(400, _NOT_JSON)
    return _body(400, f"{path!r}: {first['msg'][:1].lower()}{first['msg'][1:]}", str(where[0]))
