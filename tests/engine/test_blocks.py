from __future__ import annotations

import random

import pytest

from qwen3vl.engine.blocks import BlockPool


def test_a_freed_block_can_be_found_until_space_is_needed() -> None:
    pool = BlockPool(3)
    first, second = pool.allocate(), pool.allocate()
    pool.register(first, b"a")
    pool.register(second, b"b")
    pool.release(first)
    pool.release(second)
    assert pool.find(b"a") == first
    pool.allocate()  # the block that never held anything goes first: it was free the longest
    assert pool.find(b"a") == first
    pool.allocate()
    assert pool.find(b"a") is None, "the one freed longest ago gives way"
    assert pool.find(b"b") == second


def test_a_block_taken_again_is_not_given_away() -> None:
    pool = BlockPool(1)
    block = pool.allocate()
    pool.register(block, b"a")
    pool.release(block)
    pool.take(block)
    assert pool.num_free == 0
    pool.check({block: 1})


def test_one_key_leads_to_one_block() -> None:
    pool = BlockPool(2)
    first, second = pool.allocate(), pool.allocate()
    pool.register(first, b"a")
    pool.register(second, b"a")
    assert pool.find(b"a") == first
    pool.check({first: 1, second: 1})


def test_the_check_sees_what_is_wrong() -> None:
    pool = BlockPool(2)
    block = pool.allocate()
    with pytest.raises(AssertionError, match="wrong reference count"):
        pool.check({})
    pool.release(block)
    with pytest.raises(AssertionError, match="once too often"):
        pool.release(block)


def test_random_use_keeps_the_books() -> None:
    rng, pool, held = random.Random(0), BlockPool(12), dict[int, int]()
    for step in range(3000):
        action = rng.random()
        if action < 0.4 and pool.num_free:
            block = pool.allocate()
            held[block] = 1
            if rng.random() < 0.7:
                pool.register(block, bytes([rng.randrange(20)]))
        elif action < 0.6 and (found := pool.find(bytes([rng.randrange(20)]))) is not None:
            pool.take(found)
            held[found] = held.get(found, 0) + 1
        elif held:
            block = rng.choice(sorted(held))
            pool.release(block)
            held[block] -= 1
            if not held[block]:
                del held[block]
        pool.check(held)
        assert pool.num_free == 12 - len(held), step
