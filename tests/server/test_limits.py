from __future__ import annotations

import pytest

from qwen3vl.errors import InputError
from qwen3vl.server.errors import ApiError
from qwen3vl.server.limits import Gate, RateLimiter, parse_rate


@pytest.mark.parametrize(("text", "rate"), [("60/min", 60), ("2/s", 120), ("600 / hour", 10), ("1/M", 1)])
def test_rates(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "60", "60/day", "0/min", "-1/min", "59/hour", "1.5/min", "60/min/min"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(InputError, match="60/min"):
        parse_rate(text)


def test_a_bucket_holds_a_minute_and_fills_again() -> None:
    now = [0.0]
    limiter = RateLimiter(clock=lambda: now[0])
    for _ in range(6):
        limiter.take("a", 6)
    with pytest.raises(ApiError) as caught:
        limiter.take("a", 6)
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "10")
    limiter.take("b", 6)  # another caller has a bucket of its own
    now[0] += 9.9
    with pytest.raises(ApiError):
        limiter.take("a", 6)
    now[0] += 0.2
    limiter.take("a", 6)
    with pytest.raises(ApiError):
        limiter.take("a", 6)
    now[0] += 3600  # not more than a minute's worth is saved up
    for _ in range(6):
        limiter.take("a", 6)
    with pytest.raises(ApiError):
        limiter.take("a", 6)


def test_the_gate_counts_who_waits() -> None:
    gate = Gate(2)
    gate.enter()
    gate.enter()
    with pytest.raises(ApiError) as caught:
        gate.enter()
    assert (caught.value.status, caught.value.code) == (429, "queue_full")
    assert int(caught.value.headers["Retry-After"]) >= 1
    gate.leave(3.0)
    gate.enter()
    assert gate.waiting == 2
