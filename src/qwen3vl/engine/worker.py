"""The one thread that owns the model. Others hand it commands; it answers through each request's sink."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from qwen3vl.engine.core import EngineCore
from qwen3vl.engine.sequence import Request
from qwen3vl.errors import EngineClosedError

_T = TypeVar("_T")


class EngineWorker:
    def __init__(self, core: EngineCore) -> None:
        self.core = core
        self.error: BaseException | None = None  # what ended the thread, if anything did
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()  # between handing in a command and closing the door
        self._open = True
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="qwen3vl-engine", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        return self._open and self._thread.is_alive()

    def submit(self, request: Request) -> None:
        """Queues a request. Raises `EngineClosedError` when nobody would serve it."""
        with self._lock:
            if not self._open:
                raise EngineClosedError(self._why_closed())
            self._commands.put(lambda: self.core.add(request))

    def cancel(self, request_id: int) -> None:
        """Drops a request before the next step. It may have ended already, and so may the engine."""
        self._commands.put(lambda: self.core.cancel(request_id))

    def call(self, function: Callable[[], _T]) -> _T:
        """Runs `function` between two steps and gives back what it returns or raises: for looking at the core while
        it rests.
        """
        future: Future[_T] = Future()
        with self._lock:
            if not self._open:
                raise EngineClosedError(self._why_closed())
            self._commands.put(lambda: _settle(future, function))
        return future.result()

    def close(self) -> None:
        """Ends the thread after the step in progress. Requests that are not finished get an `EngineClosedError`."""
        with self._lock:
            self._open = False
            self._commands.put(self._close)
        self._thread.join()

    def _close(self) -> None:
        self._closing = True

    def _run(self) -> None:
        try:
            while not self._closing:
                self._obey()
                if not self.core.idle and not self._closing:
                    self.core.step()
        except BaseException as error:  # whatever it was, nobody may wait for an answer that will not come
            self.error = error
        with self._lock:
            self._open = False
        self._drain()

    def _obey(self) -> None:
        """Carries out what has been handed in; waits when there is nothing else to do."""
        wait = self.core.idle
        while True:
            try:
                command = self._commands.get(block=wait)
            except queue.Empty:
                return
            command()
            wait = False

    def _drain(self) -> None:
        """Tells every request that is still here, or still in the queue, that it will not be finished."""
        while not self._commands.empty():
            self._commands.get()()
        self.core.fail_all(EngineClosedError(self._why_closed()))
        self.core.close()

    def _why_closed(self) -> str:
        return "the engine is closed" if self.error is None else f"the engine stopped: {self.error!r}"


def in_passing_thread(function: Callable[[], _T]) -> _T:
    """What `function` returns or raises, called in a thread that ends with it.

    A thread that has used OpenMP keeps helpers for as long as it lives, and GNU's library lets all threads that wait
    for work sleep at once when a process has more of them than cores: then each operation of the engine's thread wakes
    its helper anew. So whoever loads a model must not leave helpers behind.
    """
    future: Future[_T] = Future()
    threading.Thread(target=_settle, args=(future, function), name="qwen3vl-loading", daemon=True).start()
    return future.result()


def _settle(future: Future[_T], function: Callable[[], _T]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)
