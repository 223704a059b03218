"""Counts of values by size, as Prometheus has them. One thread counts; others may look on."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds`: the largest value of each bucket but the last, in order."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)  # not cumulative
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
