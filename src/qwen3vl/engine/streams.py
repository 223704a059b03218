"""What a caller holds while an answer is written: an iterator, plain or asynchronous, that cancels when it is
closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType

from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import Choice, Delta, FinishReason, Result, TokenLogprob, Usage

Item = Delta | BaseException
Submit = Callable[[Callable[[Item], None]], Callable[[], None]]  # takes the sink, returns what cancels


class Stream:
    """Deltas of one request. Closing it, leaving its `with` block or dropping it cancels what is not finished; a thread
    that waits for the next delta then meets the end.
    """

    def __init__(self, submit: Submit) -> None:
        self._items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()  # None ends
        self._done = False
        self._cancel = submit(self._items.put)

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Delta:
        item = None if self._done else self._items.get()
        if item is None:
            raise StopIteration
        if isinstance(item, BaseException):
            self._done = True
            raise item
        self._done |= item.usage is not None
        return item

    def close(self) -> None:
        if not self._done:
            self._done = True
            self._cancel()
            self._items.put(None)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_cancel"):
            self.close()


class AsyncStream:
    """Like `Stream`, for one event loop. The request is prepared and submitted when the first delta is asked for."""

    def __init__(self, prepare: Callable[[], Awaitable[Submit]]) -> None:
        self._prepare = prepare
        self._items: asyncio.Queue[Item | None] = asyncio.Queue()  # None ends
        self._cancel: Callable[[], None] | None = None
        self._done = False

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> Delta:
        try:
            if self._cancel is None and not self._done:
                await self._start()
            item = None if self._done else await self._items.get()
            if item is None:
                raise StopAsyncIteration
            if isinstance(item, BaseException):
                raise item
        except BaseException:  # a cancelled task too: whoever waited is gone, so the request goes
            await self.aclose()
            raise
        self._done |= item.usage is not None
        return item

    async def _start(self) -> None:
        submit = await self._prepare()
        if not self._done:  # nobody has closed it meanwhile
            self._cancel = submit(_sink(asyncio.get_running_loop(), self._items))

    async def aclose(self) -> None:
        if not self._done:
            self._done = True
            self._items.put_nowait(None)
            if self._cancel is not None:
                self._cancel()

    def __del__(self) -> None:
        if not self._done and self._cancel is not None:
            self._cancel()


def _sink(loop: asyncio.AbstractEventLoop, items: asyncio.Queue[Item | None]) -> Callable[[Item], None]:
    """Takes items from the engine's thread to the loop's. Knows the queue, not the stream: a stream that is dropped
    must not be kept alive by the request that it should cancel.
    """

    def sink(item: Item) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nobody waits any more
            loop.call_soon_threadsafe(items.put_nowait, item)

    return sink


class Collector:
    """Puts deltas together to a result."""

    def __init__(self, options: GenerationOptions) -> None:
        n = options.n
        self._texts: list[list[str]] = [[] for _ in range(n)]
        self._token_ids: list[list[int]] = [[] for _ in range(n)]
        self._logprobs: list[list[TokenLogprob]] | None = None if options.logprobs is None else [[] for _ in range(n)]
        self._reasons: list[FinishReason | None] = [None] * n
        self._usage: Usage | None = None

    def add(self, delta: Delta) -> None:
        self._texts[delta.index].append(delta.text)
        self._token_ids[delta.index].extend(delta.token_ids)
        if self._logprobs is not None and delta.logprobs:
            self._logprobs[delta.index].extend(delta.logprobs)
        self._reasons[delta.index] = delta.finish_reason or self._reasons[delta.index]
        self._usage = delta.usage or self._usage

    def result(self) -> Result:
        assert self._usage is not None, "the last delta has the usage"
        choices = []
        for index, reason in enumerate(self._reasons):
            assert reason is not None, "every choice ends with a reason"
            logprobs = self._logprobs[index] if self._logprobs is not None else None
            choices.append(Choice(index, "".join(self._texts[index]), self._token_ids[index], reason, logprobs))
        return Result(choices, self._usage)


def collect(deltas: Iterable[Delta], options: GenerationOptions) -> Result:
    collector = Collector(options)
    for delta in deltas:
        collector.add(delta)
    return collector.result()
