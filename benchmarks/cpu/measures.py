"""What is measured of every runner, and the rounds in which they take turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from benchmarks.cpu.protocol import Loaded, Runner, RunnerFailed, Timing
from benchmarks.cpu.quiet import Patience
from benchmarks.cpu.shapes import Shape


class Measure(Protocol):
    @property
    def label(self) -> str: ...

    @property
    def tokens(self) -> int:
        """That are worked off in one go, of all sequences together."""

    def run(self, runner: Runner) -> Timing: ...

    def bytes_read(self, loaded: Loaded, shape: Shape) -> float | None:
        """In one go at least. None: not what bounds it."""


@dataclass(frozen=True)
class Prefill:
    tokens: int

    @property
    def label(self) -> str:
        return f"prefill {self.tokens}"

    def run(self, runner: Runner) -> Timing:
        return runner.prefill(self.tokens)

    def bytes_read(self, loaded: Loaded, shape: Shape) -> float | None:
        return None


@dataclass(frozen=True)
class Decode:
    sequences: int
    context: int
    steps: int

    @property
    def label(self) -> str:
        after = f" after {self.context:,}" if self.context else ""
        return f"decode, batch {self.sequences}{after}"

    @property
    def tokens(self) -> int:
        return self.sequences * self.steps

    def run(self, runner: Runner) -> Timing:
        return runner.decode(self.sequences, self.context, self.steps)

    def bytes_read(self, loaded: Loaded, shape: Shape) -> float | None:
        return self.steps * loaded.weights.step_bytes(shape.config, self.sequences, self.context + self.steps / 2)


@dataclass
class Samples:
    """Every timing of a run, by peer and measure, in the order of the rounds."""

    loaded: dict[str, Loaded] = field(default_factory=dict)
    timings: dict[tuple[str, Measure], list[Timing]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # and why

    def take(
        self,
        runners: Mapping[str, Runner],
        measures: Sequence[Measure],
        *,
        patience: Patience,
        say: Callable[[str], None],
    ) -> None:
        """One round: each measure of all runners, one after the other. One that fails is left out from then on."""
        for measure in measures:
            for name, runner in runners.items():
                if name in self.left_out:
                    continue
                try:
                    timing = patience.least_disturbed(partial(measure.run, runner))
                except RunnerFailed as error:
                    self.left_out[name] = str(error)
                    continue
                say(f"{name}, {measure.label}: {measure.tokens / timing.seconds:.1f} tokens/s")
                self.timings.setdefault((name, measure), []).append(timing)
