"""The wire format of `/v1/chat/completions` answers: what the engine gives back, as OpenAI's JSON objects.

Beside OpenAI's fields an answer has `metrics`: seconds and counts that are this engine's own; a choice that was ended
because it repeated itself has `loop`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from qwen3vl.engine.outputs import Choice, Delta, Result, TokenLogprob, Usage
from qwen3vl.server.replies import Reply, ReplyReader, ToolCall


class ChatWriter:
    """Writes the answer to one request; its id, time and model stand in every piece.

    `thinks`: the prompt opens a thought, so that answers begin inside it. `tools`: calls are told apart from content.
    """

    def __init__(self, completion_id: str, model: str, *, thinks: bool = False, tools: bool = False) -> None:
        self._head = {"id": completion_id, "created": int(time.time()), "model": model}
        self._thinks, self._tools = thinks, tools
        self._streamed: dict[int, _StreamedChoice] = {}

    def completion(self, result: Result) -> dict[str, Any]:
        """The whole answer at once."""
        return self._object("chat.completion", choices=[self._choice(each) for each in result.choices]) | usage_object(
            result.usage
        )

    def chunks(self, delta: Delta) -> list[dict[str, Any]]:
        """What of a stream one delta adds; before the first of a choice, who speaks."""
        index, chunks = delta.index, []
        if index not in self._streamed:
            self._streamed[index] = _StreamedChoice(ReplyReader(thinks=self._thinks, tools=self._tools))
            chunks.append(self._chunk(index, {"role": "assistant", "content": ""}))
        choice = self._streamed[index]
        reply = choice.reader.add(delta.text)
        pieces = choice.pieces(reply)
        if delta.finish_reason is not None:
            pieces += choice.pieces(choice.reader.finish())
        if delta.logprobs and not pieces:
            pieces.append({})  # its text is still held back
        for number, piece in enumerate(pieces):
            chunks.append(self._chunk(index, piece, logprobs=delta.logprobs if number == 0 else None))
        if delta.finish_reason is not None:
            chunks.append(self._chunk(index, {}, **ending(delta.finish_reason, called=choice.calls > 0)))
        return chunks

    def usage(self, usage: Usage) -> dict[str, Any]:
        """The last chunk, which has no choices."""
        return self._object("chat.completion.chunk", choices=[]) | usage_object(usage)

    def _choice(self, choice: Choice) -> dict[str, Any]:
        reader = ReplyReader(thinks=self._thinks, tools=self._tools)
        first, last = reader.add(choice.text), reader.finish()
        reasoning, content = first.reasoning + last.reasoning, first.content + last.content
        calls = first.calls + last.calls
        message: dict[str, Any] = {"role": "assistant", "content": None if calls and not content else content}
        message["refusal"] = None
        if reasoning:
            message["reasoning_content"] = reasoning
        if calls:
            message["tool_calls"] = [_call(call) for call in calls]
        return {
            "index": choice.index,
            "message": message,
            "logprobs": _logprobs(choice.logprobs),
            **ending(choice.finish_reason, called=bool(calls)),
        }

    def _chunk(
        self, index: int, delta: dict[str, Any], *, logprobs: list[TokenLogprob] | None = None, **end: Any
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": _logprobs(logprobs), "finish_reason": None, **end}
        return self._object("chat.completion.chunk", choices=[choice])

    def _object(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {**self._head, "object": kind, **fields}


class _StreamedChoice:
    """One choice of a stream: its reader, and how many calls it has made."""

    def __init__(self, reader: ReplyReader) -> None:
        self.reader = reader
        self.calls = 0

    def pieces(self, reply: Reply) -> list[dict[str, Any]]:
        pieces: list[dict[str, Any]] = []
        if reply.reasoning:
            pieces.append({"reasoning_content": reply.reasoning})
        if reply.content:
            pieces.append({"content": reply.content})
        for call in reply.calls:
            pieces.append({"tool_calls": [{"index": self.calls, **_call(call)}]})
            self.calls += 1
        return pieces


def server_sent_event(data: dict[str, Any] | str) -> bytes:
    """One event. JSON has no raw line breaks, so `data` is always a single line."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def ending(reason: str, *, called: bool = False) -> dict[str, Any]:
    """Why a choice ended. OpenAI's API knows no loops: one counts as a stop, and is marked."""
    if reason == "loop":
        return {"finish_reason": "stop", "loop": True}
    return {"finish_reason": "tool_calls" if called and reason == "stop" else reason}


def usage_object(usage: Usage) -> dict[str, Any]:
    """`usage` and `metrics`, the same wherever an answer is told."""
    return figures_object(vars(usage))


def figures_object(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The same of an answer that was ended before all of its figures were known; those are null."""
    prompt, completion = figures.get("prompt_tokens"), figures.get("completion_tokens")
    metrics = ("visual_tokens", "active_experts", "queue_seconds", "first_token_seconds", "total_seconds")
    return {
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": None if prompt is None or completion is None else prompt + completion,
            "prompt_tokens_details": {"cached_tokens": figures.get("cached_tokens")},
        },
        "metrics": {name: figures.get(name) for name in (*metrics, "energy_joules", "draft_tokens", "accepted_tokens")},
    }


def number(logprob: float) -> float:
    """JSON has no infinity, and OpenAI says -9999 for a token that cannot come."""
    return max(logprob, -9999.0)


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


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
    return {"token": token, "logprob": number(logprob), "bytes": list(token.encode()) if known else None}
