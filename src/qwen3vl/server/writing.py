"""One answer while it is written: read from the model, kept, then shown. Never shown before it is kept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from qwen3vl.errors import InputError, MediaError, Qwen3VLError, StoreError
from qwen3vl.server.documents import pages_again
from qwen3vl.server.errors import ApiError, describe
from qwen3vl.server.places import question_places, renamed
from qwen3vl.server.replies import ReplyReader
from qwen3vl.store.records import Message, State

if TYPE_CHECKING:
    from qwen3vl.engine.outputs import Delta, TokenLogprob, Usage
    from qwen3vl.server.answers import Ask, Reading
    from qwen3vl.server.serving import Served
    from qwen3vl.store.database import Store

logger = logging.getLogger(__name__)

Use = Callable[[str | None], AbstractAsyncContextManager["Served"]]


class LiveAnswer:
    """One answer that is being written, or was a moment ago."""

    def __init__(self, message: Message) -> None:
        self.message = message  # as far as it is kept
        self.failure: BaseException | None = None
        self.pages_read: tuple[int, int] | None = None  # of how many, where pages are read before it begins
        self._changed = asyncio.Event()  # replaced at each change of the message

    async def watch(self) -> AsyncIterator[Message]:
        """The answer as it is now, and each time it, or `pages_read`, has grown; the last one has ended. A slow reader
        skips some.
        """
        while True:
            changed, message = self._changed, self.message
            yield message
            if message.state != "running":
                return
            await changed.wait()

    async def begun(self) -> None:
        """Waits until there is something to show. Raises what the answer failed with if it failed before."""
        async for message in self.watch():
            if message.text or message.thinking or self.pages_read:
                return
        if self.failure is not None:
            raise self.failure

    async def ended(self) -> Message:
        """Waits for the end."""
        async for message in self.watch():
            last = message
        return last

    def show(self, message: Message) -> None:
        self.message = message
        self._wake()

    def tell(self, done: int, of: int) -> None:
        """That so many pages have been read."""
        self.pages_read = done, of
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Writing:
    """Writes one answer: reads the model in `run`, keeps and shows in a task beside it, since neither should wait for
    the other.
    """

    def __init__(self, store: Store, live: LiveAnswer, *, pause: Callable[[], float]) -> None:
        self._store, self.live, self._pause = store, live, pause
        self.task: asyncio.Task[None]
        self._thinks = False
        self._reading: Reading | None = None
        self._raw: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._text, self._thinking = _Growing(), _Growing()
        self._arrived, self._over = asyncio.Event(), asyncio.Event()
        self._ended_as: State | None = None
        self._finish_reason: str | None = None
        self._usage: dict[str, Any] = {"completion_tokens": 0}
        self._started = time.monotonic()

    async def run(self, use: Use, ask: Ask) -> None:
        state: State = "done"
        keeping = asyncio.create_task(self._keep())
        try:
            async with use(ask.model) as served:
                await self._read(served, ask, keeping)
        except asyncio.CancelledError:
            state = self._ended_as or "interrupted"
        except Exception as error:
            state = "failed"
            self._fail(error)
        self._over.set()
        self._arrived.set()
        with contextlib.suppress(StoreError):  # the end is kept anew, and whole
            await keeping
        await self._finish(state)

    async def end(self, state: State) -> None:
        """Ends it from outside."""
        if self._ended_as is None and not self._over.is_set():
            self._ended_as = state
            self.task.cancel()
        await asyncio.wait({self.task})
        if self.live.message.state == "running":  # cancelled before its first step
            await self._finish(state)

    async def _read(self, served: Served, ask: Ask, keeping: asyncio.Task[None]) -> None:
        self._thinks = served.thinks
        if ask.search is not None:
            ask = replace(ask, reading=await ask.search(served, ask.options, self.live.tell))
        self._reading = ask.reading
        messages = await asyncio.to_thread(self._history, served, ask)
        reader = ReplyReader(thinks=self._thinks, tools=False)
        # The only files that are named are the store's own.
        async with aclosing(served.astream(messages, allow_files=True, task=ask.task, **ask.engine_options)) as deltas:
            try:
                async for delta in deltas:
                    if keeping.done():  # it has failed
                        keeping.result()
                    self._take(delta, reader)
            except InputError as error:
                places = question_places(len(messages) - 1, ask.places)
                raise renamed(error, ("content", "options", "params"), places) from error

    def _take(self, delta: Delta, reader: ReplyReader) -> None:
        seconds = round(time.monotonic() - self._started, 4)
        if not self._usage["completion_tokens"]:
            self._usage["first_token_seconds"] = seconds
        self._usage["completion_tokens"] += len(delta.token_ids)
        self._usage["total_seconds"] = seconds
        self._raw.append(delta.text)
        self._logprobs += delta.logprobs or []
        replies = [reader.add(delta.text)]
        if delta.finish_reason is not None:
            self._finish_reason = delta.finish_reason
            replies.append(reader.finish())
        if delta.usage is not None:
            self._usage |= _engine_usage(delta.usage)
        for reply in replies:
            self._text.add(reply.content)
            self._thinking.add(reply.reasoning)
        self._arrived.set()

    def _history(self, served: Served, ask: Ask) -> list[dict[str, Any]]:
        """The branch up to the question, in the engine's form."""
        parent = self.live.message.parent
        assert parent is not None, "an answer stands under its question"
        system = [{"role": "system", "content": ask.system}] if ask.system else []
        path = self._store.messages.path(parent)
        answers: list[Message | None] = [*path[1:], None]
        turns = [self._turn(message, answer, served) for message, answer in zip(path, answers, strict=True)]
        if self._reading is not None and self._reading.content is not None:
            turns[-1] = {"role": "user", "content": list(self._reading.content)}
        return [*system, *turns]

    def _turn(self, message: Message, answer: Message | None, served: Served) -> dict[str, Any]:
        if message.role == "assistant":
            # What a model wrote may look like a control token, which would end all further questions.
            return {"role": "assistant", "content": served.prompt_builder.tokenizer.harmless(message.text)}
        parts: list[dict[str, Any]] = []
        seen = (answer.result or {}).get("seen") if answer else None
        for part in message.content:
            if part["type"] == "text":
                parts.append({"type": "text", "text": part["text"]})
                continue
            path = self._store.media.path(part["media"])
            if not path.is_file():
                raise MediaError(f"the {part['type']} {part['name']!r} is not in the store any more")
            parts.append({"type": part["type"], part["type"]: path})
        if seen and message.request:
            names = [part.get("name", "") for part in message.content]
            parts = pages_again(parts, names, seen, message.request["language"])
        return {"role": "user", "content": parts}

    async def _keep(self) -> None:
        """Keeps and shows what has arrived, until the end."""
        store, live = self._store.messages, self.live
        while True:
            await self._arrived.wait()
            if self._over.is_set():
                return  # what is left is kept with the end
            self._arrived.clear()
            text, thinking = self._text.take(), self._thinking.take()
            if text or thinking:
                await asyncio.to_thread(store.append, live.message.id, text, thinking)
                shown = live.message
                live.show(replace(shown, text=shown.text + text, thinking=shown.thinking + thinking))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), self._pause())

    def _result(self) -> Mapping[str, Any] | None:
        """What the task finds in the answer, also in half of one."""
        if self._reading is None or not self._raw:
            return None
        reader = self._reading.reader(self._thinks)
        return reader.finish("".join(self._raw), self._logprobs, self._finish_reason).model_dump(mode="json")

    async def _finish(self, state: State) -> None:
        live, result = self.live, None
        try:
            result = await asyncio.to_thread(self._result)
        except Exception as unread:
            state = "failed"
            self._fail(unread)
        failure = live.failure
        known = isinstance(failure, Qwen3VLError | ApiError)
        error = None if failure is None else str(failure) if known else "internal error; the server's log says more"
        code = describe(failure)[1]["error"]["code"] if failure is not None and known else None
        try:
            live.show(
                await asyncio.to_thread(
                    self._store.messages.finish,
                    live.message.id,
                    state,
                    self._text.whole(),
                    self._thinking.whole(),
                    result=result,
                    usage=self._usage,
                    finish_reason=self._finish_reason,
                    error=error,
                    error_code=code,
                )
            )
        except StoreError as unkept:  # what was shown is kept as pieces, which the next start makes whole
            self._fail(unkept)
            live.show(replace(live.message, state="failed", error=str(unkept), error_code="store_unavailable"))

    def _fail(self, error: Exception) -> None:
        self.live.failure = error
        if not isinstance(error, InputError | ApiError):
            logger.error("an answer failed", exc_info=error)


class _Growing:
    """A text that comes in pieces, of which some are taken already."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._taken = 0

    def add(self, piece: str) -> None:
        if piece:
            self._pieces.append(piece)

    def take(self) -> str:
        """What has come since the last time."""
        taken, self._taken = self._taken, len(self._pieces)
        return "".join(self._pieces[taken:])

    def whole(self) -> str:
        return "".join(self._pieces)


def _engine_usage(usage: Usage) -> dict[str, Any]:
    """The engine's own counts and seconds; the time to the first token and the whole are what a person waited."""
    return {key: value for key, value in asdict(usage).items() if key not in ("first_token_seconds", "total_seconds")}
