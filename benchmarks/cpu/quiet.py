"""Measuring beside others: waiting until they pause, seeing how much they took, and trying again if it was much.

What counts is chosen by how little the others computed, never by how fast it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.cpu.protocol import Timing, stopwatch

_LOOK_SECONDS = 0.3
_IDLE = 0.15  # cores that others may use, and it still counts as quiet


@dataclass(frozen=True)
class Patience:
    wait: float  # seconds at most before a try
    tries: int

    def least_disturbed(self, measure: Callable[[], Timing]) -> Timing:
        """The first try that nobody disturbed, or of all tries the one that was disturbed least."""
        best: Timing | None = None
        for _ in range(self.tries):
            wait_for_quiet(self.wait)
            timing = measure()
            if best is None or timing.others < best.others:
                best = timing
            if timing.others < _IDLE:
                break
        assert best is not None
        return best


def wait_for_quiet(most_seconds: float) -> None:
    """Returns once the machine was idle for a moment, or when the time is up."""
    end = time.monotonic() + most_seconds
    while time.monotonic() < end:
        with stopwatch() as timing:
            time.sleep(_LOOK_SECONDS)
        if timing.others < _IDLE:
            return
