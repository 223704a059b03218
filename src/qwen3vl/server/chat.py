"""`POST /v1/chat/completions`: from a checked request to the model and back, whole or as server-sent events.

A client that hangs up, before or while the answer is written, cancels its request in the engine.
"""

from __future__ import annotations

import uuid

from fastapi import APIRouter, Request
from fastapi.responses import Response

from qwen3vl.server.answering import Writer, answer
from qwen3vl.server.bodies import COMPLETION_ERRORS, ChatCompletion, ChatCompletionChunk, or_stream
from qwen3vl.server.parts import bring_in, places_of
from qwen3vl.server.schema import ChatRequest
from qwen3vl.server.services import Services
from qwen3vl.server.serving import Served, ServedStream
from qwen3vl.server.wire import ChatWriter


def chat_router(services: Services) -> APIRouter:
    router = APIRouter(tags=["chat"])

    @router.post(
        "/v1/chat/completions",
        response_model=None,
        responses={200: or_stream(ChatCompletion, ChatCompletionChunk), **COMPLETION_ERRORS},
    )
    async def chat_completions(request: Request, body: ChatRequest) -> Response:
        """Answers a conversation. With `stream`, as server-sent events of chunks."""
        options, tools = body.options(), body.shown_tools

        async def begin(model: Served) -> tuple[Writer, ServedStream]:
            messages = await bring_in(body.messages, services)
            writer = ChatWriter(
                f"chatcmpl-{uuid.uuid4().hex}", model.info.name, thinks=model.thinks, tools=tools is not None
            )
            return writer, model.astream(messages, tools=tools, **options)

        return await answer(request, services, body, begin, lambda: places_of(body.messages))

    return router
