"""The parts of an answer that OpenAI's API tells apart: reasoning, content and tool calls, from text as it comes."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

from qwen3vl.tasks.thinking import OPEN, ThinkingSplitter

_CALL_OPEN, _CALL_CLOSE = "<tool_call>", "</tool_call>"
_CALL = re.compile(rf"{_CALL_OPEN}(.*?){_CALL_CLOSE}", re.DOTALL)


@dataclass(frozen=True)
class ToolCall:
    name: str
    arguments: str  # JSON
    id: str


@dataclass(frozen=True)
class Reply:
    """What one piece of text adds."""

    reasoning: str = ""
    content: str = ""
    calls: tuple[ToolCall, ...] = ()


class ReplyReader:
    """Reads one choice. `thinks`: the prompt has opened a thought already. `tools`: tool calls are looked for."""

    def __init__(self, *, thinks: bool, tools: bool) -> None:
        self._thoughts = ThinkingSplitter(opened=True) if thinks else None
        self._start: str | None = None if thinks else ""  # the first letters, while they may become `<think>`
        self._calls = _CallReader() if tools else None

    def add(self, text: str) -> Reply:
        """What has become certain with this piece."""
        if self._start is not None:
            self._start += text
            if len(self._start) < len(OPEN) and OPEN.startswith(self._start):
                return Reply()
            if self._start.startswith(OPEN):
                self._thoughts = ThinkingSplitter(opened=False)
            text, self._start = self._start, None
        if self._thoughts is None:
            return self._content("", text)
        piece = self._thoughts.add(text)
        return self._content(piece.thought, piece.answer)

    def finish(self) -> Reply:
        """What was held back, when nothing more comes."""
        held, self._start = self._start or "", None
        thought = ""
        if self._thoughts is not None:
            piece = self._thoughts.finish()
            thought, held = piece.thought, piece.answer
        reply = self._content(thought, held)
        if self._calls is None:
            return reply
        rest = self._calls.finish()
        return Reply(reply.reasoning, reply.content + rest.content, reply.calls + rest.calls)

    def _content(self, thought: str, text: str) -> Reply:
        if self._calls is None:
            return Reply(thought, text)
        reply = self._calls.add(text)
        return Reply(thought, reply.content, reply.calls)


class _CallReader:
    """Takes `<tool_call>` elements out of a text. What looks like one and holds no call stays text."""

    def __init__(self) -> None:
        self._held = ""

    def add(self, text: str) -> Reply:
        self._held += text
        content, calls = "", []
        while (found := _CALL.search(self._held)) is not None:
            call = _parse(found[1])
            if call is None:
                content += self._held[: found.end()]
            else:  # the blanks around a call only set it apart
                content += self._held[: found.start()].rstrip()
                calls.append(call)
            self._held = self._held[found.end() :]
        begun = self._held.find(_CALL_OPEN)
        keep = len(self._held) - begun if begun >= 0 else _overlap(self._held, _CALL_OPEN)
        certain = self._held[: len(self._held) - keep].rstrip()
        content += certain
        self._held = self._held[len(certain) :]
        return Reply(content=content, calls=tuple(calls))

    def finish(self) -> Reply:
        """A last call whose end tag did not come, or the text that was held back."""
        before, tag, body = self._held.partition(_CALL_OPEN)
        held, self._held = self._held, ""
        if tag and (call := _parse(body)) is not None:
            return Reply(content=before.rstrip(), calls=(call,))
        return Reply(content=held if held.strip() else "")


def _parse(body: str) -> ToolCall | None:
    try:
        call: Any = json.loads(body)
    except ValueError:
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    arguments = call.get("arguments", {})
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(call["name"], arguments, f"call_{uuid.uuid4().hex}")


def _overlap(text: str, tag: str) -> int:
    """Length of the longest end of `text` that begins `tag`."""
    return next((n for n in range(min(len(text), len(tag) - 1), 0, -1) if text.endswith(tag[:n])), 0)
