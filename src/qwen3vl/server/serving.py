"""A model as routes and pages use it: every answer has defaults, waits its turn, has its time, and is booked.

Beside that it is the engine: `astream` and `agenerate` take the same arguments and give the same deltas.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import Delta, Result, Usage
from qwen3vl.engine.streams import AsyncStream, Collector, Submit
from qwen3vl.errors import Qwen3VLError
from qwen3vl.server.access import Caller, current_caller
from qwen3vl.server.errors import ApiError, describe
from qwen3vl.server.limits import Gate
from qwen3vl.settings import ServerSettings
from qwen3vl.store.ledger import Ledger
from qwen3vl.store.records import UsageRow
from qwen3vl.tasks.thinking import OPEN

if TYPE_CHECKING:
    from qwen3vl.engine.engine import Engine
    from qwen3vl.engine.info import EngineInfo
    from qwen3vl.prompt.builder import PromptBuilder

logger = logging.getLogger(__name__)

_GATHER_SECONDS = 0.25  # that a row of the ledger waits for others

Messages = Sequence[Mapping[str, Any]]
T = TypeVar("T")

_thinking: WeakKeyDictionary[PromptBuilder, bool] = WeakKeyDictionary()


class Books:
    """Writes the ledger in a thread of its own, in order, so that no answer waits for it.

    Rows are gathered for a moment: a transaction for each would hold the interpreter while the next request comes.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="qwen3vl-books")
        self._lock = threading.Lock()
        self._rows: list[UsageRow] = []
        self._wanted = threading.Event()  # somebody waits for the rows
        self.statuses: Counter[str] = Counter()  # of all rows since the start

    def add(self, row: UsageRow) -> None:
        with self._lock:
            self.statuses[row.status] += 1
            self._rows.append(row)
            is_first = len(self._rows) == 1
        if is_first:
            self._thread.submit(self._write)

    async def read(self, question: Callable[[Ledger], T]) -> T:
        """What `question` makes of the ledger, all rows before it included."""
        self._wanted.set()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, question, self._ledger)
        finally:
            self._wanted.clear()

    def close(self) -> None:
        self._wanted.set()
        self._thread.shutdown(wait=True)

    def _write(self) -> None:
        self._wanted.wait(_GATHER_SECONDS)
        with self._lock:
            rows, self._rows = self._rows, []
        try:
            self._ledger.add(*rows)
        except Exception:
            logger.exception("rows of the usage ledger were lost: %s", rows)


