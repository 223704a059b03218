"""`POST /v1/completions`: a text continued as it stands, in the format of OpenAI's older API."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from qwen3vl.engine.outputs import Delta, Result, TokenLogprob, Usage
from qwen3vl.server.answering import Writer, answer
from qwen3vl.server.bodies import COMPLETION_ERRORS, TextCompletion, or_stream
from qwen3vl.server.schema import CompletionRequest
from qwen3vl.server.services import Services
from qwen3vl.server.serving import Served, ServedStream
from qwen3vl.server.wire import ending, number, usage_object


def completions_router(services: Services) -> APIRouter:
    router = APIRouter(tags=["chat"])

    @router.post(
        "/v1/completions",
        response_model=None,
        responses={200: or_stream(TextCompletion, TextCompletion), **COMPLETION_ERRORS},
    )
    async def completions(request: Request, body: CompletionRequest) -> Response:
        """Continues a text. With `stream`, as server-sent events."""
        options = body.options()

        async def begin(model: Served) -> tuple[Writer, ServedStream]:
            writer = TextWriter(f"cmpl-{uuid.uuid4().hex}", model.info.name)
            return writer, model.astream_text(body.text, **options)

        return await answer(request, services, body, begin)

    return router


class TextWriter:
    """Writes the answer to one request."""

    def __init__(self, completion_id: str, model: str) -> None:
        head = {"id": completion_id, "object": "text_completion", "created": int(time.time()), "model": model}
        self._head: dict[str, Any] = head
        self._written: dict[int, int] = {}  # characters of each choice so far

    def completion(self, result: Result) -> dict[str, Any]:
        choices = [self._choice(c.index, c.text, c.logprobs, c.finish_reason) for c in result.choices]
        return self._head | {"choices": choices} | usage_object(result.usage)

    def chunks(self, delta: Delta) -> list[dict[str, Any]]:
        choice = self._choice(delta.index, delta.text, delta.logprobs, delta.finish_reason)
        return [self._head | {"choices": [choice]}]

    def usage(self, usage: Usage) -> dict[str, Any]:
        return self._head | {"choices": []} | usage_object(usage)

    def _choice(
        self, index: int, text: str, tokens: Sequence[TokenLogprob] | None, reason: str | None
    ) -> dict[str, Any]:
        start = self._written.get(index, 0)
        end = ending(reason) if reason is not None else {"finish_reason": None}
        logprobs = None if tokens is None else _logprobs(tokens, start)
        # Text may be held back, so what the tokens say is the measure where they are told.
        self._written[index] = start + (len(text) if tokens is None else sum(len(entry.token) for entry in tokens))
        return {"index": index, "text": text, "logprobs": logprobs, **end}


def _logprobs(tokens: Sequence[TokenLogprob], start: int) -> dict[str, Any]:
    offsets = []
    for entry in tokens:
        offsets.append(start)
        start += len(entry.token)
    return {
        "tokens": [entry.token for entry in tokens],
        "token_logprobs": [number(entry.logprob) for entry in tokens],
        "top_logprobs": [{token: number(value) for _, token, value in entry.top} for entry in tokens],
        "text_offset": offsets,
    }
