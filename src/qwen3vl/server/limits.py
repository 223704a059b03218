"""How much may be asked for at once and in a minute: a bound on waiting requests, and a token bucket a caller."""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable

from qwen3vl.errors import InputError
from qwen3vl.server.errors import ApiError

_RATE = re.compile(r"(\d{1,9})\s*/\s*(s|sec|second|m|min|minute|h|hour)", re.IGNORECASE)
_PER_MINUTE = {"s": 60.0, "m": 1.0, "h": 1 / 60}
_CALLERS = 10_000  # remembered; who is forgotten begins with a full bucket


def parse_rate(text: str) -> int:
    """Requests a minute from "60/min", "2/s" or "600/hour". Raises `InputError`."""
    match = _RATE.fullmatch(text.strip())
    rate = int(match[1]) * _PER_MINUTE[match[2][0].lower()] if match else 0.0
    if rate < 1:
        raise InputError(f"a rate looks like 60/min, 2/s or 600/hour and is at least 1/min, got {text!r}")
    return int(rate)


class RateLimiter:
    """Token buckets: a minute's worth of requests may come at once, then as many as the rate allows."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when there were so many

    def take(self, caller: str, per_minute: int) -> None:
        """Counts one request of `caller`. Raises `ApiError` 429 that says when to come again."""
        now = self._clock()
        tokens, then = self._buckets.pop(caller, (float(per_minute), now))
        tokens = min(float(per_minute), tokens + (now - then) * per_minute / 60)
        self._buckets[caller] = (tokens - 1 if tokens >= 1 else tokens, now)
        if len(self._buckets) > _CALLERS:
            self._buckets.popitem(last=False)
        if tokens < 1:
            wait = math.ceil((1 - tokens) * 60 / per_minute)
            message = f"more than {per_minute} requests a minute; try again in {wait} seconds"
            raise ApiError(429, message, code="rate_limit_exceeded", retry_after=wait)


class Gate:
    """Bounds how many requests wait for their first token."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._recent = 1.0  # seconds that requests have lately waited
        self.waiting = 0

    def enter(self) -> None:
        """Raises `ApiError` 429 when too many wait already. Whoever enters must leave."""
        if self.waiting >= self._most:
            wait = max(1, math.ceil(self._recent))
            message = f"{self.waiting} requests wait already; try again in {wait} seconds"
            raise ApiError(429, message, code="queue_full", retry_after=wait)
        self.waiting += 1

    def leave(self, seconds: float) -> None:
        self.waiting -= 1
        self._recent += (seconds - self._recent) / 8
