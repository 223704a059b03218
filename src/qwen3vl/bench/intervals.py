"""How sure a measured figure is: 95 % intervals for shares and for ratios of sums, and for the difference of two.

Every figure of the evaluation is a sum of values over a sum of weights, one pair an item. Where each item is right or
wrong, or all are, the interval is Wilson's; elsewhere it comes from a bootstrap over the items, seeded, so that one
evaluation gives one report.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_Z = 1.959963984540054  # of the normal distribution, 95 % two-sided
_RESAMPLES = 2000
_BATCH = 2**22  # counts drawn at a time


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval, from `n` items."""

    value: float
    low: float
    high: float
    n: int


def wilson(successes: float, n: int) -> tuple[float, float]:
    """Wilson's score interval of a share: it stays within 0..1 and has a width at 0 % and 100 % too."""
    share, z2 = successes / n, _Z**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


class Resampler:
    """The resamples of one task's items, the same for all metrics and modes, so that differences are paired."""

    def __init__(self, n: int, seed: int, task: str) -> None:
        generator = np.random.default_rng([seed & 2**63 - 1, zlib.crc32(task.encode())])
        step = max(1, _BATCH // n)
        sizes = [min(step, _RESAMPLES - done) for done in range(0, _RESAMPLES, step)]
        draws = [generator.multinomial(n, np.full(n, 1 / n), size=size).astype(np.uint16) for size in sizes]
        self._counts = np.concatenate(draws)  # [resamples, n], how often each item was drawn

    def ratios(self, values: Array, weights: Array) -> Array:
        """The sum of values over that of weights in each resample, [resamples]; NaN where no weight was drawn."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self._counts @ values) / (self._counts @ weights)


def estimate(values: Array, weights: Array, ratios: Array, *, share: bool) -> Estimate:
    """The figure of some items ([n] each); `ratios` as a `Resampler` gives them.

    `share`: no value is above its weight. Then items that are all quite right, or all quite wrong, get Wilson's
    interval too: a bootstrap would never see another kind of item, and claim to be certain.
    """
    counted = weights > 0
    n, value = int(counted.sum()), float(values.sum() / weights.sum())
    whole = (values[counted] == 0) | (values[counted] == weights[counted])
    if share and whole.all() and ((weights[counted] == 1).all() or value in (0, 1)):
        return Estimate(value, *wilson(value * n, n), n)
    return Estimate(value, *spread(ratios), n)


def mean(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of independent figures. Its interval is recovered from theirs (Zou and Donner 2008): each end is as far
    off as the root of the summed squares of their own distances, over their number."""
    count = len(estimates)
    value = sum(each.value for each in estimates) / count
    below = math.sqrt(sum((each.value - each.low) ** 2 for each in estimates)) / count
    above = math.sqrt(sum((each.high - each.value) ** 2 for each in estimates)) / count
    return Estimate(value, value - below, value + above, sum(each.n for each in estimates))


@dataclass(frozen=True)
class Resampled:
    """A figure, and what it was in each resample. `share`: as in `estimate`."""

    estimate: Estimate
    ratios: Array  # [resamples]
    share: bool = False

    @classmethod
    def of(cls, parts: Sequence[tuple[float, float]], resampler: Resampler, *, share: bool) -> Resampled:
        """Of items with value and weight."""
        values, weights = np.array(parts, dtype=np.float64).T
        ratios = resampler.ratios(values, weights)
        return cls(estimate(values, weights, ratios, share=share), ratios, share)

    @classmethod
    def mean(cls, figures: Sequence[Resampled]) -> Resampled:
        """Of figures of different items, each counting the same."""
        ratios = np.mean([each.ratios for each in figures], axis=0)
        return cls(mean([each.estimate for each in figures]), ratios, all(each.share for each in figures))

    def __sub__(self, other: Resampled) -> Estimate:
        """The difference of two figures of the same items. Where none of n items tells two shares apart, it may still
        be as large as Wilson's interval for 0 of n is wide.
        """
        difference, n = self.ratios - other.ratios, self.estimate.n
        low, high = spread(difference)
        if self.share and not difference.any():
            low, high = -wilson(0, n)[1], wilson(0, n)[1]
        return Estimate(self.estimate.value - other.estimate.value, low, high, n)


def spread(ratios: Array) -> tuple[float, float]:
    """The middle 95 % of resampled figures."""
    low, high = np.nanpercentile(ratios, [2.5, 97.5])
    return float(low), float(high)
