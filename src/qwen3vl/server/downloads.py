"""Files as HTTP responses: how they are named, and that a browser takes them for nothing else than they are."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import quote

from fastapi.responses import Response

from qwen3vl.server.errors import ApiError
from qwen3vl.tasks.results import TaskResult

BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
"""The OpenAPI entry of bytes as they came."""
EXPORTED: dict[str, Any] = {
    "content": {
        kind: {}
        for kind in (
            *("text/markdown", "application/json", "text/csv", "text/html", "application/x-subrip", "image/svg+xml"),
            *("application/vnd.jgraph.mxfile", "text/vnd.mermaid", "text/x-python", "text/css", "text/javascript"),
            *("application/xml", "text/plain"),
        )
    }
}
"""That of a result's file, in whatever format."""


def file_headers(name: str, disposition: Literal["attachment", "inline"] = "attachment") -> dict[str, str]:
    return {
        "Content-Disposition": f"{disposition}; filename*=utf-8''{quote(name, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def result_file(result: TaskResult, format: str, name: str) -> Response:
    """A task's result in one of the formats that it can be exported in. Raises `ApiError` for another."""
    files = result.exports(name)
    if format not in files:
        message = f"this result cannot be exported as {format!r}; it has {', '.join(files)}"
        raise ApiError(400, message, param="format")
    file = files[format]
    return Response(file.bytes, media_type=file.media_type, headers=file_headers(file.filename))
