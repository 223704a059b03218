"""Drafts are made only where they pay: what steps cost, as measured, and how much is drafted for that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig
from qwen3vl.engine.costs import StepCosts
from support.engines import FixedCosts
from support.inputs import user
from support.tiny import make_checkpoint

QUESTION = [user("a b c " * 12)]


@pytest.fixture(params=["dense", "moe"])
def engine(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Engine]:
    """New for each test: it learns what steps cost."""
    make_checkpoint(tmp_path, moe=request.param == "moe", seed=3)
    config = EngineConfig(num_blocks=300, block_size=4)
    with Engine.load(tmp_path, device="cpu", dtype="float32", speculation="auto", config=config) as engine:
        yield engine


def test_costs_between_and_beyond_what_was_measured() -> None:
    costs = StepCosts()
    assert costs.seconds(1, 0) is costs.seconds(1, 4) is None
    costs.note(1, 4, 2.0)
    assert costs.seconds(1, 4) is None, "not before a step without drafts was measured"
    for seconds in (1.0, 1.0, 90.0):
        costs.note(1, 0, seconds)
    assert (costs.seconds(1, 0), costs.seconds(1, 2), costs.seconds(1, 4)) == (1.0, 1.5, 2.0)
    assert costs.seconds(1, 8) == pytest.approx(2.16)
    assert costs.seconds(2, 0) is None
    for _ in range(20):
        costs.note(1, 4, 5.0)
    assert costs.seconds(1, 4) == 5.0, "what was long ago does not count"


class Measured(StepCosts):
    """A step of `sequences` rows takes a second, and each further row `each`."""

    def __init__(self, each: float) -> None:
        super().__init__()
        self.each = each

    def seconds(self, sequences: int, added: int) -> float | None:
        return 1.0 + self.each * added


@pytest.mark.parametrize(
    ("each", "likelihoods", "lengths"),
    [
        (0.1, [[0.9, 0.8, 0.7]], [3]),
        (0.1, [[0.9, 0.8, 0.11, 0.1]], [2]),  # 2.7 / 1.2 a second; the next would bring it to 2.81 / 1.3
        (0.95, [[0.9, 0.8]], [0]),
        (0.0, [[0.01]], [0]),  # not worth it
        (0.3, [[0.9, 0.2], [0.95, 0.9], []], [0, 0, 0]),  # 3.95 / 1.3 is not more than 3 a second by much...
        (0.2, [[0.9, 0.2], [0.95, 0.9], []], [1, 2, 0]),
    ],
)
def test_as_much_is_drafted_as_pays(
    engine: Engine,
    each: float,
    likelihoods: list[list[float]],
    lengths: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speculation = engine._core.speculation
    assert speculation is not None
    monkeypatch.setattr(speculation, "costs", Measured(each))
    chosen, speed = speculation._choose(likelihoods)
    assert chosen == lengths
    rate = (len(likelihoods) + sum(sum(of[:n]) for of, n in zip(likelihoods, chosen, strict=True))) / (
        1 + each * sum(chosen)
    )
    assert speed == pytest.approx(rate if any(chosen) else len(likelihoods) * 1.02)


def test_what_is_too_dear_is_only_looked_at_now_and_then(engine: Engine) -> None:
    """Rows that cost as much as a step are not drafted but for a look; when they become cheap, that is noticed."""
    speculation = engine._core.speculation
    assert speculation is not None
    options = {"temperature": 0.0, "max_tokens": 400, "ignore_eos": True}
    speculation.costs = Measured(2.0)
    dear = engine.generate(QUESTION, **options).usage
    assert 0 < dear.draft_tokens <= 8 * (400 // 64 + 1)
    speculation.costs = Measured(0.0)
    cheap = engine.generate(QUESTION, **options).usage
    assert cheap.draft_tokens > 100


def test_steps_are_measured_by_what_was_in_them(engine: Engine) -> None:
    engine.generate(QUESTION, temperature=0.0, max_tokens=300, ignore_eos=True)
    speculation = engine._core.speculation
    assert speculation is not None
    seconds = speculation.costs.seconds(1, 0)
    assert seconds is not None
    assert 0 < seconds < 10
    assert speculation.costs.seconds(2, 0) is None
    assert not speculation._followers, "nothing of a sequence stays but what it taught"


def test_fixed_costs_do_not_learn() -> None:
    """Of the tests' own helper: what a draft is decided by does not depend on the clock."""
    costs = FixedCosts(1.0)
    costs.note(1, 0, 50.0)
    assert costs.seconds(1, 0) == 1.0
