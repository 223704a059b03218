"""The model manager with models that load when the test says so: order, draining, failures, idle time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

from qwen3vl.errors import CheckpointError, EngineClosedError, InputError, InsufficientMemoryError
from qwen3vl.server.models import ModelBusyError, ModelManager, ModelNotServedError
from qwen3vl.server.shelf import Shelf


class Info:
    def __init__(self, name: str) -> None:
        self.name = name


class FakeEngine:
    def __init__(self, name: str) -> None:
        self.info, self.healthy, self.closed = Info(name), True, False

    def close(self) -> None:
        self.closed = True
        self.healthy = False


class FakeShelf:
    """Models "a", "b" and "c" are here, "far" must be fetched. `memory` is how many fit at once."""

    def __init__(self, memory: int = 2, has_budget: bool = False) -> None:
        self.default, self.has_budget, self.memory = "a", has_budget, memory
        self.engines: list[FakeEngine] = []
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()
        self.broken: dict[str, Exception] = {}
        self.log: list[str] = []

    def names(self) -> list[str]:
        return ["a", "b", "c", "far"]

    def knows(self, name: str) -> bool:
        return name in self.names()

    def is_here(self, name: str) -> bool:
        return name != "far"

    def fetch(self, name: str, progress: Callable[[int, int], None]) -> Path:
        progress(1, 2)
        if isinstance(self.broken.get(f"fetch {name}"), Exception):
            raise self.broken[f"fetch {name}"]
        return Path(name)

    def load(self, name: str, folder: Path, progress: Callable[[int, int], None]) -> FakeEngine:
        assert folder == Path(name)
        self.log.append(f"load {name}")
        self.began.set()
        progress(1, 4)
        assert self.gate.wait(10)
        if name in self.broken:
            raise self.broken[name]
        if sum(not engine.closed for engine in self.engines) >= self.memory:
            raise InsufficientMemoryError("no room")
        self.engines.append(FakeEngine(name))
        return self.engines[-1]

    @property
    def alive(self) -> list[str]:
        return [engine.info.name for engine in self.engines if not engine.closed]


def manager(shelf: FakeShelf, **options: Any) -> ModelManager:
    return ModelManager(cast(Shelf, shelf), **options)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 20))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


def test_the_default_is_loaded_when_it_is_asked_for() -> None:
    async def test() -> None:
        shelf = FakeShelf()
        models = manager(shelf)
        assert [(each.name, each.state) for each in models.list()] == [
            ("a", "available"),
            ("b", "available"),
            ("c", "available"),
            ("far", "absent"),
        ]
        async with models.use() as engine, asyncio.TaskGroup() as group:
            assert engine.info.name == "a"
            group.create_task(ask(models, "a"))
        assert shelf.log == ["load a"]  # once, however many ask
        assert models.status("a").state == "ready"
        assert models.status("a").last_used is not None

    run(test())


async def ask(models: ModelManager, name: str | None) -> str:
    async with models.use(name) as engine:
        return engine.info.name


def test_many_at_once_load_it_once() -> None:
    async def test() -> None:
        shelf = FakeShelf()
        models = manager(shelf)
        assert await asyncio.gather(*(ask(models, None) for _ in range(20))) == ["a"] * 20
        assert shelf.log == ["load a"]

    run(test())


def test_the_old_model_answers_while_the_new_one_loads_and_ends_its_requests() -> None:
    async def test() -> None:
        shelf = FakeShelf(memory=2)
        models = manager(shelf)
        await models.load("a")
        shelf.gate.clear()
        shelf.began.clear()
        loading = models.start_loading("b")
        await until(shelf.began.is_set)
        assert await ask(models, None) == "a"
        use = models.use()
        engine = await use.__aenter__()
        assert models.status("b").state == "loading"
        shelf.gate.set()
        await until(lambda: models.status("a").state == "unloading")
        await asyncio.sleep(0.02)
        assert shelf.alive == ["a", "b"]  # somebody still uses the old one
        waiting = asyncio.create_task(ask(models, None))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        assert engine.healthy
        await use.__aexit__(None, None, None)
        await loading
        assert await waiting == "b"
        assert shelf.alive == ["b"]
        with pytest.raises(ModelNotServedError, match="'b'"):
            await ask(models, "a")

    run(test())


@pytest.mark.parametrize("has_budget", [False, True])
def test_one_after_the_other_where_both_do_not_fit(has_budget: bool) -> None:
    async def test() -> None:
        shelf = FakeShelf(memory=1, has_budget=has_budget)
        models = manager(shelf)
        await models.load("a")
        await models.load("b")
        assert shelf.alive == ["b"]
        # With a budget it is known that they do not fit; without one it is tried.
        assert shelf.log == ["load a", "load b"] + ([] if has_budget else ["load b"])

    run(test())


@pytest.mark.parametrize("memory", [1, 2])
@pytest.mark.parametrize("error", [CheckpointError("it is damaged"), RuntimeError("boom")])
def test_a_model_that_cannot_be_loaded_leaves_the_old_one(memory: int, error: Exception) -> None:
    async def test() -> None:
        shelf = FakeShelf(memory=memory, has_budget=memory == 1)
        shelf.broken["b"] = error
        models = manager(shelf)
        await models.load("a")
        with pytest.raises(type(error)):
            await models.load("b")
        assert shelf.alive == ["a"]
        assert await ask(models, None) == "a"
        status = models.status("b")
        assert status.state == "failed"
        assert str(error) in (status.error or "")
        del shelf.broken["b"]
        await models.load("b")  # it may be tried again
        assert await ask(models, "b") == "b"

    run(test())


def test_a_failed_download_does_not_touch_the_old_model() -> None:
    async def test() -> None:
        shelf = FakeShelf(memory=1, has_budget=True)
        shelf.broken["fetch far"] = CheckpointError("no network")
        models = manager(shelf)
        await models.load("a")
        first = shelf.engines[0]
        seen = []
        loading = models.start_loading("far")
        async for status in models.watch("far"):
            seen.append(status.state)
        assert seen[0] == "downloading"
        assert seen[-1] == "failed"
        with pytest.raises(CheckpointError):
            await loading
        assert not first.closed

    run(test())


def test_loads_are_in_the_order_in_which_they_came() -> None:
    async def test() -> None:
        shelf = FakeShelf(memory=2)
        models = manager(shelf)
        shelf.gate.clear()
        tasks = [models.start_loading(name) for name in ("a", "b", "c", "c")]
        assert {models.status(name).state for name in "abc"} == {"loading"}
        shelf.gate.set()
        await asyncio.gather(*tasks)
        assert shelf.log == ["load a", "load b", "load c"]
        assert shelf.alive == ["c"]

    run(test())


def test_progress_is_told_and_watchers_come_to_an_end() -> None:
    async def test() -> None:
        shelf = FakeShelf()
        models = manager(shelf)
        shelf.gate.clear()
        models.start_loading("far")
        seen = []
        async for status in models.watch("far"):
            seen.append((status.state, status.progress))
            if status == ("loading", 0.25) or (status.state == "loading" and status.progress == 0.25):
                shelf.gate.set()
        assert ("downloading", 0.0) in seen
        assert seen[-2:] == [("loading", 0.25), ("ready", None)]

    run(test())


def test_an_idle_model_leaves_and_comes_back() -> None:
    async def test() -> None:
        shelf = FakeShelf()
        models = manager(shelf, idle_seconds=0.05)
        async with models.use():
            await asyncio.sleep(0.15)
            assert shelf.alive == ["a"]  # busy for longer than that
        await until(lambda: shelf.alive == [])
        assert models.status("a").state == "available"
        assert await ask(models, None) == "a"
        assert shelf.log == ["load a", "load a"]
        models.disarm()

    run(test())


def test_unload_waits_for_requests_and_the_next_one_loads_again() -> None:
    async def test() -> None:
        shelf = FakeShelf()
        models = manager(shelf)
        async with models.use():
            unloading = asyncio.create_task(models.unload("a"))
            await asyncio.sleep(0.02)
            assert models.status("a").state == "unloading"
        await unloading
        assert shelf.alive == []
        await models.unload("a")  # may be said twice
        assert await ask(models, "a") == "a"
        with pytest.raises(ModelNotServedError):
            await models.unload("nobody")

    run(test())


def test_a_model_that_could_not_come_back_does_not_go() -> None:
    async def test() -> None:
        models = manager(FakeShelf(), idle_seconds=0.01)
        models.adopt(cast(Any, FakeEngine("handed in")))
        with pytest.raises(InputError, match="could not be loaded again"):
            await models.unload("handed in")
        await ask(models, "handed in")
        await asyncio.sleep(0.1)
        assert models.status("handed in").state == "ready"

    run(test())


def test_another_model_is_switched_to_only_where_that_is_on() -> None:
    async def test() -> None:
        models = manager(FakeShelf())
        await models.load("a")
        for name in ("b", "far", "nobody", ""):
            with pytest.raises(ModelNotServedError):
                await ask(models, name)
        with pytest.raises(ModelNotServedError):
            models.start_loading("nobody")
        switching = manager(FakeShelf(), switch=True)
        assert await ask(switching, "b") == "b"
        assert await ask(switching, None) == "b"
        for name in ("far", "nobody"):  # a request never downloads
            with pytest.raises(ModelNotServedError):
                await ask(switching, name)

    run(test())


def test_a_broken_engine_is_told_and_can_be_loaded_again() -> None:
    async def test() -> None:
        shelf = FakeShelf(memory=1)
        models = manager(shelf)
        await models.load("a")
        shelf.engines[0].healthy = False
        with pytest.raises(EngineClosedError, match="stopped running"):
            await ask(models, None)
        assert models.status("a").state == "failed"
        await models.load("a")
        assert await ask(models, None) == "a"

    run(test())


def test_who_gives_up_waiting_does_not_end_the_loading() -> None:
    async def test() -> None:
        shelf = FakeShelf()
        models = manager(shelf)
        shelf.gate.clear()
        with pytest.raises(ModelBusyError, match=r"0\.05 seconds"):
            async with models.use(seconds=0.05):
                pass
        shelf.gate.set()
        assert await ask(models, None) == "a"
        assert shelf.log == ["load a"]

    run(test())


def test_names_from_the_network_do_not_become_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qwen3vl.settings import ModelSettings

    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "models" / "mine" / "config.json").write_text("{}")
    (tmp_path / "models" / "no-model").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shelf = Shelf(ModelSettings.model_validate({"folders": [tmp_path / "models"]}))
    assert shelf.names()[:3] == ["mine", "tiny-moe", "tiny-dense"]
    assert shelf.is_here("mine")
    assert shelf.is_here("tiny-moe")
    assert not shelf.is_here("4b-instruct")
    assert shelf.knows("someone/some-model")
    assert shelf.knows("4B")  # the catalogue's other ways of writing a name
    for name in (
        "no-model",
        "../models/mine",
        str(tmp_path),
        "/etc",
        "..",
        "../..",
        "a/../b",
        "./x",
        "x/..",
        "~/x",
        "",
    ):
        assert not shelf.knows(name), name
    monkeypatch.chdir(tmp_path)
    assert not shelf.is_here("models/mine")  # a hub id, though a folder goes by that name
