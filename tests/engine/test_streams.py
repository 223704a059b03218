"""Streams that are closed, dropped or left waiting, in threads and in event loops."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig
from qwen3vl.engine.outputs import Delta
from qwen3vl.errors import EngineClosedError
from support.engines import held, is_idle, wait_until
from support.inputs import user

HELLO = [user("Hello")]
LONG: dict[str, Any] = {"max_tokens": 400, "ignore_eos": True, "temperature": 0.0}
FEW = 150  # tokens: far fewer than LONG asks for, and more than are written before somebody looks


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    with Engine.load("tiny-moe", device="cpu", config=EngineConfig(num_blocks=100)) as engine:
        yield engine


@pytest.fixture
def engine(shared: Engine) -> Iterator[Engine]:
    """An engine at rest, before and after."""
    yield shared
    wait_until(lambda: is_idle(shared))
    shared.check_invariants()


@pytest.fixture
def mortal() -> Iterator[Engine]:
    """An engine that the test closes."""
    with Engine.load("tiny-moe", device="cpu", config=EngineConfig(num_blocks=64)) as engine:
        yield engine


class SlowPreparation:
    """Preparing a prompt on this engine takes until `go_on` is called."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered = threading.Semaphore(0)
        self._gate = threading.Event()
        prepare = engine.prepare

        def slow(*args: Any, **options: Any) -> Any:
            self.entered.release()
            assert self._gate.wait(20)
            return prepare(*args, **options)

        monkeypatch.setattr(engine, "prepare", slow)

    def go_on(self) -> None:
        self._gate.set()


async def begun(slow: SlowPreparation, times: int = 1) -> None:
    for _ in range(times):
        assert await asyncio.to_thread(slow.entered.acquire, timeout=10)


def test_closing_wakes_a_reader_in_another_thread(engine: Engine) -> None:
    got: list[Delta] = []
    ended = threading.Event()
    with held(engine):  # so that there is nothing to read
        stream = engine.stream(HELLO, **LONG)

        def read() -> None:
            got.extend(stream)
            ended.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        assert not ended.wait(0.1), "the reader waits"
        stream.close()
        assert ended.wait(5)
        reader.join()
    assert got == []


def test_a_loop_that_is_left_cancels(engine: Engine) -> None:
    before = engine.stats().generated_tokens

    async def scenario() -> None:
        async for _ in engine.astream(HELLO, **LONG):
            break
        gc.collect()  # whatever cycle the frame of the loop was part of
        await asyncio.to_thread(wait_until, lambda: is_idle(engine))

    run(scenario())
    assert engine.stats().generated_tokens - before < FEW


def test_dropping_an_async_stream_cancels(engine: Engine) -> None:
    before = engine.stats().generated_tokens

    async def scenario() -> None:
        stream = engine.astream(HELLO, **LONG)
        await anext(stream)
        del stream
        await asyncio.to_thread(wait_until, lambda: is_idle(engine))

    run(scenario())
    assert engine.stats().generated_tokens - before < FEW


def test_aclose_wakes_a_task_that_waits(engine: Engine) -> None:
    async def scenario() -> None:
        with held(engine):
            stream = engine.astream(HELLO, **LONG)
            waits = asyncio.create_task(anext(stream))
            await asyncio.wait([waits], timeout=0.1)
            assert stream._cancel is not None, "it is submitted"
            assert not waits.done()
            await stream.aclose()
            with pytest.raises(StopAsyncIteration):
                await asyncio.wait_for(waits, 5)

    before = engine.stats().generated_tokens
    run(scenario())
    wait_until(lambda: is_idle(engine))
    assert engine.stats().generated_tokens == before


def test_aclose_while_the_prompt_is_prepared_submits_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SlowPreparation(engine, monkeypatch)
    submitted: list[object] = []
    monkeypatch.setattr(engine._worker, "submit", submitted.append)

    async def scenario() -> None:
        stream = engine.astream(HELLO, **LONG)
        waits = asyncio.create_task(anext(stream))
        await begun(slow)
        await stream.aclose()
        slow.go_on()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(waits, 5)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run(scenario())
    assert submitted == []


def test_after_close_an_event_loop_gets_the_error_too(mortal: Engine) -> None:
    mortal.close()

    async def scenario() -> None:
        with pytest.raises(EngineClosedError):
            await mortal.agenerate(HELLO, max_tokens=3)
        with pytest.raises(EngineClosedError):
            await anext(mortal.astream(HELLO, max_tokens=3))

    run(scenario())


def test_close_tells_those_whose_prompts_are_prepared_or_wait_for_it(
    mortal: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowPreparation(mortal, monkeypatch)

    async def scenario() -> None:
        tasks = [asyncio.create_task(mortal.agenerate(HELLO, max_tokens=3)) for _ in range(4)]
        await begun(slow, times=2)  # the pool has two threads, so the others are still in its queue
        await asyncio.to_thread(mortal.close)
        slow.go_on()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ends] == [EngineClosedError] * 4

    run(scenario())


def test_close_tells_who_reads(mortal: Engine) -> None:
    async def scenario() -> None:
        stream = mortal.astream(HELLO, **LONG)
        await anext(stream)
        await asyncio.to_thread(mortal.close)
        with pytest.raises(EngineClosedError):
            async for _ in stream:
                pass

    run(scenario())
