"""Pieces that workers make arrive whole, and each number is made once, by whom and in what order it may be."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from qwen3vl.drawn.sample import Sample, Split
from support.tiny_training import SUPPLIES, draw, vocabulary
from training import feed as feeding
from training.batches import Piece
from training.feed import MOST_FAILURES, OrderedFeed, WorkerFeed, batch_of, piece_maker, pieces_of, supply_of
from training.mixture import PieceKind

CPU = torch.device("cpu")
MAKE = piece_maker(draw, "7", "train", SUPPLIES, vocabulary())
SIZE = pieces_of(SUPPLIES)


def test_numbers_of_a_batch_are_its_supplies_in_order() -> None:
    assert [supply_of(SUPPLIES, number).kind for number in range(2 * SIZE)] == ["picture", "picture", "video"] * 2


def test_ordered_batches_are_those_of_their_numbers() -> None:
    feed = OrderedFeed(MAKE, SUPPLIES, 0, CPU)
    feed.batch()
    second = feed.batch()
    assert feed.next_piece == 2 * SIZE
    again = batch_of([MAKE(SIZE + i) for i in range(SIZE)], SUPPLIES, CPU)
    assert torch.equal(second.token_ids, again.token_ids)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(second.patches, again.patches, strict=True))


def test_workers_make_what_the_numbers_say() -> None:
    """Every piece of every batch is one of those that this process makes of the same numbers."""
    first = 4 * SIZE
    feed = WorkerFeed(MAKE, SUPPLIES, first, CPU, workers=2, slots=2)
    try:
        batches = [feed.batch() for _ in range(3)]
        reached = feed.next_piece
    finally:
        feed.close()
    assert not any(worker.is_alive() for worker in feed._workers)
    assert feed.used == 3 * SIZE
    assert 0 < feed.fresh <= feed.used
    assert reached % SIZE == 0
    assert reached > first
    made = [MAKE(number) for number in range(first, reached)]
    rows = {piece.arrays["token_ids"].tobytes() for piece in made}
    tokens = SUPPLIES[0].budget.tokens
    for batch in batches:
        for row in batch.token_ids.view(-1, tokens):
            assert row.numpy().astype(np.int16).tobytes() in rows


def numbered(number: int) -> Piece:
    """A piece that says its number, and takes a while."""
    time.sleep(0.01)
    shapes = supply_of(SUPPLIES, number).budget.shapes()
    return Piece({name: np.full(shape, number % 251, dtype) for name, (shape, dtype) in shapes.items()}, ())


def test_no_piece_comes_twice_while_there_are_new_ones() -> None:
    """Neither because two workers made it nor because the ring gave it again."""
    supplies = tuple(replace(supply, kept=6) for supply in SUPPLIES)
    feed = WorkerFeed(numbered, supplies, 0, CPU, workers=2, slots=4)
    seen: list[int] = []
    try:
        for _ in range(6):
            while feed._arrived.qsize() < SIZE + 2:
                time.sleep(0.01)
            seen += feed.batch().token_ids.view(SIZE, -1)[:, 0].tolist()
    finally:
        feed.close()
    assert feed.fresh == feed.used == len(seen) == 6 * SIZE
    assert len(set(seen)) == len(seen)


def test_the_ring_fills_up_when_drawing_is_slow() -> None:
    """Batches never wait once there is a first one; what comes again is from the last pieces."""
    supplies = tuple(replace(supply, kept=4) for supply in SUPPLIES)
    feed = WorkerFeed(numbered, supplies, 0, CPU, workers=1, slots=4)
    try:
        seen = [feed.batch().token_ids.view(SIZE, -1)[:, 0].tolist() for _ in range(20)]
    finally:
        feed.close()
    assert feed.used == 20 * SIZE > feed.fresh >= SIZE
    assert all(len(set(numbers)) == SIZE for numbers in seen)  # no piece twice in one batch


def test_a_run_survives_few_bad_drawings_but_not_many(capfd: pytest.CaptureFixture[str]) -> None:
    def failing(number: int) -> Piece:
        if number % 2:
            raise ValueError("no room for the title")
        return numbered(number)

    feed = WorkerFeed(failing, SUPPLIES, 0, CPU, workers=2, slots=2)
    try:
        feed.batch()
        feed.failed += MOST_FAILURES
        while feed.failed == MOST_FAILURES:
            time.sleep(0.01)
        with pytest.raises(RuntimeError, match="could not be made"):
            feed.batch()
    finally:
        feed.close()
    assert "no room for the title" in capfd.readouterr().err


def test_a_run_does_not_wait_for_workers_that_make_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(number: int) -> Piece:
        raise ValueError

    monkeypatch.setattr(feeding, "PATIENCE", 0.3)
    feed = WorkerFeed(failing, SUPPLIES, 0, CPU, workers=1, slots=2)
    try:
        with pytest.raises(RuntimeError, match="made nothing"):
            feed.batch()
    finally:
        feed.close()


def test_splits_differ_for_the_same_number() -> None:
    seen: list[Split] = []

    def record(rng: random.Random, split: Split, kind: PieceKind) -> tuple[Sample, bool]:
        seen.append(split)
        return draw(rng, split, kind)

    one, other = (piece_maker(record, "7", split, SUPPLIES, vocabulary())(0) for split in ("train", "held_out"))
    assert not np.array_equal(one.arrays["patches"], other.arrays["patches"])
    assert set(seen) == {"train", "held_out"}
