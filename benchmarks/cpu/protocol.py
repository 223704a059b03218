"""How the driver speaks with a runner: one JSON object a line, to a process of its own and back.

A runner loads once and then measures on command, so that runners can take turns without loading again. What libraries
print in its process goes to stderr.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

import psutil

from benchmarks.cpu.shapes import Shape, Weights

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Job:
    """What to load."""

    shape: Shape
    bits: int  # 4, 8 or 16
    threads: int
    folder: str  # where files of weights are kept between runs
    positions: int  # of the longest sequence
    sequences: int  # of the largest batch
    cache_bits: int = 16  # of a key or value


@dataclass(frozen=True)
class Loaded:
    label: str  # the peer and the format of its weights
    versions: dict[str, str]
    weights: Weights


@dataclass(frozen=True)
class Moment:
    """Three clocks, in seconds."""

    wall: float
    own: float  # that all threads of this process computed
    machine: float  # that all cores computed, what the machine's host took from them included

    @classmethod
    def now(cls) -> Moment:
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        counted_twice = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        return cls(time.perf_counter(), time.process_time(), sum(times) - idle - counted_twice)


@dataclass
class Timing:
    seconds: float = 0.0
    cores: float = 0.0  # that the runner kept busy, on average
    others: float = 0.0  # cores that were busy with something else

    @classmethod
    def between(cls, start: Moment, end: Moment) -> Timing:
        seconds, own = end.wall - start.wall, end.own - start.own
        others = max(end.machine - start.machine - own, 0.0)
        return cls(seconds, own / seconds, others / seconds)


class Runner(Protocol):
    """What a peer's module implements. Prompts are random tokens that were not seen before; decoding is greedy."""

    def load(self, job: Job) -> Loaded: ...

    def prefill(self, tokens: int) -> Timing:
        """From a prompt of so many tokens to the logits of the next."""

    def decode(self, sequences: int, context: int, tokens: int) -> Timing:
        """So many steps of a batch, after each sequence has `context` tokens behind it; only the steps are timed."""


@contextmanager
def stopwatch() -> Iterator[Timing]:
    timing, start = Timing(), Moment.now()
    yield timing
    vars(timing).update(vars(Timing.between(start, Moment.now())))


def serve(make: Callable[[], Runner]) -> None:
    """The main loop of a runner's process. What goes wrong is answered in words, and ends it."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        runner = make()
        for line in sys.stdin:
            request = json.loads(line)
            _write(answers, asdict(_answer(runner, request.pop("do"), request)))
    except Exception as error:
        _write(answers, {"error": f"{type(error).__name__}: {error}"})
        raise


def _answer(runner: Runner, do: str, request: dict[str, Any]) -> Loaded | Timing:
    if do == "load":
        return runner.load(Job(**request | {"shape": Shape(**request["shape"])}))
    return runner.prefill(**request) if do == "prefill" else runner.decode(**request)


def _write(stream: IO[str], message: dict[str, Any]) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


class RunnerFailed(Exception):
    """The runner said why it cannot go on, or ended without a word."""


@dataclass
class RemoteRunner:
    """A runner in a process of its own, with the interface of one here."""

    module: str
    log: Path  # what its libraries print
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
            )

    def load(self, job: Job) -> Loaded:
        answer = self._ask(do="load", **asdict(job))
        return Loaded(**answer | {"weights": Weights(**answer["weights"])})

    def prefill(self, tokens: int) -> Timing:
        return Timing(**self._ask(do="prefill", tokens=tokens))

    def decode(self, sequences: int, context: int, tokens: int) -> Timing:
        return Timing(**self._ask(do="decode", sequences=sequences, context=context, tokens=tokens))

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):  # it ended; what it said last can still be read
            _write(self.process.stdin, request)
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": f"it ended; {self.log} may say why"}
        if "error" in answer:
            raise RunnerFailed(answer["error"])
        return answer

    def __enter__(self) -> RemoteRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the process; its memory is free when this returns."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
