"""One answer at a time for each open page: started, watched while it grows, stopped.

Uses the engine's public asynchronous stream. A stop cancels the task that reads it, which cancels the request in the
engine.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from qwen3vl.engine.outputs import FinishReason, Usage

if TYPE_CHECKING:
    from qwen3vl.engine.engine import Engine

State = Literal["waiting", "writing", "done", "length", "stopped"]

_REMEMBERED = 256  # closed pages; a question that was sent before its page closed arrives within a moment
REFRESH_SECONDS = 0.06  # a page that is told of every token would spend its time on redrawing

_STATES: dict[FinishReason | None, State] = {None: "writing", "stop": "done", "length": "length"}


@dataclass(frozen=True)
class Answer:
    """An answer so far. Seconds count from the press of the button, so media and tokenising are in them."""

    text: str = ""
    tokens: int = 0
    first_token_seconds: float | None = None
    seconds: float = 0.0
    state: State = "waiting"
    usage: Usage | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Of the tokens after the first; None until there are two."""
        if self.first_token_seconds is None or self.tokens < 2 or self.seconds <= self.first_token_seconds:
            return None
        return (self.tokens - 1) / (self.seconds - self.first_token_seconds)


class Answering:
    """The running answers, by the page (Gradio's session) that asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._running: dict[str, asyncio.Task[None]] = {}
        self._left: deque[str] = deque(maxlen=_REMEMBERED)

    async def ask(self, page: str, messages: list[dict[str, Any]], **options: Any) -> AsyncGenerator[Answer, None]:
        """Yields the growing answer; the last one is done, cut or stopped. Raises what the engine raises.

        Nothing for a page that was left.
        """
        self.stop(page)
        if page in self._left:
            return
        growing = _Growing()
        task = asyncio.create_task(growing.read(self._engine, messages, options))
        self._running[page] = task
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=REFRESH_SECONDS)
                if not task.done():
                    yield growing.answer
            if task.cancelled():
                yield replace(growing.answer, state="stopped")
            else:
                task.result()
                yield growing.answer
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if self._running.get(page) is task:
                del self._running[page]

    def stop(self, page: str) -> None:
        """Ends the answer that `page` is waiting for, if there is one."""
        if task := self._running.get(page):
            task.cancel()

    def leave(self, page: str) -> None:
        """`page` is closed: ends its answer, also one whose question is still on its way here."""
        self._left.append(page)
        self.stop(page)


class _Growing:
    """Collects deltas into an `Answer`."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._answer = Answer()
        self._pieces: list[str] = []

    @property
    def answer(self) -> Answer:
        return replace(self._answer, text="".join(self._pieces))

    async def read(self, engine: Engine, messages: list[dict[str, Any]], options: dict[str, Any]) -> None:
        async with aclosing(engine.astream(messages, **options)) as deltas:
            async for delta in deltas:
                seconds = time.perf_counter() - self._started
                self._pieces.append(delta.text)
                self._answer = replace(
                    self._answer,
                    tokens=self._answer.tokens + len(delta.token_ids),
                    first_token_seconds=self._answer.first_token_seconds or seconds,
                    seconds=seconds,
                    state=_STATES[delta.finish_reason],
                    usage=delta.usage,
                )
