"""The wire format of `/v1/chat/completions` answers: what the engine gives back, as OpenAI's JSON objects.

Beside OpenAI's fields an answer has `metrics`: seconds and counts that are this engine's own.
"""

from __future__ import annotations

import json
import time
from typing import Any

from qwen3vl.engine.outputs import Delta, Result, TokenLogprob, Usage


class ChatWriter:
    """Writes the answer to one request; its id, time and model stand in every piece."""

    def __init__(self, completion_id: str, model: str) -> None:
        self._head = {"id": completion_id, "created": int(time.time()), "model": model}

    def completion(self, result: Result) -> dict[str, Any]:
        """The whole answer at once."""
        choices = [
            {
                "index": choice.index,
                "message": {"role": "assistant", "content": choice.text, "refusal": None},
                "logprobs": _logprobs(choice.logprobs),
                "finish_reason": choice.finish_reason,
            }
            for choice in result.choices
        ]
        return self._object("chat.completion", choices=choices, **_usage(result.usage))

    def opening(self, index: int) -> dict[str, Any]:
        """The chunk that says who speaks, before the first text of a choice."""
        return self._chunk(index, {"role": "assistant", "content": ""})

    def text(self, delta: Delta) -> dict[str, Any]:
        return self._chunk(delta.index, {"content": delta.text}, logprobs=delta.logprobs)

    def closing(self, delta: Delta) -> dict[str, Any]:
        """The chunk that says why a choice ended."""
        return self._chunk(delta.index, {}, finish_reason=delta.finish_reason)

    def usage(self, usage: Usage) -> dict[str, Any]:
        """The last chunk, which has no choices."""
        return self._object("chat.completion.chunk", choices=[], **_usage(usage))

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        *,
        logprobs: list[TokenLogprob] | None = None,
        finish_reason: str | None = None,
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": _logprobs(logprobs), "finish_reason": finish_reason}
        return self._object("chat.completion.chunk", choices=[choice])

    def _object(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {**self._head, "object": kind, **fields}


def server_sent_event(data: dict[str, Any] | str) -> bytes:
    """One event. JSON has no raw line breaks, so `data` is always a single line."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        },
        "metrics": {
            "visual_tokens": usage.visual_tokens,
            "active_experts": usage.active_experts,
            "queue_seconds": usage.queue_seconds,
            "first_token_seconds": usage.first_token_seconds,
            "total_seconds": usage.total_seconds,
        },
    }


def _logprobs(tokens: list[TokenLogprob] | None) -> dict[str, Any] | None:
    if tokens is None:
        return None
    content = [
        {**_token(entry.token, entry.logprob), "top_logprobs": [_token(token, value) for _, token, value in entry.top]}
        for entry in tokens
    ]
    return {"content": content, "refusal": None}


def _token(token: str, logprob: float) -> dict[str, Any]:
    # Part of a character has no text of its own; saying U+FFFD's bytes would be wrong.
    known = "\N{REPLACEMENT CHARACTER}" not in token
    # JSON has no infinity, and OpenAI says -9999 for a token that cannot come.
    return {"token": token, "logprob": max(logprob, -9999.0), "bytes": list(token.encode()) if known else None}
