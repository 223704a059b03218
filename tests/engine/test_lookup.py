"""Guesses from what followed the same tokens before, against a scan of all of it."""

from __future__ import annotations

import itertools
import random

import pytest

from qwen3vl.engine.lookup import KINDS, SIZES, Guess, Memory, guesses, keys_before


def remembered(limit: int, *texts: list[int]) -> Memory:
    memory = Memory(limit)
    for text in texts:
        for place in range(len(text)):
            memory.learn(keys_before(text, place), text[place])
    return memory


def scan(text: list[int], context: list[int]) -> tuple[int, int] | None:
    """What followed `context` in `text`, and how firmly, by looking at every place."""
    token, hits = None, 0
    for place in range(len(context), len(text)):
        if text[place - len(context) : place] == context:
            if text[place] == token:
                hits = min(hits + 1, 4)
            elif hits > 1:
                hits -= 1
            else:
                token, hits = text[place], 1
    return None if token is None else (token, hits)


def naive(own: list[int], others: list[int], tail: list[int]) -> tuple[int, int, int, bool] | None:
    """Token, hits, size of the context, and whether it was found in the other text."""
    for size in sorted(SIZES, reverse=True):
        for other, text in ((False, own), (True, others)):
            if size <= len(tail) and (found := scan(text, tail[-size:])) is not None:
                return *found, size, other
    return None


@pytest.mark.parametrize("seed", range(12))
def test_guesses_are_those_of_a_scan(seed: int) -> None:
    rng = random.Random(seed)
    letters = rng.choice([2, 3, 6, 40])
    others = [rng.randrange(letters) for _ in range(rng.randrange(120))]
    shared, text = remembered(10_000, others), []
    own = Memory(10_000)
    kinds: dict[int, tuple[int, int, bool]] = {}
    for place in range(150):
        tail = list(text)
        for guess in itertools.islice(guesses(own, shared, text), 6):
            token, *kind = expected = naive(text, others, tail[-8:])  # type: ignore[misc]
            assert guess.token_id == token, expected
            assert kinds.setdefault(guess.kind, tuple(kind)) == tuple(kind), "a kind stands for one thing"  # type: ignore[arg-type]
            tail.append(guess.token_id)
        else:
            assert len(tail) == len(text) + 6 or naive(text, others, tail[-8:]) is None
        # In part a copy of itself, so that long contexts come back.
        again = text[place - 20] if place > 40 and rng.random() < 0.8 else rng.randrange(letters)
        own.learn(keys_before(text, place), again)
        text.append(again)
    assert len(set(kinds.values())) == len(kinds)
    assert all(0 <= kind < KINDS for kind in kinds)


def test_a_text_that_came_before_is_told_on() -> None:
    text = list(range(100, 160))
    told = guesses(Memory(10_000), remembered(10_000, text), text[:30])
    assert [guess.token_id for guess in told] == text[30:]


def test_what_came_twice_survives_one_exception() -> None:
    memory = remembered(10_000, [1, 2, 9, 1, 2, 9, 1, 3, 9])
    assert next(guesses(memory, Memory(10), [7, 1])).token_id == 2
    memory = remembered(10_000, [1, 2, 9, 1, 2, 9, 1, 3, 9, 1, 3])
    assert next(guesses(memory, Memory(10), [7, 1])).token_id == 3


def test_the_oldest_is_forgotten_and_memory_is_bounded() -> None:
    rng = random.Random(0)
    text = [rng.randrange(10**6) for _ in range(5000)]
    limit = 400
    memory = remembered(limit, text)
    assert len(memory) < 2 * limit + len(SIZES)
    assert next(guesses(memory, Memory(limit), text[-20:-10]), None) == Guess(text[-10], 0)
    assert next(guesses(memory, Memory(limit), text[:10]), None) is None


def test_nothing_is_known_at_the_start() -> None:
    assert next(guesses(Memory(10), Memory(10), []), None) is None
    assert next(guesses(remembered(10, [5]), Memory(10), [5]), None) is None
