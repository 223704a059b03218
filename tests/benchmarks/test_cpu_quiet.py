from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.cpu import quiet
from benchmarks.cpu.protocol import Timing
from benchmarks.cpu.quiet import Patience


def test_a_measurement_that_nobody_disturbed_counts_at_once() -> None:
    timings = [Timing(1.0, 2.0, 0.1), Timing(0.5, 2.0, 0.0)]
    assert Patience(0, 3).least_disturbed(lambda: timings.pop(0)).seconds == 1
    assert len(timings) == 1


def test_else_the_least_disturbed_counts_and_not_the_fastest() -> None:
    timings = [Timing(1.0, 2.0, 1.5), Timing(3.0, 2.0, 0.7), Timing(2.0, 2.0, 1.0), Timing(1.0, 2.0, 0.0)]
    assert Patience(0, 3).least_disturbed(lambda: timings.pop(0)).seconds == 3
    assert len(timings) == 1


@pytest.mark.parametrize(("others", "most", "least"), [(0.0, 5.0, 0.0), (1.0, 5.0, 0.5)])
def test_waiting_ends_with_the_noise_or_with_the_time(
    monkeypatch: pytest.MonkeyPatch, others: float, most: float, least: float
) -> None:
    @contextmanager
    def stopwatch() -> Iterator[Timing]:
        yield Timing(0.3, 0.0, others)

    monkeypatch.setattr(quiet, "stopwatch", stopwatch)
    start = time.monotonic()
    quiet.wait_for_quiet(30 if others == 0 else 0.5)
    assert least <= time.monotonic() - start < most
