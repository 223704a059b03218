"""An engine that says what a test wants it to, token by token, in the place of what the model would say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen3vl import Engine
from qwen3vl.engine.outputs import Delta, FinishReason, TokenLogprob, Usage

USAGE = Usage(7, 5, 1, 0, 4, 0.1, 0.2, 0.3)


@dataclass
class Script:
    """`pieces` are the deltas' texts. The last delta has the reason and the usage. `seconds` pass before each."""

    pieces: Sequence[str]
    reason: FinishReason = "stop"
    seconds: float = 0.0
    logprobs: bool = False
    usage: Usage = USAGE
    asked: list[dict[str, Any]] = field(default_factory=list)
    closed: int = 0

    def astream(self, messages: Any, **options: Any) -> _Stream:
        self.asked.append({"messages": messages, **options})
        return _Stream(self)

    def play(self, engine: Engine, monkeypatch: Any) -> Script:
        monkeypatch.setattr(engine, "astream", self.astream)
        return self


class _Stream:
    def __init__(self, script: Script) -> None:
        self._script, self._left = script, list(script.pieces)

    def __aiter__(self) -> _Stream:
        return self

    async def __anext__(self) -> Delta:
        if not self._left:
            raise StopAsyncIteration
        await asyncio.sleep(self._script.seconds)
        text, last = self._left.pop(0), not self._left
        logprobs = [TokenLogprob(1, text, -0.5)] if self._script.logprobs else None
        if not last:
            return Delta(text, [1], logprobs=logprobs)
        return Delta(text, [1], logprobs=logprobs, finish_reason=self._script.reason, usage=self._script.usage)

    async def aclose(self) -> None:
        self._script.closed += 1
        self._left = []
