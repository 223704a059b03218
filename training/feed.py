"""Where a trainer's batches come from: pieces made in order in this process, or by others and kept on the device.

A piece is told by its number alone, so a run that goes on after another takes the numbers that follow.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import queue
import random
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from qwen3vl.drawn import TASKS
from qwen3vl.drawn.sample import Sample, Split
from training.batches import Batch, Budget, Piece, join, pack, stack
from training.mixture import PieceKind
from training.vocabulary import Vocabulary

MOST_FAILURES = 50  # pieces that may fail to be made in a run
PATIENCE = 60.0  # seconds that a first batch may take

TASK_NUMBERS = {task: number for number, task in enumerate(TASKS)}

Draw = Callable[[random.Random, Split, PieceKind], tuple[Sample, bool]]
MakePiece = Callable[[int], Piece]


@dataclass(frozen=True)
class Supply:
    """How many pieces of one kind a batch has, and how large they are."""

    kind: PieceKind
    pieces: int
    budget: Budget
    kept: int  # pieces that stay on the device, to be used again where drawing is slower than training


Supplies = Sequence[Supply]


class Feed(Protocol):
    """Gives batches without end. `next_piece` is the first number that a later run may use."""

    next_piece: int

    def batch(self) -> Batch: ...

    def close(self) -> None: ...


def supply_of(supplies: Supplies, number: int) -> Supply:
    """The supply that the piece of this number belongs to: the pieces of a batch have consecutive numbers."""
    place = number % pieces_of(supplies)
    for supply in supplies:
        if place < supply.pieces:
            return supply
        place -= supply.pieces
    raise AssertionError("a batch has as many pieces as its supplies")


def pieces_of(supplies: Supplies) -> int:
    """How many pieces a batch has."""
    return sum(supply.pieces for supply in supplies)


def piece_maker(draw: Draw, seed: str, split: Split, supplies: Supplies, vocabulary: Vocabulary) -> MakePiece:
    """What draws and packs the piece of a number, always the same one."""

    def make(number: int) -> Piece:
        supply = supply_of(supplies, number)
        rng = random.Random(f"{seed}/{split}/{number}")
        return pack(lambda: draw(rng, split, supply.kind), supply.budget, vocabulary, TASK_NUMBERS)

    return make


def batch_of(pieces: Sequence[Piece], supplies: Supplies, device: torch.device) -> Batch:
    """The batch of pieces with consecutive numbers, the first of which begins a batch."""
    stacks, first = [], 0
    for supply in supplies:
        made = stack(pieces[first : first + supply.pieces])
        stacks.append({name: tensor.to(device) for name, tensor in made.items()})
        first += supply.pieces
    return join(stacks, [supply.budget for supply in supplies])


class OrderedFeed:
    """Makes each piece when it is needed: the batches depend on nothing but the first number."""

    def __init__(self, make: MakePiece, supplies: Supplies, first_piece: int, device: torch.device) -> None:
        self._make, self._supplies, self._device = make, supplies, device
        self.next_piece = first_piece

    def batch(self) -> Batch:
        numbers = range(self.next_piece, self.next_piece + pieces_of(self._supplies))
        self.next_piece = numbers.stop
        return batch_of([self._make(number) for number in numbers], self._supplies, self._device)

    def close(self) -> None:
        """Nothing is open."""


class WorkerFeed:
    """Pieces made by processes beside the trainer, which come through shared memory to rings on the device.

    A batch takes pieces that no batch has had; where drawing does not keep up, it takes some of the ring again. Which
    pieces a batch gets depends on the machine's speed, so this feed is not repeatable; but no two runs share a piece.
    """

    def __init__(
        self,
        make: MakePiece,
        supplies: Supplies,
        first_piece: int,
        device: torch.device,
        *,
        workers: int,
        slots: int = 32,
    ) -> None:
        """Starts `workers` processes by forking, so this must come before the first use of a GPU in this process."""
        self.next_piece = first_piece
        self.fresh = self.used = 0  # pieces given so far: for the first time, in all
        self.failed = 0  # pieces that could not be made
        self._supplies, self._device = supplies, device
        fork = multiprocessing.get_context("fork")
        self._slots = {supply.kind: _shared_arrays(supply.budget, slots) for supply in supplies}
        self._free = {supply.kind: fork.SimpleQueue() for supply in supplies}
        self._ready = fork.SimpleQueue()
        self._stop = fork.Event()
        for free in self._free.values():
            for slot in range(slots):
                free.put(slot)
        self._workers = [
            fork.Process(target=self._work, args=(make, first_piece + i, workers), daemon=True) for i in range(workers)
        ]
        for worker in self._workers:
            worker.start()
        self._rings = {supply.kind: _Ring(supply, device) for supply in supplies}
        self._arrived: queue.Queue[tuple[PieceKind, int, dict[str, torch.Tensor]]] = queue.Queue(maxsize=32)
        self._carrier = threading.Thread(target=self._carry, daemon=True)
        self._carrier.start()

    def batch(self) -> Batch:
        """Waits for a first batch's worth of pieces and never again.

        Raises `RuntimeError` if none come, or if more than a few could not be made; the workers have printed why.
        """
        if self.failed > MOST_FAILURES:
            raise RuntimeError(f"{self.failed} pieces could not be made")
        while not all(len(self._rings[supply.kind]) >= supply.pieces for supply in self._supplies):
            try:
                self._take_in(*self._arrived.get(timeout=PATIENCE))
            except queue.Empty:
                raise RuntimeError(f"the workers made nothing in {PATIENCE:.0f} seconds") from None
        for _ in range(self._arrived.qsize()):
            self._take_in(*self._arrived.get())
        stacks = []
        for supply in self._supplies:
            self.fresh += min(supply.pieces, len(self._rings[supply.kind].unseen))
            self.used += supply.pieces
            stacks.append(self._rings[supply.kind].take(supply.pieces))
        return join(stacks, [supply.budget for supply in self._supplies])

    def close(self) -> None:
        """Ends the workers and the thread. A worker ends by itself: killed, it could take a queue's lock along."""
        self._stop.set()
        for free in self._free.values():
            for _ in self._workers:
                free.put(None)  # wakes those that wait for a slot
        while self._carrier.is_alive():
            if not any(worker.is_alive() for worker in self._workers):
                self._ready.put(None)
            try:  # the thread may wait for a place here, and workers for the thread
                self._arrived.get(timeout=0.1)
            except queue.Empty:
                continue
        for worker in self._workers:
            worker.join()

    def _work(self, make: MakePiece, first: int, step: int) -> None:
        """A worker's life: every `step`-th piece from `first` on."""
        os.nice(5)  # the trainer's own thread goes first
        torch.set_num_threads(1)
        number = first
        while not self._stop.is_set():
            kind = supply_of(self._supplies, number).kind
            slot = self._free[kind].get()
            if slot is None:
                return
            made = True
            try:
                for name, values in make(number).arrays.items():
                    self._slots[kind][name][slot] = values
            except Exception:  # one bad drawing among millions must not end a run; many do, see `batch`
                traceback.print_exc()
                made = False
            self._ready.put((kind, slot, number, made))
            number += step

    def _carry(self) -> None:
        """The thread that brings ready pieces to the device."""
        stream = None
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)  # a thread begins on the first GPU
            stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            for arrays in self._slots.values():
                for array in arrays.values():
                    _pin(array)
        while (ready := self._ready.get()) is not None:
            kind, slot, number, made = ready
            if not made:
                self.failed += 1
                self._free[kind].put(slot)
                continue
            with torch.cuda.stream(stream):
                piece = {
                    name: torch.from_numpy(array[slot]).to(self._device, non_blocking=True, copy=True)
                    for name, array in self._slots[kind].items()
                }
            if stream is not None:
                stream.synchronize()
            self._free[kind].put(slot)
            self._arrived.put((kind, number, piece))

    def _take_in(self, kind: PieceKind, number: int, piece: dict[str, torch.Tensor]) -> None:
        batch = pieces_of(self._supplies)
        self.next_piece = max(self.next_piece, (number // batch + 1) * batch)
        self._rings[kind].add(piece)


class _Ring:
    """The last pieces of one kind, on the device."""

    def __init__(self, supply: Supply, device: torch.device) -> None:
        self._arrays: dict[str, torch.Tensor] = {}
        self._supply, self._device = supply, device
        self._rng = random.Random(0)
        self._added = 0
        self.unseen: deque[int] = deque(maxlen=supply.kept)  # places of pieces that no batch has had, the oldest first

    def __len__(self) -> int:
        return min(self._added, self._supply.kept)

    def add(self, piece: dict[str, torch.Tensor]) -> None:
        if not self._arrays:
            self._arrays = {
                name: torch.empty((self._supply.kept, *tensor.shape), dtype=tensor.dtype, device=self._device)
                for name, tensor in piece.items()
            }
        place = self._added % self._supply.kept
        for name, tensor in piece.items():
            self._arrays[name][place].copy_(tensor)
            if tensor.is_cuda:
                tensor.record_stream(torch.cuda.current_stream())
        self._added += 1
        self.unseen.append(place)

    def take(self, count: int) -> dict[str, torch.Tensor]:
        """`count` pieces stacked: the unseen ones first, then any."""
        places = [self.unseen.popleft() for _ in range(min(count, len(self.unseen)))]
        others = [place for place in range(len(self)) if place not in places] if len(places) < count else []
        places += self._rng.sample(others, count - len(places))
        chosen = torch.tensor(places).to(self._device, non_blocking=True)
        return {name: array[chosen] for name, array in self._arrays.items()}


def _shared_arrays(budget: Budget, slots: int) -> dict[str, NDArray[Any]]:
    """`slots` pieces' arrays in memory that forked processes share."""
    arrays = {}
    for name, (shape, dtype) in budget.shapes().items():
        memory = mmap.mmap(-1, slots * int(np.prod(shape)) * np.dtype(dtype).itemsize)
        arrays[name] = np.frombuffer(memory, dtype=dtype).reshape(slots, *shape)
    return arrays


def _pin(array: NDArray[Any]) -> None:
    """Tells the GPU's driver of memory that it will copy from, so that it copies at full speed."""
    runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    torch.cuda.check_error(int(runtime.cudaHostRegister(array.ctypes.data, array.nbytes, 0)))
