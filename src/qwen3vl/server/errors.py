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
from qwen3vl.server.faults import describe_fault
from qwen3vl.server.models import ModelBusyError, ModelNotServedError
from qwen3vl.server.places import place_in

logger = logging.getLogger(__name__)

_NOTHING = {  # parameters of paths: what there is none of, and the error's code
    "conversation_id": ("conversation", "conversation_not_found"),
    "message_id": ("message", "message_not_found"),
    "sha256": ("media", "media_not_found"),
    "session_id": ("agent session", "agent_not_found"),
    "index_id": ("index", "index_not_found"),
    "number": ("step", "step_not_found"),
    "picture": ("picture", "step_not_found"),
}
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


def describe(error: BaseException, kind: Any = None) -> tuple[int, dict[str, Any]]:
    """HTTP status and body of any error. What nobody foresaw is logged here and not told to the client.

    `kind`: the type of the request's body, where that is known.
    """
    match error:
        case ApiError():
            return error.status, _body(error.status, str(error), error.param, error.code)
        case RequestValidationError():
            return _validation(error, kind)
        case HTTPException(status_code=400):  # the one that FastAPI raises for bytes that are no text
            return 400, _body(400, _NOT_JSON)
        case HTTPException():
            return error.status_code, _body(error.status_code, str(error.detail))
        case ModelNotServedError():
            return 404, _body(404, str(error), "model", "model_not_found")
        case ContextLengthError():
            return 400, _body(400, str(error), _param(error), "context_length_exceeded")
        case MediaError():
            return 400, _body(400, str(error), _param(error), "invalid_media")
        case InputError():
            return 400, _body(400, str(error), _param(error))
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
        field = getattr(request.scope.get("route"), "body_field", None)
        status, body = describe(error, None if field is None else field.field_info.annotation)
        return JSONResponse(body, status_code=status, headers=headers_of(error))

    for kind in (ApiError, RequestValidationError, HTTPException, Qwen3VLError, Exception):
        app.add_exception_handler(kind, handle)


def _body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _param(error: InputError) -> str | None:
    return error.param or place_in(str(error))


def _validation(error: RequestValidationError, kind: Any) -> tuple[int, dict[str, Any]]:
    """The first fault that pydantic found, as one sentence. An address that nothing can have is one of nothing."""
    faults = error.errors()
    for fault in faults:
        if fault["loc"][0] == "path":
            name = str(fault["loc"][1])
            what, code = _NOTHING.get(name, (name, None))
            return 404, _body(404, f"there is no {what} {fault['input']!r}", name, code)
    first = faults[0]
    if first["type"] == "json_invalid":
        return 400, _body(400, f"the body is not valid JSON: {first['ctx']['error']}")
    part = first["loc"][0]
    within = [{**fault, "loc": fault["loc"][1:]} for fault in faults if fault["loc"][0] == part]
    sent = error.body if part == "body" else {fault["loc"][0]: fault["input"] for fault in within}
    if not within[0]["loc"] and "error" not in within[0].get("ctx", {}):
        return 400, _body(400, _NOT_JSON)
    return 400, _body(400, *describe_fault(within, sent, kind if part == "body" else None))
