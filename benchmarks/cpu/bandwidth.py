"""The floor: how fast this machine reads memory that is in no cache. A decode step cannot be faster than reading its
bytes once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

_BYTES = 2**29  # far more than caches hold
_REPEATS = 5


class ReadSpeed:
    """Reads through torch, whose threads must have been set. Several reductions, as no one is the fastest on every
    machine.
    """

    def __init__(self) -> None:
        floats = torch.rand(_BYTES // 4)
        words = floats.view(torch.int32)
        self._ways: list[Callable[[], torch.Tensor]] = [
            floats.sum,
            floats.max,
            words.max,
            lambda: torch.dot(floats, floats),
        ]

    def measure(self) -> float:
        """Bytes a second of the fastest way, the median of a few tries."""
        return _BYTES / min(statistics.median(_seconds(way) for _ in range(_REPEATS)) for way in self._ways)


def _seconds(way: Callable[[], torch.Tensor]) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start
