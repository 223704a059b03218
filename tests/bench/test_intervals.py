"""Intervals against their published formulas, a table, and how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qwen3vl.bench.intervals import Estimate, Resampled, Resampler, estimate, mean, spread, wilson


def estimated(
    values: list[float], weights: list[float] | None = None, seed: int = 0
) -> tuple[float, float, float, int]:
    v, w = np.array(values, dtype=float), np.array(weights or [1.0] * len(values), dtype=float)
    result = estimate(v, w, Resampler(len(v), seed, "t").ratios(v, w), share=bool((v <= w).all()))
    return result.value, result.low, result.high, result.n


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_wilson_of_the_published_examples(successes: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, table I, method 3."""
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_solves_its_equation() -> None:
    """The ends are the shares from which the measured one is 1.96 standard errors away."""
    for successes, n in ((3, 10), (150, 300), (299, 300)):
        for end in wilson(successes, n):
            assert abs(successes / n - end) / math.sqrt(end * (1 - end) / n) == pytest.approx(1.96, abs=1e-3)


def test_right_or_wrong_gets_wilsons() -> None:
    assert estimated([1, 1, 0, 1]) == (0.75, *wilson(3, 4), 4)
    assert estimated([1, 1, 1]) == (1.0, *wilson(3, 3), 3)


def test_items_without_weight_do_not_count() -> None:
    assert estimated([1, 0, 0, 1], [1, 0, 1, 1]) == (2 / 3, *wilson(2, 3), 3)


def test_nothing_measured_is_certain() -> None:
    """A bootstrap of items that are all right would never find a wrong one."""
    assert estimated([3, 5, 2], [3, 5, 2]) == (1.0, *wilson(3, 3), 3)
    assert estimated([0, 0, 0], [3, 5, 2]) == (0.0, *wilson(0, 3), 3)


def test_mean_of_figures() -> None:
    """Against simulation: two shares from samples of different size."""
    rng = np.random.default_rng(6)
    held = 0
    for _ in range(400):
        figures = []
        for share, n in ((0.95, 60), (0.6, 200)):
            hits = int(rng.binomial(n, share))
            figures.append(Estimate(hits / n, *wilson(hits, n), n))
        both = mean(figures)
        assert both.value == pytest.approx((figures[0].value + figures[1].value) / 2)
        assert both.high - both.low < max(each.high - each.low for each in figures)
        held += both.low <= 0.775 <= both.high
    assert both.n == 260
    assert 0.92 <= held / 400 <= 0.98


def test_bootstrap_agrees_with_the_normal_approximation() -> None:
    """For a mean of many items, 1.96 standard errors to each side; for a ratio, the same by the delta method."""
    rng = np.random.default_rng(3)
    values, weights = rng.gamma(2.0, 1.0, 800), rng.integers(1, 9, 800).astype(float)
    value, low, high, _ = estimated(values.tolist())
    error = 1.96 * values.std() / math.sqrt(800)
    assert (low, high) == pytest.approx((value - error, value + error), abs=0.15 * error)
    ratio, low, high, _ = estimated((values * weights).tolist(), weights.tolist())
    error = 1.96 * np.std(values * weights - ratio * weights) / weights.mean() / math.sqrt(800)
    assert (low, high) == pytest.approx((ratio - error, ratio + error), abs=0.15 * error)


def test_bootstrap_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(150):
        values = rng.exponential(1.0, 120)
        _, low, high, _ = estimated(values.tolist())
        held += low <= 1.0 <= high
    assert 0.88 <= held / 150 <= 0.99


def test_seeded_and_paired() -> None:
    values = np.random.default_rng(5).random(50)
    ones = np.ones(50)
    first, again = Resampler(50, 7, "a").ratios(values, ones), Resampler(50, 7, "a").ratios(values, ones)
    assert (first == again).all()
    assert (first != Resampler(50, 8, "a").ratios(values, ones)).any()
    assert (first != Resampler(50, 7, "b").ratios(values, ones)).any()
    shifted = Resampler(50, 7, "a").ratios(values + 0.01, ones)
    assert spread(shifted - first) == pytest.approx((0.01, 0.01))  # far narrower than either


def test_differences_are_paired() -> None:
    """One question of 50 tells two models apart: the interval of the difference is that of a share of 1/50, and where
    none does, as wide as that of no success in 50; a likelihood that is the same has no width."""
    right = [float(number % 3 > 0) for number in range(50)]
    worse = [right[0], 0.0, *right[2:]]
    resampler = Resampler(50, 3, "a")

    def figure(values: list[float], *, share: bool = True) -> Resampled:
        return Resampled.of([(value, 1.0) for value in values], resampler, share=share)

    lost = figure(right) - figure(worse)
    assert lost.value == pytest.approx(0.02)
    assert (lost.low, lost.high) == (0, pytest.approx(0.06))  # a Poisson number of about 1: 97.5 % are up to 3
    same = figure(right) - figure(right)
    assert (same.value, same.low, same.high, same.n) == (0, -wilson(0, 50)[1], wilson(0, 50)[1], 50)
    likelihood = figure(right, share=False) - figure(right, share=False)
    assert (likelihood.low, likelihood.high) == (0, 0)
    both = [Resampled.mean([figure(right), figure(worse)]) for _ in range(2)]
    assert (both[0] - both[1]).high == wilson(0, 100)[1]  # none of a hundred
