from __future__ import annotations

import torch

from qwen3vl.engine.features import FeatureCache

SIZE = 40  # bytes of what `features` makes


def features(value: float = 0.0) -> torch.Tensor:
    return torch.full((2, 5), value)


def holds(cache: FeatureCache, key: bytes) -> bool:
    return cache.get(key) is not None


def test_gives_back_what_was_kept_and_counts() -> None:
    cache = FeatureCache(3 * SIZE)
    kept = features(1.5)
    cache.put(b"a", kept)
    assert cache.get(b"a") is kept
    assert cache.get(b"b") is None
    assert (cache.hits, cache.misses) == (1, 1)


def test_the_least_recently_used_goes_first() -> None:
    cache = FeatureCache(3 * SIZE)
    for key in (b"a", b"b", b"c"):
        cache.put(key, features())
    assert holds(cache, b"a")  # the oldest, but used a moment ago
    cache.put(b"d", features())
    assert not holds(cache, b"b")
    assert all(holds(cache, key) for key in (b"a", b"c", b"d"))


def test_a_large_one_drops_as_many_as_it_needs() -> None:
    cache = FeatureCache(3 * SIZE)
    for key in (b"a", b"b", b"c"):
        cache.put(key, features())
    cache.put(b"large", torch.zeros(2, 10))
    assert [holds(cache, key) for key in (b"a", b"b", b"c", b"large")] == [False, False, True, True]
    assert cache.num_bytes == 3 * SIZE
    cache.check()


def test_one_larger_than_the_cache_is_not_kept_and_drops_nothing() -> None:
    cache = FeatureCache(3 * SIZE)
    cache.put(b"a", features())
    cache.put(b"huge", torch.zeros(3 * SIZE // 4 + 1))
    assert not holds(cache, b"huge")
    assert holds(cache, b"a")
    cache.put(b"whole", torch.zeros(3 * SIZE // 4))
    assert holds(cache, b"whole"), "what fits exactly is kept"
    assert cache.num_bytes == 3 * SIZE


def test_without_room_nothing_is_kept() -> None:
    cache = FeatureCache(0)
    cache.put(b"a", features())
    assert not holds(cache, b"a")
    assert cache.num_bytes == 0


def test_bytes_are_those_of_what_is_held() -> None:
    cache = FeatureCache(10 * SIZE)
    cache.put(b"a", features())
    cache.put(b"a", features())  # the same picture, encoded by two steps
    assert cache.num_bytes == SIZE
    cache.put(b"half", features().half())
    assert cache.num_bytes == SIZE + SIZE // 2
    cache.check()


def test_clear_forgets_all_and_starts_anew() -> None:
    cache = FeatureCache(2 * SIZE)
    for key in (b"a", b"b"):
        cache.put(key, features())
    cache.clear()
    assert cache.num_bytes == 0
    assert not holds(cache, b"a")
    for key in (b"c", b"d"):
        cache.put(key, features())
    assert holds(cache, b"c"), "the room of what was forgotten is free again"
    cache.check()
