"""What was read on pages: kept by document, page and model, for as long as the document is wanted."""

from __future__ import annotations

from qwen3vl.store import Store
from support.stores import add_media

OTHER = "f" * 64


def test_what_is_kept_comes_back(store: Store) -> None:
    for sha256, page, model, text in (
        (OTHER, 1, "a", "one"),
        (OTHER, 7, "a", "nul \0"),
        (OTHER, 1, "b", "by another"),
        ("e" * 64, 1, "a", "elsewhere"),
    ):
        store.page_texts.keep(sha256, page, model, text)
    assert store.page_texts.of(OTHER, "a") == {1: "one", 7: "nul \ufffd"}
    store.page_texts.keep(OTHER, 1, "a", "better")
    assert store.page_texts.of(OTHER, "a")[1] == "better"
    assert store.page_texts.of(OTHER, "c") == {}


def test_it_goes_with_its_document(store: Store) -> None:
    media = add_media(store)
    for sha256 in (media, OTHER):
        store.page_texts.keep(sha256, 1, "a", "text")
    store.page_texts.sweep()
    assert store.page_texts.of(OTHER, "a"), "it was asked about a moment ago"
    store.page_texts.sweep(grace=-1)
    assert (store.page_texts.of(OTHER, "a"), store.page_texts.of(media, "a")) == ({}, {1: "text"})
    store.media.sweep(grace=-1)
    store.page_texts.sweep(grace=-1)
    assert store.page_texts.of(media, "a") == {}
