"""`/v1/models`: which there are, how far each is, and which is in memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import JSONResponse, Response, StreamingResponse

from qwen3vl.experts.modes import mode_counts
from qwen3vl.server.bodies import ModelCard, ModelList, errors, or_stream
from qwen3vl.server.errors import ApiError
from qwen3vl.server.models import ModelStatus
from qwen3vl.server.services import Services
from qwen3vl.server.wire import server_sent_event

_FIGURES = (
    *("max_context", "max_pixels", "parameters", "memory_bytes", "device", "dtype", "quantization", "kv_cache"),
    *("is_moe", "num_experts", "num_experts_per_tok"),
)


def models_router(services: Services) -> APIRouter:
    router = APIRouter(prefix="/v1/models", tags=["models"])
    models, started = services.models, int(time.time())

    def card(status: ModelStatus) -> dict[str, Any]:
        figures: dict[str, Any] = {}
        if status.info is not None:
            figures = {name: value for name, value in asdict(status.info).items() if name in _FIGURES}
            counts = mode_counts(status.info.num_experts_per_tok) if status.info.is_moe else {"full": 1}
            figures["modes"] = counts
        return {
            **{"id": status.name, "object": "model", "created": started, "owned_by": "qwen3vl"},
            **{"state": status.state, "progress": status.progress, "error": status.error},
            **{"last_used": status.last_used, **figures},
        }

    # A name may hold a slash, so the routes that say what is to be done with it come before the one that ends with it.
    @router.get("", response_model=ModelList, response_model_exclude_unset=True, responses=errors())
    async def list_models() -> dict[str, Any]:
        """The model that answers first, then all that can be loaded."""
        return {"object": "list", "data": [card(status) for status in models.list()]}

    @router.get(
        "/{model_id:path}/status",
        response_model=None,
        responses={200: or_stream(ModelCard, ModelCard), **errors(404)},
    )
    async def status(model_id: str, accept: Annotated[str, Header()] = "application/json") -> Response:
        """How far a model is; asked for as `text/event-stream`, an event for each change until it comes to rest."""
        first = models.status(model_id)
        if "text/event-stream" not in accept:
            return JSONResponse(card(first))

        async def events() -> AsyncIterator[bytes]:
            async for each in models.watch(model_id):
                yield server_sent_event(card(each))
            yield server_sent_event("[DONE]")

        return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    @router.post(
        "/{model_id:path}/load",
        status_code=202,
        response_model=ModelCard,
        response_model_exclude_unset=True,
        responses=errors(404),
    )
    async def load(model_id: str) -> dict[str, Any]:
        """Begins to make this the model that answers; downloads it first if need be. Its status says how it goes."""
        models.start_loading(model_id)
        return card(models.status(model_id))

    @router.post(
        "/{model_id:path}/unload",
        response_model=ModelCard,
        response_model_exclude_unset=True,
        responses=errors(404),
    )
    async def unload(model_id: str) -> dict[str, Any]:
        """Takes a model out of memory when its requests have ended. The next request loads it again."""
        await models.unload(model_id)
        return card(models.status(model_id))

    @router.get("/{model_id:path}", response_model=ModelCard, response_model_exclude_unset=True, responses=errors(404))
    async def model_by_id(model_id: str) -> dict[str, Any]:
        if model_id.endswith(("/load", "/unload")):  # not a name: the routes above, asked in the wrong way
            raise ApiError(405, f"GET is no method of /v1/models/{model_id}; it has POST", headers={"Allow": "POST"})
        return card(models.status(model_id))

    return router
