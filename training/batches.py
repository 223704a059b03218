"""Conversations packed side by side into pieces of one fixed size, and pieces joined into the batch of a step.

Nothing is padded to the longest of its kind: a piece is one flat run of tokens and one flat run of patches, and offsets
say where each conversation and each picture begins. What stays free at the end is filled up with stretches that nobody
looks at. So every step has the same shapes, whatever sizes the pictures have, and a kernel or a graph made for it once
serves them all. A piece depends on nothing but its number: who makes it, when, and in what order, does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qwen3vl.drawn.sample import Sample
from qwen3vl.model.vision import patch_positions
from training.hints import NUM_HINTS, hint_classes, inside
from training.layout import GROUP, MERGE, PATCH, Example, lay_out, patch_number
from training.vocabulary import END_OF_TEXT, Vocabulary

MISSES = 2  # samples that do not fit any more before a piece is closed


@dataclass(frozen=True)
class Budget:
    """The fixed size of a piece."""

    tokens: int
    patches: int
    targets: int  # tokens to predict
    conversations: int
    grids: int
    hints: int
    frames: int  # in one patch: 1 for pictures, 2 for videos
    longest: int = 1024  # tokens of one conversation
    largest: int = 784  # patches of one grid: 448x448 pixels

    def shapes(self) -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
        """Shape and type of each array of a piece."""
        return {
            "patches": ((self.patches, 3 * self.frames * PATCH**2), np.uint8),
            "cells": ((self.patches, 4), np.uint8),
            "patch_offsets": ((self.grids + 1,), np.int32),
            "token_ids": ((self.tokens,), np.int16),
            "positions": ((3, self.tokens), np.int16),
            "token_offsets": ((self.conversations + 1,), np.int32),
            "visual_rows": ((self.patches // MERGE**2,), np.int32),
            "target_rows": ((self.targets,), np.int32),
            "target_ids": ((self.targets,), np.int16),
            "target_tasks": ((self.targets,), np.uint8),
            "hints": ((self.hints,), np.int32),
        }


Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step computes on. P patches, T tokens, N tokens to predict."""

    patches: tuple[torch.Tensor, ...]  # for each kind of piece [P of it, values] uint8; together P
    cells: torch.Tensor  # [P, 4]: row and column of the patch, rows and columns of its grid
    patch_offsets: torch.Tensor  # [grids + 1] int32
    token_ids: torch.Tensor  # [T] int64
    positions: torch.Tensor  # [3, T] int64
    token_offsets: torch.Tensor  # [conversations + 1] int32
    visual_rows: torch.Tensor  # [P / 4] int64: the token that each merged patch takes the place of
    visual_used: torch.Tensor  # [P / 4] bool: False where there is no such token, and the row means nothing
    target_rows: torch.Tensor  # [N] int64: the tokens after which a token is to be predicted
    target_ids: torch.Tensor  # [N] int64: that token
    target_tasks: torch.Tensor  # [N] int64: 1 + number of the task it belongs to, 0 where there is nothing to predict
    hints: torch.Tensor  # [marks] int64: patch * NUM_HINTS + class, negative where there is none
    longest: int
    largest: int

    @property
    def tensors(self) -> list[torch.Tensor]:
        """All that differs between batches of the same budgets."""
        values = [getattr(self, field.name) for field in fields(self)]
        return [*self.patches, *(value for value in values if isinstance(value, torch.Tensor))]

    def replaced(self, tensors: Sequence[torch.Tensor]) -> Batch:
        """A batch of the same budgets whose `tensors` are these."""
        kinds = len(self.patches)
        names = [field.name for field in fields(self) if isinstance(getattr(self, field.name), torch.Tensor)]
        others: dict[str, Any] = dict(zip(names, tensors[kinds:], strict=True))
        return replace(self, patches=tuple(tensors[:kinds]), **others)

    @property
    def hint_targets(self) -> torch.Tensor:
        """[P, NUM_HINTS] bool: which classes each patch holds."""
        table = torch.zeros(len(self.cells) * NUM_HINTS + 1, dtype=torch.bool, device=self.hints.device)
        table.index_fill_(0, torch.where(self.hints >= 0, self.hints, len(table) - 1), True)
        return table[:-1].view(-1, NUM_HINTS)


