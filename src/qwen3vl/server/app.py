"""The HTTP application: OpenAI's API for one engine. Serves no page and loads nothing from other hosts."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from qwen3vl import __version__
from qwen3vl.experts.modes import mode_counts
from qwen3vl.server import errors
from qwen3vl.server.chat import chat_router
from qwen3vl.server.middleware import BodyLimit, RequestId

if TYPE_CHECKING:
    from qwen3vl.engine.engine import Engine

_ROUTES = "POST /v1/chat/completions, GET /v1/models, GET /v1/models/{id}, GET /health"


def create_app(engine: Engine, *, max_body: int = 128 * 2**20) -> FastAPI:
    """An application that serves `engine`, which stays the caller's to close. `max_body` is in bytes."""
    # FastAPI's documentation pages load their scripts from a CDN; the schema itself stays at /openapi.json.
    app = FastAPI(title="qwen3vl", version=__version__, docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, max_body=max_body)
    app.add_middleware(RequestId)
    errors.install(app)
    app.include_router(chat_router(engine))
    model = _model_card(engine)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model]}

    @app.get("/v1/models/{model_id:path}")
    async def model_by_id(model_id: str) -> dict[str, Any]:
        if model_id != model["id"]:
            message = f"model {model_id!r} is not served here; this server runs {model['id']!r}"
            raise errors.ApiError(404, message, param="model", code="model_not_found")
        return model

    @app.get("/health")
    async def health() -> JSONResponse:
        healthy = engine.healthy
        content = {"status": "ok" if healthy else "unhealthy", "model": model["id"], **asdict(engine.stats())}
        return JSONResponse(content, status_code=200 if healthy else 503)

    @app.api_route("/v1/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    async def unknown(request: Request, path: str) -> None:
        """Before a page mounted at "/" can answer for it."""
        raise errors.ApiError(404, f"no such endpoint: {request.method} /v1/{path}; there are {_ROUTES}")

    return app


def _model_card(engine: Engine) -> dict[str, Any]:
    """OpenAI's model object, and what a client of this server may want to know before it asks."""
    info = engine.info
    return {
        "id": info.name,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "qwen3vl",
        "max_context": info.max_context,
        "parameters": info.parameters,
        "device": info.device,
        "dtype": info.dtype,
        "is_moe": info.is_moe,
        "num_experts": info.num_experts,
        "num_experts_per_tok": info.num_experts_per_tok,
        "modes": mode_counts(info.num_experts_per_tok) if info.is_moe else {"full": 1},
    }
