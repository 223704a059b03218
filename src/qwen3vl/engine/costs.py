"""What a step costs, as it was measured: whether several rows of one sequence are worth their time."""

from __future__ import annotations

from collections import deque
from statistics import median


class StepCosts:
    """How long a step takes, by how many sequences decode in it and how many rows their drafts add. Medians of the
    latest, so that a step in which the machine was busy elsewhere does not decide.
    """

    def __init__(self) -> None:
        self._latest: dict[tuple[int, int], deque[float]] = {}
        self._typical: dict[int, dict[int, float]] = {}  # sequences -> rows added -> seconds

    def note(self, sequences: int, added: int, seconds: float) -> None:
        size, added = _rounded(sequences), _rounded(added)
        latest = self._latest.setdefault((size, added), deque(maxlen=9))
        latest.append(seconds)
        self._typical.setdefault(size, {})[added] = median(latest)

    def seconds(self, sequences: int, added: int) -> float | None:
        """None before a step without drafts was measured. What lies between two measured numbers of rows is on the line
        between them; what lies beyond is taken to cost little, so that it will be measured.
        """
        known = self._typical.get(_rounded(sequences), {})
        if 0 not in known:
            return None
        added = _rounded(added)
        if added in known:
            return known[added]
        below = max(each for each in known if each < added)
        above = min((each for each in known if each > added), default=None)
        if above is None:
            return known[below] + 0.04 * known[0] * (added - below)
        return known[below] + (known[above] - known[below]) * (added - below) / (above - below)


def _rounded(count: int) -> int:
    """Up to 8 as it is, above up to a power of two."""
    return count if count <= 8 else 1 << (count - 1).bit_length()