@dataclass(frozen=True, eq=False)
class Piece:
    arrays: Arrays  # as `Budget.shapes` says
    answers: tuple[tuple[int, int, str], ...]  # first and last + 1 of the targets of each answer, and its task


def pack(
    draw: Callable[[], tuple[Sample, bool]], budget: Budget, vocabulary: Vocabulary, task_numbers: Mapping[str, int]
) -> Piece:
    """Fills one piece. `draw` gives samples, and whether the picture stands behind the first question."""
    filling = _Filling(budget, task_numbers)
    misses = 0
    while misses < MISSES and not filling.is_full:
        sample, picture_last = draw()
        example = lay_out(
            sample,
            vocabulary,
            max_tokens=min(budget.longest, budget.tokens - filling.tokens),
            max_targets=budget.targets - filling.targets,
            picture_last=picture_last,
        )
        misses += example is None or not filling.add(example)
    return filling.piece()


class _Filling:
    """A piece that is not full yet."""

    def __init__(self, budget: Budget, task_numbers: Mapping[str, int]) -> None:
        self.budget, self.task_numbers = budget, task_numbers
        self.tokens = self.patches = self.targets = self.hints = 0
        self.arrays = {name: np.zeros(shape, dtype) for name, (shape, dtype) in budget.shapes().items()}
        self.arrays["cells"][:, 2:] = MERGE  # free patches are those of an empty smallest picture
        self.arrays["token_ids"][:] = END_OF_TEXT
        self.arrays["visual_rows"][:] = -1
        self.arrays["target_rows"][:] = np.arange(budget.targets) % budget.tokens
        self.arrays["hints"][:] = -1
        self.token_ends: list[int] = []
        self.patch_ends: list[int] = []
        self.answers: list[tuple[int, int, str]] = []
        # Stretches that fill up the end need offsets too.
        self.most_conversations = budget.conversations - -(-budget.tokens // budget.longest)
        self.most_grids = budget.grids - -(-budget.patches // budget.largest)
        assert self.most_conversations > 0 < self.most_grids

    @property
    def is_full(self) -> bool:
        return len(self.token_ends) == self.most_conversations

    def add(self, example: Example) -> bool:
        """Takes in an example whose tokens fit, if the rest of it fits too."""
        budget = self.budget
        hints = self._hints(example)
        if (
            self.patches + example.num_patches > budget.patches
            or len(self.patch_ends) + len(example.grids) > self.most_grids
            or self.hints + len(hints) > budget.hints
        ):
            return False
        self._add_tokens(example)
        self.arrays["hints"][self.hints : self.hints + len(hints)] = hints
        self.hints += len(hints)
        cells = _cells(example.grid)
        for grid, start in zip(example.grids, example.starts, strict=True):
            assert len(grid) <= budget.largest
            stop = self.patches + len(grid)
            self.arrays["patches"][self.patches : stop] = grid
            self.arrays["cells"][self.patches : stop] = cells
            first = self.tokens - len(example.token_ids) + start
            merged = slice(self.patches // MERGE**2, stop // MERGE**2)
            self.arrays["visual_rows"][merged] = np.arange(first, first + len(grid) // MERGE**2)
            self.patches = stop
            self.patch_ends.append(stop)
        return True

    def _add_tokens(self, example: Example) -> None:
        stop = self.tokens + len(example.token_ids)
        self.arrays["token_ids"][self.tokens : stop] = example.token_ids
        self.arrays["positions"][:, self.tokens : stop] = example.positions
        for answer in example.answers:
            first, last = self.targets, self.targets + answer.stop - answer.start
            self.arrays["target_rows"][first:last] = self.tokens + np.arange(answer.start, answer.stop) - 1
            self.arrays["target_ids"][first:last] = example.token_ids[answer.start : answer.stop]
            self.arrays["target_tasks"][first:last] = 1 + self.task_numbers[answer.task]
            self.answers.append((first, last, answer.task))
            self.targets = last
        self.tokens = stop
        self.token_ends.append(stop)

    def _hints(self, example: Example) -> list[int]:
        rows, columns = example.grid
        found: set[int] = set()
        for mark in example.marks:
            if inside(mark, columns * PATCH, rows * PATCH):
                grid = mark.frame // (GROUP if self.budget.frames == GROUP else 1)
                patch = self.patches + grid * rows * columns + patch_number(mark.x, mark.y, columns)
                found.update(patch * NUM_HINTS + class_ for class_ in hint_classes(mark.what))
        return sorted(found)

    def piece(self) -> Piece:
        budget = self.budget
        self.arrays["token_offsets"][:] = _offsets(self.token_ends, budget.tokens, budget.conversations, budget.longest)
        self.arrays["patch_offsets"][:] = _offsets(self.patch_ends, budget.patches, budget.grids, budget.largest)
        return Piece(self.arrays, tuple(self.answers))


def join(stacks: Sequence[Mapping[str, torch.Tensor]], budgets: Sequence[Budget]) -> Batch:
    """One batch. stacks: for each kind of piece the arrays of several, stacked along a new first axis."""
    parts: dict[str, list[torch.Tensor]] = {field.name: [] for field in fields(Batch)}
    tokens = patches = 0
    for stack, budget in zip(stacks, budgets, strict=True):
        count = len(stack["token_ids"])
        device = stack["token_ids"].device
        piece = torch.arange(count, device=device)[:, None]
        first_token, first_patch = tokens + piece * budget.tokens, patches + piece * budget.patches
        tokens, patches = tokens + count * budget.tokens, patches + count * budget.patches

        rows = stack["visual_rows"]
        anywhere = torch.arange(rows.shape[1], device=device) % budget.tokens  # spread out: sums collide less
        hints = stack["hints"].long()
        parts["patches"].append(stack["patches"].flatten(0, 1))
        parts["cells"].append(stack["cells"].flatten(0, 1))
        parts["patch_offsets"].append((stack["patch_offsets"][:, 1:] + first_patch).flatten())
        parts["token_ids"].append(stack["token_ids"].flatten())
        parts["positions"].append(stack["positions"].transpose(0, 1).flatten(1))
        parts["token_offsets"].append((stack["token_offsets"][:, 1:] + first_token).flatten())
        parts["visual_rows"].append((torch.where(rows >= 0, rows, anywhere) + first_token).flatten())
        parts["visual_used"].append((rows >= 0).flatten())
        parts["target_rows"].append((stack["target_rows"] + first_token).flatten())
        parts["target_ids"].append(stack["target_ids"].flatten())
        parts["target_tasks"].append(stack["target_tasks"].flatten())
        parts["hints"].append(torch.where(hints >= 0, hints + first_patch * NUM_HINTS, hints).flatten())

    def flat(name: str) -> torch.Tensor:
        return torch.cat(parts[name], dim=-1)

    def offsets(name: str) -> torch.Tensor:
        return torch.nn.functional.pad(flat(name), (1, 0)).int()

    return Batch(
        patches=tuple(parts["patches"]),
        cells=torch.cat(parts["cells"]),
        patch_offsets=offsets("patch_offsets"),
        token_ids=flat("token_ids").long(),
        positions=flat("positions").long(),
        token_offsets=offsets("token_offsets"),
        visual_rows=flat("visual_rows").long(),
        visual_used=flat("visual_used"),
        target_rows=flat("target_rows").long(),
        target_ids=flat("target_ids").long(),
        target_tasks=flat("target_tasks").long(),
        hints=flat("hints"),
        longest=max(budget.longest for budget in budgets),
        largest=max(budget.largest for budget in budgets),
    )


def stack(pieces: Sequence[Piece]) -> dict[str, torch.Tensor]:
    """The arrays of pieces of one kind along a new first axis."""
    return {name: torch.from_numpy(np.stack([piece.arrays[name] for piece in pieces])) for name in pieces[0].arrays}


@cache
def _cells(grid: tuple[int, int]) -> NDArray[np.uint8]:
    if not grid[0]:
        return np.zeros((0, 4), dtype=np.uint8)
    cells = patch_positions(grid, MERGE, torch.device("cpu"))
    return np.concatenate([cells.numpy(), np.broadcast_to(np.array(grid), (len(cells), 2))], axis=1).astype(np.uint8)


def _offsets(ends: Sequence[int], total: int, slots: int, longest: int) -> NDArray[np.int32]:
    """Where each stretch begins and ends, [slots + 1]: those used, then stretches of at most `longest` up to `total`,
    then empty ones."""
    used = ends[-1] if ends else 0
    filling = [min(used + (i + 1) * longest, total) for i in range(slots - len(ends))]
    assert (filling or ends)[-1] == total
    return np.array([0, *ends, *filling], dtype=np.int32)
