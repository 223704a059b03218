from __future__ import annotations

import pytest

from benchmarks.cpu.figures import Spread, ratios
from benchmarks.cpu.measures import Decode, Prefill, Samples
from benchmarks.cpu.protocol import Loaded, RunnerFailed, Timing
from benchmarks.cpu.quiet import Patience
from benchmarks.cpu.report import rows, table
from benchmarks.cpu.shapes import Shape, Weights


class Scripted:
    """A runner that takes so many seconds for everything, or fails after so many calls."""

    def __init__(self, seconds: float, calls: int = 1000) -> None:
        self.seconds, self.calls = seconds, calls

    def prefill(self, tokens: int) -> Timing:
        return self._take()

    def decode(self, sequences: int, context: int, tokens: int) -> Timing:
        return self._take()

    def _take(self) -> Timing:
        self.calls -= 1
        if self.calls < 0:
            raise RunnerFailed("it ran out")
        return Timing(self.seconds, cores=2.0)


def run(runners: dict[str, Scripted], measures: list[Prefill | Decode], rounds: int) -> tuple[Samples, list[str]]:
    samples, said = Samples(), []
    for name in runners:
        samples.loaded[name] = Loaded(name, {}, Weights(always=10**9, expert=0, position=0))
    for _ in range(rounds):
        samples.take(runners, measures, patience=Patience(0, 1), say=said.append)  # type: ignore[arg-type]
    return samples, said


def test_the_spread_is_robust_to_one_slow_round() -> None:
    assert Spread.of([10.0, 11.0, 2.0, 10.5, 9.5]) == Spread(10.0, 2.0, 11.0)
    assert Spread(1234.56, 1.0, 2000.0).text(1) == "1,234.6 (1.0 to 2,000.0)"


def test_ratios_are_of_the_same_round() -> None:
    # The machine was half as fast in the second round: both were twice as slow, and the ratio is what it was.
    assert ratios([20.0, 10.0, 22.0], [10.0, 5.0, 10.0]) == Spread(2.0, 2.0, 2.2)
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_runners_take_turns_within_each_measure() -> None:
    _, said = run({"a": Scripted(1), "b": Scripted(2)}, [Prefill(8), Decode(2, 0, 4)], rounds=2)
    order = [line.split(":")[0] for line in said]
    assert order == ["a, prefill 8", "b, prefill 8", "a, decode, batch 2", "b, decode, batch 2"] * 2


def test_a_runner_that_fails_is_left_out_and_the_other_goes_on() -> None:
    samples, _ = run({"a": Scripted(1, calls=3), "b": Scripted(2)}, [Prefill(8), Decode(2, 0, 4)], rounds=3)
    assert samples.left_out == {"a": "it ran out"}
    found = rows(samples, [Prefill(8), Decode(2, 0, 4)], Shape("2b"), 1e9)
    assert [row["peer"] for row in found] == ["b", "b"]


def test_rows_count_tokens_bytes_and_the_share_of_the_floor() -> None:
    measures = [Prefill(8), Decode(4, 0, 5)]
    samples, _ = run({"a": Scripted(0.5), "b": Scripted(1.0)}, measures, rounds=3)
    prefill_a, prefill_b, decode_a, decode_b = rows(samples, measures, Shape("2b"), read_speed=20e9)
    assert prefill_a["tokens_per_second"]["median"] == 16
    assert "share_of_floor" not in prefill_a
    assert prefill_b["first_peer_is_faster_by"]["median"] == 2
    # 5 steps of 1 GB in half a second, for 20 tokens.
    assert decode_a["tokens_per_second"]["rounds"] == [40, 40, 40]
    assert decode_a["bytes_per_token"] == pytest.approx(0.25e9)
    assert decode_a["bytes_per_second"] == pytest.approx(10e9)
    assert decode_a["share_of_floor"] == pytest.approx(0.5)
    assert decode_b["share_of_floor"] == pytest.approx(0.25)
    assert decode_a["cores"] == 2
    assert "50%" in table([decode_a])
