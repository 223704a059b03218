"""Which model answers: loaded, switched, unloaded when idle and loaded again when it is asked for.

One model answers at a time. A change waits for the one before it; requests in flight end before their model goes, and a
model that cannot be loaded leaves the one that answers in its place. Everything here belongs to one event loop but
for loading itself, which runs in a thread. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from qwen3vl.errors import EngineClosedError, InputError, InsufficientMemoryError, Qwen3VLError

if TYPE_CHECKING:
    from qwen3vl.engine.engine import Engine
    from qwen3vl.engine.info import EngineInfo
    from qwen3vl.server.shelf import Shelf

State = Literal["absent", "available", "downloading", "loading", "ready", "unloading", "failed"]
"""`absent` is not on this machine, `available` is on it but not in memory."""


@dataclass(frozen=True)
class ModelStatus:
    """A model, and how far it is."""

    name: str
    state: State
    progress: float | None = None  # 0..1 of the bytes that are downloaded or loaded
    info: EngineInfo | None = None  # of one that is ready
    error: str | None = None  # why it failed
    last_used: float | None = None  # Unix time of its last request


class ModelNotServedError(InputError):
    """A request names a model that does not answer here."""


class ModelBusyError(Qwen3VLError):
    """A model takes longer to be loaded than a request may wait."""


@dataclass
class _Slot:
    """A loaded model, and who uses it."""

    name: str
    engine: Engine
    in_flight: int = 0
    last_used: float | None = None

    def __post_init__(self) -> None:
        self.drained = asyncio.Event()
        self.drained.set()


class ModelManager:
    """The models of `shelf`. None is in memory at first; the shelf's default is loaded when it is asked."""

    def __init__(self, shelf: Shelf, *, idle_seconds: float | None = None, switch: bool = False) -> None:
        self._shelf, self._idle_seconds, self._switch = shelf, idle_seconds, switch
        self._slot: _Slot | None = None
        self._wanted = shelf.default
        self._changing = asyncio.Lock()
        self._states: dict[str, ModelStatus] = {}  # of those that are on their way, or failed
        self._changed = asyncio.Event()  # replaced at each change of a state
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: asyncio.TimerHandle | None = None

    def adopt(self, engine: Engine) -> None:
        """Takes over a model that is loaded already, before any request."""
        self._put(engine.info.name, engine)

    @property
    def wanted(self) -> str:
        """The model that answers requests which name none, in memory or not."""
        return self._wanted

    @property
    def engine(self) -> Engine | None:
        """The model in memory. Only for looking at: `use` holds it."""
        return None if self._slot is None else self._slot.engine

    def why_not_ready(self) -> str | None:
        """Why the wanted model would not answer a request now. None if it would, or comes back for it."""
        status = self.status(self._wanted)
        match status.state:
            case "ready" | "available":
                return None
            case "absent":
                return f"the model {status.name!r} is not on this machine"
            case "failed":
                return f"the model {status.name!r} failed: {status.error}"
            case moving:
                return f"the model {status.name!r} is {moving}"

    def list(self) -> list[ModelStatus]:
        """The one that answers first, then all that are known here."""
        names = dict.fromkeys([self._wanted, *self._shelf.names(), *self._states])
        return [self.status(name) for name in names]

    def status(self, name: str) -> ModelStatus:
        """Raises `ModelNotServedError` for a name that is nowhere."""
        slot = self._slot
        if slot is not None and name == slot.name:
            state: State = "ready" if slot.engine.healthy else "failed"
            error = None if state == "ready" else "the model has stopped running"
            return ModelStatus(name, state, info=slot.engine.info, error=error, last_used=slot.last_used)
        if name in self._states:
            return self._states[name]
        if not self._shelf.knows(name):
            raise self._not_served(name)
        return ModelStatus(name, "available" if self._shelf.is_here(name) else "absent")

    async def watch(self, name: str) -> AsyncIterator[ModelStatus]:
        """The status now, and each time it changes, until it neither loads nor unloads."""
        while True:
            changed, status = self._changed, self.status(name)
            yield status
            if status.state not in ("downloading", "loading", "unloading"):
                return
            await changed.wait()

    @asynccontextmanager
    async def use(self, name: str | None = None, *, seconds: float | None = None) -> AsyncIterator[Engine]:
        """Holds the model `name` (None: the one that answers), which is loaded first if it left memory or, where
        switching is on, if it is another one on this machine. Not to be nested: a change waits for all holders.

        Raises `ModelNotServedError`, `EngineClosedError` when the model broke, `ModelBusyError` when it takes more than
        `seconds` to come, and what loading raises.
        """
        try:
            async with asyncio.timeout(seconds):
                slot = await self._hold(name)
        except TimeoutError as error:
            raise ModelBusyError(f"the model was not ready within {seconds:g} seconds") from error
        try:
            yield slot.engine
        finally:
            self._release(slot)

    async def load(self, name: str) -> None:
        """Makes `name` the model that answers. A caller that gives up waiting does not end the loading."""
        await asyncio.shield(self.start_loading(name))

    def start_loading(self, name: str) -> asyncio.Task[None]:
        """Like `load`, without waiting. Raises `ModelNotServedError` for a name that is nowhere."""
        if not (name == self._wanted or self._shelf.knows(name)):
            raise self._not_served(name)
        if not self._is_ready(name):
            self._set(ModelStatus(name, "loading" if self._shelf.is_here(name) else "downloading", 0.0))
        return self._start(self._load(name))

    async def unload(self, name: str) -> None:
        """Takes `name` out of memory when its requests have ended; the next request loads it again.

        Raises `ModelNotServedError`, and `InputError` for a model that came loaded and is nowhere to be loaded from.
        """
        if self._slot is None or self._slot.name != name:
            self.status(name)
            return
        if not self._shelf.knows(name):
            raise InputError(f"model {name!r} was loaded by another program, so it could not be loaded again")
        await asyncio.shield(self._start(self._unload(name)))

    def close(self) -> None:
        """Frees the model, when the event loop is gone; what is in flight gets an `EngineClosedError`."""
        if self._slot is not None:
            slot, self._slot = self._slot, None
            slot.engine.close()

    def arm(self) -> None:
        """Starts the clock of an idle model."""
        self.disarm()
        if self._idle_seconds is None or self._slot is None or not self._shelf.knows(self._slot.name):
            return
        if self._slot.in_flight == 0:
            name, loop = self._slot.name, asyncio.get_running_loop()
            self._idle = loop.call_later(self._idle_seconds, lambda: self._start(self._unload(name, only_idle=True)))

    def disarm(self) -> None:
        """Stops it."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    async def _hold(self, name: str | None) -> _Slot:
        while True:
            slot = self._slot
            if slot is not None and name in (None, slot.name):
                if not slot.engine.healthy:  # before a picture is decoded for nobody
                    raise EngineClosedError(f"the model {slot.name!r} has stopped running; it must be loaded again")
                slot.in_flight += 1
                slot.drained.clear()
                return slot
            if slot is None and self._changing.locked():
                async with self._changing:  # whoever comes while the model changes gets what it has become
                    continue
            if name not in (None, self._wanted):
                if not (self._switch and self._shelf.knows(name or "")):
                    raise self._not_served(name or "")
                if not self._shelf.is_here(name or ""):
                    raise ModelNotServedError(f"model {name!r} is not on this machine; load it before it is asked")
            await self.load(name or self._wanted)

    def _release(self, slot: _Slot) -> None:
        slot.in_flight -= 1
        slot.last_used = time.time()
        if slot.in_flight == 0:
            slot.drained.set()
            if slot is self._slot:
                self.arm()

    async def _load(self, name: str) -> None:
        async with self._changing:
            if self._is_ready(name):
                self._states.pop(name, None)
                return
            try:
                await self._replace(name)
            except Exception as error:
                known = isinstance(error, Qwen3VLError)
                self._set(ModelStatus(name, "failed", error=str(error) if known else f"unexpected error: {error!r}"))
                raise
            finally:
                self.arm()

    async def _replace(self, name: str) -> None:
        """Another model in the place of this one, which stays if anything fails."""
        old = self._slot
        folder = await asyncio.to_thread(self._shelf.fetch, name, self._reporter(name, "downloading"))
        load = self._reporter(name, "loading")
        if old is not None and (self._shelf.has_budget or old.name == name or not old.engine.healthy):
            engine = None
        else:
            try:
                engine = await asyncio.to_thread(self._shelf.load, name, folder, load)
            except InsufficientMemoryError:
                if old is None:
                    raise
                engine = None
        if old is not None:
            await self._retire(old)
        if engine is None:
            try:
                engine = await asyncio.to_thread(self._shelf.load, name, folder, load)
            except Exception:
                if old is not None and old.name != name:
                    await self._bring_back(old.name)
                raise
        self._put(name, engine)

    async def _bring_back(self, name: str) -> None:
        folder = await asyncio.to_thread(self._shelf.fetch, name, self._reporter(name, "loading"))
        self._put(name, await asyncio.to_thread(self._shelf.load, name, folder, self._reporter(name, "loading")))

    def _put(self, name: str, engine: Engine) -> None:
        self._slot, self._wanted = _Slot(name, engine), name
        self._states.pop(name, None)
        self._notify()

    async def _unload(self, name: str, *, only_idle: bool = False) -> None:
        async with self._changing:
            slot = self._slot
            if slot is None or slot.name != name or (only_idle and slot.in_flight):
                return
            await self._retire(slot)

    async def _retire(self, slot: _Slot) -> None:
        """Lets requests in flight end, then frees the model. Newcomers wait for the change to end."""
        self.disarm()
        if slot.engine.healthy:
            self._states[slot.name] = ModelStatus(slot.name, "unloading", last_used=slot.last_used)
            self._slot = None
            self._notify()
            await slot.drained.wait()
        self._slot = None
        await asyncio.to_thread(slot.engine.close)
        self._states.pop(slot.name, None)
        self._notify()

    def _reporter(self, name: str, state: State) -> Callable[[int, int], None]:
        """Takes progress from a thread to the loop."""
        loop = asyncio.get_running_loop()
        status = ModelStatus(name, state, 0.0)
        self._set(status)

        def report(done: int, total: int) -> None:
            loop.call_soon_threadsafe(update, replace(status, progress=done / total if total else 1.0))

        def update(status: ModelStatus) -> None:
            if (now := self._states.get(name)) is not None and now.state == state:  # a late word changes nothing
                self._set(status)

        return report

    def _set(self, status: ModelStatus) -> None:
        self._states[status.name] = status
        self._notify()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # told by its status too
        return task

    def _is_ready(self, name: str) -> bool:
        return self._slot is not None and self._slot.name == name and self._slot.engine.healthy

    def _not_served(self, name: str) -> ModelNotServedError:
        return ModelNotServedError(f"model {name!r} is not served here; this server runs {self._wanted!r}")
