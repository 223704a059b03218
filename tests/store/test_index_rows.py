"""Indexes of videos as they are kept: once for the same video and settings, whole again after each step."""

from __future__ import annotations

import pytest

from qwen3vl.errors import InputError, StoreError
from qwen3vl.store import Store
from support.stores import add_media

SETTINGS = {"fps": 1.0, "focus": "a cat"}


def test_what_is_kept_comes_back(store: Store) -> None:
    index = store.indexes.open("", add_media(store), name="a.mp4", settings=SETTINGS)
    assert (index.state, index.chapters, store.indexes.segments(index.id)) == ("working", None, [])
    store.indexes.cut(index.id, [(0, 1.5), (1.5, 3)])
    store.indexes.describe(index.id, 1, summary="nul \0", events=[{"start": 1.5}])
    first, second = store.indexes.segments(index.id)
    assert (first.end, first.summary, first.events) == (1.5, None, None)
    assert (second.summary, second.events) == ("nul \ufffd", [{"start": 1.5}])
    assert store.indexes.set_state(index.id, "failed", "why").error == "why"
    store.indexes.finish(index.id, [{"title": "one"}])
    done = store.indexes.get(index.id, "")
    assert done is not None
    assert (done.state, done.error, done.chapters, done.settings) == ("done", "", [{"title": "one"}], SETTINGS)


def test_the_same_is_one_and_others_are_not(store: Store) -> None:
    media, other = add_media(store), add_media(store, b"other")
    first = store.indexes.open("", media, name="a", settings=SETTINGS)
    assert store.indexes.open("", media, name="b", settings=dict(reversed(SETTINGS.items()))) == first
    others = [("x", media, SETTINGS), ("", other, SETTINGS), ("", media, {**SETTINGS, "fps": 2.0})]
    ids = {store.indexes.open(owner, sha, name="a", settings=settings).id for owner, sha, settings in others}
    assert len(ids | {first.id}) == 4
    assert store.indexes.get(first.id, "x") is None
    assert [index.owner for index in store.indexes.list("x")] == ["x"]


def test_what_is_working_is_found_after_a_restart(store: Store) -> None:
    media = add_media(store)
    kept = [store.indexes.open("", media, name="a", settings={"n": n}) for n in range(3)]
    store.indexes.set_state(kept[1].id, "paused")
    assert [index.id for index in store.indexes.working()] == [kept[0].id, kept[2].id]


def test_the_video_stays_as_long_as_its_index(store: Store) -> None:
    media = add_media(store)
    index = store.indexes.open("", media, name="a", settings={})
    store.indexes.cut(index.id, [(0, 1)])
    store.media.sweep(grace=-1)
    assert store.media.get(media) is not None
    store.indexes.delete(index.id)
    assert (store.indexes.get(index.id, ""), store.indexes.segments(index.id)) == (None, [])
    store.media.sweep(grace=-1)
    assert store.media.get(media) is None


def test_refusals(store: Store) -> None:
    with pytest.raises(InputError, match="no media"):
        store.indexes.open("", "0" * 64, name="a", settings={})
    with pytest.raises(InputError, match="NUL"):
        store.indexes.open("", add_media(store), name="a", settings={"focus": "\0"})
    for change in (
        lambda: store.indexes.cut("gone", [(0, 1)]),
        lambda: store.indexes.describe("gone", 0, summary="", events=[]),
        lambda: store.indexes.finish("gone", []),
        lambda: store.indexes.set_state("gone", "paused"),
    ):
        with pytest.raises(StoreError, match="no longer there"):
            change()
