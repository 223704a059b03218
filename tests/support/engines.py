"""Ways to hold an engine in a test: at rest, with several requests in one step, or with a device that misbehaves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch

from qwen3vl import Engine
from qwen3vl.engine.costs import StepCosts
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import Delta
from qwen3vl.engine.scheduler import Chunk
from qwen3vl.engine.streams import Stream
from qwen3vl.prompt.types import Prompt

Run = Callable[[list[Chunk]], torch.Tensor]


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.002)


def is_idle(engine: Engine) -> bool:
    stats = engine.stats()
    return not stats.running and not stats.waiting


def token_ids(deltas: Iterable[Delta]) -> list[int]:
    return [token for delta in deltas for token in delta.token_ids]


def together(engine: Engine, requests: Sequence[tuple[Prompt, GenerationOptions]]) -> list[Stream]:
    """Streams of requests that enter the same step."""
    return engine._worker.call(lambda: [engine.stream_prompt(prompt, options) for prompt, options in requests])


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    """The engine takes requests in, but makes no step until the block is left."""
    gate = threading.Event()

    def wait() -> None:
        gate.wait(30)

    engine._worker._commands.put(wait)
    try:
        yield
    finally:
        gate.set()


@contextmanager
def device(engine: Engine, replace: Callable[[Run], Run]) -> Iterator[None]:
    """Steps run through what `replace` makes of the way in which they are run."""
    runner = engine._core.runner
    runner.run = replace(runner.run)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        del runner.run  # the class's own again


class FixedCosts(StepCosts):
    """Every step is said to take as long, so that what is drafted depends on tokens only and not on the clock."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def seconds(self, sequences: int, added: int) -> float | None:
        return self._seconds


def draft_always(engine: Engine, by: Literal["lookup", "fast"] = "lookup") -> None:
    """Whatever is guessed is drafted, as if further rows and, with "fast", drafts by fewer experts cost nothing."""
    speculation = engine._core.speculation
    assert speculation is not None
    speculation.costs = FixedCosts(1.0)
    speculation.fast_costs = FixedCosts(1e-6 if by == "fast" else 1e6)
