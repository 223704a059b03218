"""Pieces hold what was drawn, whole and apart from each other, and joining them only moves it."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from qwen3vl.drawn.sample import Sample
from support.tiny_training import SUPPLIES, draw, packed, sample, vocabulary
from training.batches import Budget, Piece
from training.feed import TASK_NUMBERS, batch_of, piece_maker, pieces_of
from training.hints import NUM_HINTS, hint_classes
from training.layout import Example, lay_out
from training.vocabulary import END_OF_TEXT, IMAGE_PAD, TURN_START, VIDEO_PAD

CPU = torch.device("cpu")
PICTURES, VIDEOS = (supply.budget for supply in SUPPLIES)


def make(number: int) -> Piece:
    return piece_maker(draw, "5", "train", SUPPLIES, vocabulary())(number)


def example(drawn: Sample) -> Example:
    found = lay_out(drawn, vocabulary(), max_tokens=900, max_targets=900)
    assert found is not None
    return found


def test_a_piece_depends_on_its_number_alone() -> None:
    for number in (0, 2, 3):
        first, again = make(number), make(number)
        assert first.answers == again.answers
        assert all(np.array_equal(first.arrays[name], again.arrays[name]) for name in first.arrays)
    assert not np.array_equal(make(0).arrays["patches"], make(1).arrays["patches"])


@pytest.mark.parametrize("number", range(12))
def test_stretches_cover_a_piece_and_are_no_longer_than_allowed(number: int) -> None:
    piece, budget = make(number), VIDEOS if number % 3 == 2 else PICTURES
    for name, total, longest in (
        ("token_offsets", budget.tokens, budget.longest),
        ("patch_offsets", budget.patches, budget.largest),
    ):
        lengths = np.diff(piece.arrays[name])
        assert piece.arrays[name][0] == 0
        assert piece.arrays[name][-1] == total
        assert (lengths >= 0).all()
        assert lengths.max() <= longest


def test_holds_the_conversations_side_by_side() -> None:
    drawn = [sample(random.Random(i), "picture", size) for i, size in enumerate(((96, 64), (64, 128), (32, 32)))]
    piece, examples = packed(PICTURES, drawn), [example(one) for one in drawn]
    arrays, token, patch, target = piece.arrays, 0, 0, 0
    for number, one in enumerate(examples):
        tokens, patches = len(one.token_ids), one.num_patches
        assert arrays["token_offsets"][number : number + 2].tolist() == [token, token + tokens]
        assert arrays["patch_offsets"][number : number + 2].tolist() == [patch, patch + patches]
        assert np.array_equal(arrays["token_ids"][token : token + tokens], one.token_ids)
        assert np.array_equal(arrays["positions"][:, token : token + tokens], one.positions)
        assert np.array_equal(arrays["patches"][patch : patch + patches], one.grids[0])
        assert set(map(tuple, arrays["cells"][patch : patch + patches].tolist())) == {
            (row, column, *one.grid) for row in range(one.grid[0]) for column in range(one.grid[1])
        }
        rows = arrays["visual_rows"][patch // 4 : (patch + patches) // 4]
        assert (arrays["token_ids"][rows] == IMAGE_PAD).all()
        assert rows.tolist() == [token + one.starts[0] + i for i in range(patches // 4)]
        for answer in one.answers:
            count = answer.stop - answer.start
            where = arrays["target_rows"][target : target + count]
            assert where.tolist() == [token + i - 1 for i in range(answer.start, answer.stop)]
            assert (
                arrays["target_ids"][target : target + count].tolist()
                == one.token_ids[answer.start : answer.stop].tolist()
            )
            assert (arrays["target_tasks"][target : target + count] == 1 + TASK_NUMBERS[answer.task]).all()
            target += count
        token, patch = token + tokens, patch + patches


def test_what_is_free_is_marked_so() -> None:
    drawn = sample(random.Random(0), turns=1)
    arrays, one = packed(PICTURES, [drawn]).arrays, example(drawn)
    assert (arrays["token_ids"][len(one.token_ids) :] == END_OF_TEXT).all()
    assert np.flatnonzero(arrays["target_tasks"]).tolist() == list(range(one.num_targets))
    assert np.flatnonzero(arrays["visual_rows"] >= 0).tolist() == list(range(one.num_patches // 4))
    assert (arrays["hints"] >= 0).sum() == 1


@pytest.mark.parametrize(
    "small",
    [
        replace(PICTURES, patches=24 + 16, largest=32),
        replace(PICTURES, grids=1 + 2),
        replace(PICTURES, hints=1),
        replace(PICTURES, conversations=1 + 2),
    ],
    ids=["patches", "grids", "hints", "conversations"],
)
def test_takes_in_no_more_than_it_may(small: Budget) -> None:
    drawn = [sample(random.Random(i), "picture", (96, 64)) for i in range(2)]
    assert conversations(packed(PICTURES, drawn)) == 2
    assert conversations(packed(small, drawn)) == 1


def conversations(piece: Piece) -> int:
    starts = piece.arrays["token_offsets"][:-1][np.diff(piece.arrays["token_offsets"]) > 0]
    return int((piece.arrays["token_ids"][starts] == TURN_START).sum())


def test_joining_moves_rows_by_what_stands_before() -> None:
    pieces = [make(number) for number in range(pieces_of(SUPPLIES))]
    batch = batch_of(pieces, SUPPLIES, CPU)
    pads = (batch.token_ids == IMAGE_PAD) | (batch.token_ids == VIDEO_PAD)
    rows = batch.visual_rows[batch.visual_used]
    assert sorted(rows.tolist()) == pads.nonzero()[:, 0].tolist()
    wanted = batch.target_tasks > 0
    assert torch.equal(batch.token_ids[batch.target_rows[wanted] + 1], batch.target_ids[wanted])
    assert batch.token_offsets[-1] == len(batch.token_ids)
    assert batch.patch_offsets[-1] == len(batch.cells) == sum(map(len, batch.patches))
    assert (batch.token_offsets.diff() >= 0).all()
    assert batch.positions.shape == (3, len(batch.token_ids))
    second = torch.from_numpy(pieces[1].arrays["positions"]).long()
    assert torch.equal(batch.positions[:, PICTURES.tokens : 2 * PICTURES.tokens], second)


def test_hints_name_the_patch_of_a_mark() -> None:
    """The samples' one mark a frame is an "A" at row 0, in the middle column."""
    pieces = [make(number) for number in range(pieces_of(SUPPLIES))]
    batch = batch_of(pieces, SUPPLIES, CPU)
    table = batch.hint_targets
    assert table.shape == (len(batch.cells), NUM_HINTS)
    patches, classes = table.nonzero(as_tuple=True)
    assert set(classes.tolist()) == {ord("A") - 32}
    row, column, _, columns = batch.cells[patches].T
    assert (row == 0).all()
    assert torch.equal(column.int(), columns.int() // 2)
    grids = (batch.patch_offsets.diff() > 0).sum()
    used = sum((np.diff(piece.arrays["visual_rows"]) != 1).sum() for piece in pieces)
    assert 0 < len(patches) <= min(grids, used)


def test_every_mark_has_a_class() -> None:
    for what in ("a", "~", "的", "框", "€", "shape:star", "widget:button"):
        classes = hint_classes(what)
        assert classes
        assert all(0 <= class_ < NUM_HINTS for class_ in classes)
    assert hint_classes("的") != hint_classes("一")
