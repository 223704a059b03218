"""Whose energy a step's is, with a meter that moves by as much as the test wants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction

import pytest
import torch

from qwen3vl import Engine
from qwen3vl.engine.energy import EnergyBook
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import Usage
from qwen3vl.engine.scheduler import Chunk
from qwen3vl.engine.streams import Stream
from qwen3vl.errors import InsufficientMemoryError
from support.engines import Run, device, is_idle, together, wait_until
from support.inputs import picture, user
from support.server import MODELS

A_READING = 3.0


class Meter:
    """Moves by the same with each reading."""

    def __init__(self) -> None:
        self.readings, self.value, self.broken = 0, 0.0, False

    def joules(self) -> float:
        if self.broken:
            raise OSError("gone")
        self.readings += 1
        self.value += A_READING
        return self.value

    def close(self) -> None:
        self.broken = True


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.load(MODELS / "moe", device="cpu", memory="1GiB", speculation="off") as engine:
        yield engine


@pytest.fixture
def meter(engine: Engine) -> Meter:
    meter = Meter()
    engine._core.energy = EnergyBook(meter)  # type: ignore[arg-type]
    return meter


@contextmanager
def steps(engine: Engine, before: Callable[[list[Chunk]], None] = lambda chunks: None) -> Iterator[list[list[Chunk]]]:
    """What the engine computes within the block, step by step; `before` may prevent one."""
    computed: list[list[Chunk]] = []

    def noted(run: Run) -> Run:
        def step(chunks: list[Chunk]) -> torch.Tensor:
            before(chunks)
            computed.append(chunks)
            return run(chunks)

        return step

    with device(engine, noted):
        yield computed


def usage(stream: Stream) -> Usage:
    found = [delta.usage for delta in stream if delta.usage is not None]
    assert len(found) == 1
    return found[0]


def ask(engine: Engine, *questions: tuple[str, int]) -> list[Usage]:
    requests = []
    for text, tokens in questions:
        options = GenerationOptions(max_tokens=tokens, ignore_eos=True, temperature=0.0)
        requests.append((engine.prepare([user(text)], options), options))
    return [usage(stream) for stream in together(engine, requests)]


def test_a_step_is_split_by_the_tokens_that_it_computed(engine: Engine, meter: Meter) -> None:
    options = [GenerationOptions(max_tokens=n, ignore_eos=True, temperature=0.0) for n in (3, 30, 9)]
    questions = [user("One " * 300), user(picture(128, 96, 3), "Two"), user("Three")]
    prompts = [engine.prepare([question], each) for question, each in zip(questions, options, strict=True)]
    with steps(engine) as computed:
        told = [usage(stream).energy_joules for stream in together(engine, list(zip(prompts, options, strict=True)))]
    expected: dict[int, Fraction] = defaultdict(Fraction)
    for chunks in computed:
        for chunk in chunks:
            share = Fraction(chunk.length, sum(each.length for each in chunks))
            expected[chunk.sequence.request.id] += share * int(A_READING)
    assert told == pytest.approx([float(expected[key]) for key in sorted(expected)], rel=1e-9)
    assert engine._core.energy.joules == pytest.approx(A_READING * len(computed))
    assert sum(each or 0.0 for each in told) == pytest.approx(A_READING * len(computed))
    assert meter.readings == len(computed) + 1  # one a step, and one after the rest


def test_what_is_taken_while_nobody_asks_is_nobodys(engine: Engine, meter: Meter) -> None:
    with steps(engine) as computed:
        [first] = ask(engine, ("Before", 4))
        before = len(computed)
        wait_until(lambda: is_idle(engine))
        meter.value += 1e6
        [second] = ask(engine, ("After", 4))
    assert first.energy_joules == pytest.approx(before * A_READING)
    assert second.energy_joules == pytest.approx((len(computed) - before) * A_READING)


def test_what_a_failed_step_took_is_nobodys(engine: Engine, meter: Meter) -> None:
    failures = [torch.OutOfMemoryError("none is left")]

    def fail(chunks: list[Chunk]) -> None:
        if failures and chunks[0].length > 100:
            meter.value += 1e6
            raise failures.pop()

    with steps(engine, fail) as computed:
        options = GenerationOptions(max_tokens=2)
        with pytest.raises(InsufficientMemoryError):
            usage(engine.stream_prompt(engine.prepare([user("Long " * 200)], options), options))
        [after] = ask(engine, ("Short", 5))
    assert after.energy_joules == pytest.approx(len(computed) * A_READING)


def test_a_meter_that_breaks_takes_the_figure_away_and_nothing_else(engine: Engine, meter: Meter) -> None:
    def break_it(chunks: list[Chunk]) -> None:
        meter.broken = meter.readings >= 3

    with steps(engine, break_it):
        [told] = ask(engine, ("Go", 8))
    assert (told.completion_tokens, told.energy_joules) == (8, None)
    assert ask(engine, ("Go on", 2))[0].energy_joules is None
    assert (engine.telemetry().request_joules, engine.telemetry().device_joules) == (None, None)


def test_without_a_meter_there_is_no_figure(engine: Engine) -> None:
    engine._core.energy = EnergyBook(None)
    assert ask(engine, ("Hello", 2))[0].energy_joules is None
