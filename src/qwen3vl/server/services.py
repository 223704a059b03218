"""What routes and the page are built on: settings, models, store, keys, limits, books; opened and closed together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from qwen3vl.browser.rules import HostRules
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.errors import InputError, StoreError
from qwen3vl.media.fetch import Fetcher, FetchRules
from qwen3vl.server.access import KeyRing
from qwen3vl.server.agent.sessions import AgentLimits, AgentSessions
from qwen3vl.server.answers import Answers
from qwen3vl.server.indexing import Indexing
from qwen3vl.server.limits import Gate, parse_rate
from qwen3vl.server.models import ModelManager
from qwen3vl.server.serving import Books, Served
from qwen3vl.server.shelf import Shelf
from qwen3vl.settings import ServerSettings, Settings
from qwen3vl.store.database import Store

if TYPE_CHECKING:
    from qwen3vl.engine.engine import Engine

logger = logging.getLogger(__name__)

_SWEEP_SECONDS = 3600.0


class Services:
    """Made in any thread; used by one event loop, between `start` and `stop`."""

    def __init__(self, settings: Settings, store: Store) -> None:
        """Owns `store`. Raises `InputError` for settings that cannot be honoured."""
        server, minutes = settings.server, settings.model.idle_unload
        self.settings, self.store = settings, store
        self.defaults = settings.generation.given()
        for name, value in self.defaults.items():
            try:
                GenerationOptions.from_mapping({name: value})
            except InputError as error:
                raise InputError(f"setting generation.{name}: {error}") from error
        self.rate = None if server.rate is None else parse_rate(server.rate)
        self.models = ModelManager(
            Shelf(settings.model),
            idle_seconds=None if minutes is None else minutes * 60,
            switch=settings.model.switch,
        )
        self.gate = Gate(server.max_queue)
        self.books = Books(store.ledger)
        self.answers = Answers(store, self.use)
        self.indexing = Indexing(store, self.use)
        self.agents = AgentSessions(self.use, _agent_limits(server))
        self.keys = KeyRing(store.keys, always=server.require_keys)
        self.fetcher = (
            Fetcher(FetchRules(server.url_hosts, server.url_ports, server.url_bytes, server.url_timeout))
            if server.url_media
            else None
        )
        """None where nothing may be fetched."""
        self._sweeping: asyncio.Task[None] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def open(cls, settings: Settings) -> Services:
        """With the store that the settings name. Raises `InputError` and `StoreError`."""
        store = open_store(settings)
        try:
            return cls(settings, store)
        except BaseException:
            store.close()
            raise

    @classmethod
    def single(cls, engine: Engine, settings: Settings | None = None) -> Services:
        """For one engine, which it then owns, and a store that goes with it: for tests and simple uses."""
        folder = tempfile.TemporaryDirectory(prefix="qwen3vl-")
        store = Store.open(f"sqlite:///{folder.name}/store.db", Path(folder.name, "media"))
        services = cls(settings or Settings(), store)
        services.models.adopt(engine)
        services._folder = folder
        return services

    def adopt(self, engine: Engine) -> None:
        """Takes over a model that is loaded already, before any request. Raises `InputError` for settings that it
        cannot honour, and closes it then.
        """
        try:
            engine.check(GenerationOptions.from_mapping(self.defaults))
        except InputError as error:
            engine.close()
            raise InputError(f"setting generation.{error.param}: {error}") from error
        self.models.adopt(engine)

    @asynccontextmanager
    async def use(self, model: str | None = None) -> AsyncIterator[Served]:
        """Holds a model (None: the one that answers) for one caller. Raises what `ModelManager.use` raises."""
        server = self.settings.server
        async with self.models.use(model, seconds=server.queue_timeout) as engine:
            yield Served(engine, defaults=self.defaults, gate=self.gate, books=self.books, settings=server)

    async def start(self) -> None:
        await self.answers.start()
        self.models.arm()
        await self.indexing.start()
        self._sweeping = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self.indexing.close()
        await self.answers.close()
        await self.agents.close()
        self.models.disarm()

    def close(self) -> None:
        """Frees the model and closes the store, when no event loop uses them any more."""
        self.models.close()
        self.books.close()
        self.store.close()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Services:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _sweep(self) -> None:
        """Takes away bytes that nothing refers to any more, now and every hour."""
        while True:
            with contextlib.suppress(StoreError):  # the next one may do better; requests meet the error themselves
                await asyncio.to_thread(self.store.media.sweep)
                await asyncio.to_thread(self.store.page_texts.sweep)
            await asyncio.sleep(_SWEEP_SECONDS)


def _agent_limits(server: ServerSettings) -> AgentLimits:
    try:
        HostRules(private=server.agent_private_hosts)
    except InputError as error:
        raise InputError(f"setting server.agent_private_hosts: {error}") from error
    return AgentLimits(
        max_sessions=server.agent_sessions,
        idle_seconds=server.agent_idle * 60,
        private_hosts=server.agent_private_hosts,
    )


def open_store(settings: Settings) -> Store:
    """The store that the settings name. Raises `InputError` and `StoreError`."""
    folder = settings.server.data_folder
    return Store.open(settings.server.database or f"sqlite:///{folder / 'store.db'}", folder / "media")
