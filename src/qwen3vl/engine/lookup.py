"""Guesses at what comes next, from what followed the same tokens before: in the prompt, in the answer so far, in
answers that the engine gave to others.

Knows token ids; no model, no text. A memory holds hashes of short contexts, each with one token, and forgets the
oldest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

SIZES = (8, 4, 2, 1)  # tokens of context that a guess may rest on, the best first
_MOST_HITS = 4
KINDS = len(SIZES) * _MOST_HITS * 2  # of guesses: by the size of their context, how often it held, and whose it was

Keys = tuple[
    int, ...
]  # of the contexts that end at one place, as SIZES; without those that would begin before the text


class Guess(NamedTuple):
    token_id: int
    kind: int  # guesses of one kind come true about equally often


class Memory:
    """Context -> the token that followed it most lately, and how often in a row (4 at most). A token that came n times
    stays through n - 1 exceptions.

    Takes one entry for each size of context and token, some 2 x `limit` at most: when `limit` are new, those before are
    dropped.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._new: dict[int, int] = {}  # key -> token * 8 + hits: numbers are smaller than pairs
        self._old: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def find(self, key: int) -> tuple[int, int] | None:
        """The token, and its hits."""
        found = self._new.get(key) or self._old.get(key)
        return divmod(found, 8) if found else None

    def learn(self, keys: Keys, token_id: int) -> None:
        """Notes that `token_id` followed the contexts of `keys`."""
        for key in keys:
            known, hits = self.find(key) or (token_id, 0)
            if known == token_id:
                self._new[key] = 8 * known + min(hits + 1, _MOST_HITS)
            else:
                self._new[key] = 8 * known + hits - 1 if hits > 1 else 8 * token_id + 1
        if len(self._new) >= self._limit:
            self._old, self._new = self._new, {}


def keys_before(token_ids: Sequence[int], place: int) -> Keys:
    """Keys of the contexts that end before `place`, the longest first."""
    return tuple([hash(tuple(token_ids[place - size : place])) for size in SIZES if size <= place])


def guesses(own: Memory, shared: Memory, token_ids: Sequence[int]) -> Iterator[Guess]:
    """What may follow, token by token, each guess under the assumption that those before it are right. The longest
    context that is known decides; of two that are as long, the sequence's own.
    """
    tail = list(token_ids[-SIZES[0] :])
    while (guess := _guess(own, shared, keys_before(tail, len(tail)))) is not None:
        yield guess
        tail = [*tail[1 - SIZES[0] :], guess.token_id]


def _guess(own: Memory, shared: Memory, keys: Keys) -> Guess | None:
    for number, key in enumerate(keys, len(SIZES) - len(keys)):
        for whose, memory in enumerate((own, shared)):
            if (found := memory.find(key)) is not None:
                token_id, hits = found
                return Guess(token_id, (number * _MOST_HITS + hits - 1) * 2 + whose)
    return None
