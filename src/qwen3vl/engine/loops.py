"""Notices an answer that only repeats itself, token for token, as models do on long tables and scans.

Knows token ids, no text. A repetition penalty would prevent the loop and ruin the honest repetition beside it.
"""

from __future__ import annotations

from array import array

LONGEST_PERIOD = 2048  # tokens
_EVIDENCE = 1024  # tokens that repeat, or four copies of a long period, or so many of a very short one:
_COPIES = 4
_SHORT_COPIES = 256
_EVERY = 64  # tokens between two looks
_PROBE = 16  # tokens that must agree before more is compared


def repeated_tokens(period: int) -> int:
    """How many tokens must equal those one period earlier before that counts as a loop.

    An honest table may have twenty rows of empty cells and a rule a hundred dashes; no honest text has 1,024 tokens
    without a new one. One, two or three tokens in turn are a loop after 256 times.
    """
    return min(period * _SHORT_COPIES, max(_EVIDENCE, period * _COPIES))


_REACH = repeated_tokens(LONGEST_PERIOD) + LONGEST_PERIOD  # tokens that are kept; a multiple of _EVERY


class LoopDetector:
    """Takes an answer's tokens one by one. Work and memory for each are bounded, however long the answer."""

    def __init__(self) -> None:
        self._tokens = array("i")

    def add(self, token_id: int) -> bool:
        """Whether the answer, with this token, ends in a loop. Looked at every 64 tokens."""
        self._tokens.append(token_id)
        return len(self._tokens) % _EVERY == 0 and self._period() is not None

    def _period(self) -> int | None:
        """The shortest period in which the tail repeats for long enough."""
        if len(self._tokens) > 2 * _REACH:
            del self._tokens[:-_REACH]
        width = self._tokens.itemsize
        tail = self._tokens[-_REACH:].tobytes()
        probe = tail[-_PROBE * width :]
        place = len(tail) - len(probe)
        while True:
            place = tail.rfind(probe, 0, place + len(probe) - 1)
            if place < 0:
                return None
            period, odd = divmod(len(tail) - len(probe) - place, width)
            if period > LONGEST_PERIOD:
                return None
            length = repeated_tokens(period) * width
            if not odd and length + period * width <= len(tail) and _repeats(tail, length, period * width):
                return period


def _repeats(tail: bytes, length: int, shift: int) -> bool:
    return tail[-length:] == tail[-length - shift : -shift]