class Served:
    """A model in use, for one caller."""

    def __init__(
        self, engine: Engine, *, defaults: Mapping[str, Any], gate: Gate, books: Books, settings: ServerSettings
    ) -> None:
        self._engine, self._defaults = engine, defaults
        self._gate, self._books, self._settings = gate, books, settings

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    @property
    def prompt_builder(self) -> PromptBuilder:
        return self._engine.prompt_builder

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Options that a request has which does not say otherwise."""
        return self._defaults

    @property
    def thinks(self) -> bool:
        """Whether prompts of this model open a thought, so that answers begin inside it."""
        builder = self._engine.prompt_builder
        if builder not in _thinking:
            text = builder.template.render([{"role": "user", "content": "?"}])
            _thinking[builder] = text.rstrip().endswith(OPEN)
        return _thinking[builder]

    def astream(
        self,
        messages: Messages,
        *,
        tools: list[dict[str, Any]] | None = None,
        allow_files: bool = False,
        task: str = "chat",
        **options: Any,
    ) -> ServedStream:
        """Like `Engine.astream`; options that are not given are those of the settings. `task` is for the ledger."""
        options = {**self._defaults, **options}
        stream = self._engine.astream(messages, tools=tools, allow_files=allow_files, **options)
        return self._served(stream, task, options)

    def astream_text(self, text: str, *, task: str = "completion", **options: Any) -> ServedStream:
        """Continues a text as it stands, without a chat template."""
        options = {**self._defaults, **options}
        checked, engine = GenerationOptions.from_mapping(options), self._engine

        async def prepare() -> Submit:
            prompt = await asyncio.to_thread(engine.prompt_builder.build_text, text)
            return lambda sink: engine.submit(prompt, checked, sink)

        return self._served(AsyncStream(prepare), task, options)

    async def agenerate(self, messages: Messages, **options: Any) -> Result:
        """Like `astream`, collected. Cancelling the task cancels the request."""
        return await self.astream(messages, **options).collect()

    def _served(self, stream: AsyncStream, task: str, options: Mapping[str, Any]) -> ServedStream:
        caller, mode = current_caller(), str(options.get("mode", "full"))

        def book(status: str, usage: Usage | None, tokens: int, seconds: float) -> None:
            self._books.add(_row(caller, self.info.name, task, mode, status, usage, tokens, seconds))

        return ServedStream(stream, GenerationOptions.from_mapping(options), self._gate, self._settings, book)


class ServedStream:
    """The deltas of one answer. It enters the queue when the first is asked for, and leaves with it."""

    def __init__(
        self,
        stream: AsyncStream,
        options: GenerationOptions,
        gate: Gate,
        settings: ServerSettings,
        book: Callable[[str, Usage | None, int, float], None],
    ) -> None:
        self.options = options
        self._stream, self._gate, self._settings, self._book = stream, gate, settings, book
        self._started: float | None = None
        self._waits = self._ended = False
        self._tokens = 0

    def __aiter__(self) -> ServedStream:
        return self

    async def __anext__(self) -> Delta:
        if self._started is None:
            self._started = time.monotonic()
            self._enter()
        allowed = self._settings.request_timeout - (time.monotonic() - self._started)
        if self._waits:
            allowed = min(allowed, self._settings.queue_timeout)
        try:
            async with asyncio.timeout(allowed):
                delta = await anext(self._stream)
        except StopAsyncIteration:
            self._end("stopped")
            raise
        except TimeoutError as error:
            what = "wait for its first token" if self._waits else "take"
            late = ApiError(
                504, f"the answer may {what} {self._limit():g} seconds at most; it was ended", code="timeout"
            )
            await self._fail(late)
            raise late from error
        except asyncio.CancelledError:
            await self.aclose()
            raise
        except BaseException as error:
            await self._fail(error)
            raise
        self._leave()
        self._tokens += len(delta.token_ids)
        if delta.usage is not None:
            self._end("ok", delta.usage)
        return delta

    async def collect(self) -> Result:
        collector = Collector(self.options)
        async for delta in self:
            collector.add(delta)
        return collector.result()

    async def aclose(self) -> None:
        """Ends the answer if it goes on. May be called twice."""
        await self._stream.aclose()
        self._end("stopped")

    def _enter(self) -> None:
        try:
            self._gate.enter()
        except ApiError as error:
            self._end(str(error.status))
            raise
        self._waits = True

    def _limit(self) -> float:
        limits = self._settings
        return min(limits.queue_timeout, limits.request_timeout) if self._waits else limits.request_timeout

    def _leave(self) -> None:
        if self._waits and self._started is not None:
            self._waits = False
            self._gate.leave(time.monotonic() - self._started)

    async def _fail(self, error: BaseException) -> None:
        known = isinstance(error, ApiError | Qwen3VLError)  # what nobody foresaw is logged where it is answered
        self._end(str(describe(error)[0] if known else 500))
        await self._stream.aclose()

    def _end(self, status: str, usage: Usage | None = None) -> None:
        self._leave()
        if not self._ended and self._started is not None:
            self._ended = True
            self._book(status, usage, self._tokens, time.monotonic() - self._started)


def _row(
    caller: Caller, model: str, task: str, mode: str, status: str, usage: Usage | None, tokens: int, seconds: float
) -> UsageRow:
    row = {"key": caller.key, "endpoint": caller.endpoint, "model": model, "task": task, "mode": mode, "status": status}
    if usage is None:
        return UsageRow(**row, completion_tokens=tokens, total_seconds=seconds)  # type: ignore[arg-type]
    return UsageRow(
        **row,  # type: ignore[arg-type]
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        visual_tokens=usage.visual_tokens,
        queue_seconds=usage.queue_seconds,
        first_token_seconds=usage.first_token_seconds,
        total_seconds=usage.total_seconds,
        energy_joules=usage.energy_joules,
    )
