"""The HTTP application: OpenAI's API and this server's own. Serves no page and loads nothing from other hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import compile_path

from qwen3vl import __version__
from qwen3vl.server import errors
from qwen3vl.server.access import Guard
from qwen3vl.server.agent.routes import agent_router
from qwen3vl.server.bodies import Health, Readiness
from qwen3vl.server.chat import chat_router
from qwen3vl.server.completions import completions_router
from qwen3vl.server.conversations import conversations_router
from qwen3vl.server.files import files_router
from qwen3vl.server.indexes import indexes_router
from qwen3vl.server.metrics import metrics_router
from qwen3vl.server.middleware import BodyLimit, Head, RequestId
from qwen3vl.server.model_routes import models_router
from qwen3vl.server.names import only_known_names
from qwen3vl.server.results import results_router
from qwen3vl.server.services import Services
from qwen3vl.server.tasks import tasks_router
from qwen3vl.server.usage import usage_router

_ROUTERS = (
    chat_router,
    completions_router,
    conversations_router,
    files_router,
    indexes_router,
    metrics_router,
    models_router,
    tasks_router,
    usage_router,
)
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


def create_app(services: Services) -> FastAPI:
    """An application on `services`, which stay the caller's to close."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await services.start()
        try:
            yield
        finally:
            await services.stop()

    settings = services.settings.server
    # FastAPI's documentation pages load their scripts from a CDN; the schema itself stays at /openapi.json.
    app = FastAPI(
        title="qwen3vl",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would say that there is something
        dependencies=[Depends(only_known_names)],
        lifespan=lifespan,
    )
    # The last that is added is the outermost.
    app.add_middleware(Head)
    app.add_middleware(BodyLimit, max_body=settings.max_body)
    app.add_middleware(Guard, keys=services.keys, settings=settings, rate=services.rate)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "retry-after"],
        )
    app.add_middleware(RequestId)
    errors.install(app)
    for router in _ROUTERS:
        app.include_router(router(services))
    app.include_router(agent_router(services.agents))
    app.include_router(results_router())
    _add_health(app, services)
    _add_unknown(app)
    app.openapi = lambda: _schema(app)  # type: ignore[method-assign]  # the way that FastAPI documents
    return app


def _add_health(app: FastAPI, services: Services) -> None:
    @app.get("/health", response_model=None, responses={200: {"model": Health}, 503: {"model": Health}})
    async def health() -> JSONResponse:
        """Whether the model can answer; one that left memory because nobody asked comes back with the next request."""
        engine = services.models.engine
        state = "unloaded" if engine is None else "ok" if engine.healthy else "unhealthy"
        figures = {} if engine is None else asdict(engine.stats())
        content = {"status": state, "model": services.models.wanted, **figures}
        return JSONResponse(content, status_code=503 if state == "unhealthy" else 200)

    @app.get("/ready", response_model=None, responses={200: {"model": Readiness}, 503: {"model": Readiness}})
    async def ready() -> JSONResponse:
        """Whether a request would be answered now, or after the model that left memory has come back."""
        reason = services.models.why_not_ready()
        content = {"ready": reason is None, "model": services.models.wanted, "reason": reason}
        return JSONResponse(content, status_code=200 if reason is None else 503)


def _add_unknown(app: FastAPI) -> None:
    @app.api_route("/v1/{path:path}", methods=_METHODS, include_in_schema=False)
    async def unknown(request: Request) -> None:
        """Before a page mounted at "/" can answer for it."""
        paths = app.openapi()["paths"]
        here = [operations for route, operations in paths.items() if compile_path(route)[0].match(request.url.path)]
        names = {method.upper() for operations in here for method in operations}
        if methods := ", ".join(sorted(names | ({"HEAD"} if "GET" in names else set()))):
            message = f"{request.method} is no method of {request.url.path}; it has {methods}"
            raise errors.ApiError(405, message, headers={"Allow": methods})
        known = ", ".join(route for route in paths if route.startswith("/v1/"))
        raise errors.ApiError(404, f"no such endpoint: {request.method} {request.url.path}; there are {known}")


def _schema(app: FastAPI) -> dict[str, Any]:
    """OpenAPI's description. FastAPI's own form of a refusal is not ours, so it goes; keys are told of."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        for methods in schema["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
        components = schema["components"]
        for name in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(name, None)
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"key": []}, {}]
        app.openapi_schema = schema
    return app.openapi_schema
