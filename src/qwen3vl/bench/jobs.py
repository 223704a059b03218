"""Work on numbered items shared by several processes, such as questions, each with the model loaded for itself.

What holds up a small model on a CPU is Python, which the threads of one process take turns in.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import torch

from qwen3vl.bench.datasets import Dataset, Item
from qwen3vl.bench.evaluate import EngineResponder, Record, evaluate, modes_of
from qwen3vl.bench.rendering import PageJudge
from qwen3vl.browser import Renderer
from qwen3vl.engine.engine import Engine
from qwen3vl.engine.info import EngineInfo
from qwen3vl.experts.modes import Mode

AT_ONCE = {"cpu": 64, "cuda": 512}  # sequences in one batch
_BLOCK = 8  # items that a process takes at once; a question and its twin stay together, and share their picture
_LOOK = 0.5  # seconds between two looks at how far the processes are

Progress = Callable[[int], None]
_Result = TypeVar("_Result")
Work = Callable[[Iterator[int], Progress], _Result]  # takes the numbers of its items, and tells after each


@dataclass(frozen=True)
class Task:
    """What is to be answered, and how. Can be sent to another process if `open_engine` can."""

    open_engine: Callable[[], Engine]
    items: Dataset
    modes: Sequence[Mode]
    render: bool  # compare pages by their looks too
    max_tokens: int | None


@dataclass(frozen=True)
class Answers:
    """The records of all items in their order, and what answered them."""

    info: EngineInfo
    records: list[Record]


@dataclass
class _Counter:
    """The next item that nobody has taken, and how many are done, for all processes."""

    taken: Any = field(default_factory=lambda: multiprocessing.get_context("spawn").Value("q", 0))
    done: Any = field(default_factory=lambda: multiprocessing.get_context("spawn").Value("q", 0))

    def numbers(self, total: int) -> Iterator[int]:
        while True:
            with self.taken.get_lock():
                first = self.taken.value
                self.taken.value = first + _BLOCK
            if first >= total:
                return
            yield from range(first, min(first + _BLOCK, total))


def answer(task: Task, jobs: int, progress: Progress) -> Answers:
    """Answers everything with `jobs` processes. `progress` is told how many items are done.

    Raises what a process raises, such as `InputError` for an item that cannot be asked, `BrowserError` without a
    browser.
    """
    parts = share(partial(_answer, task), len(task.items), jobs, progress)
    found = [each for _, answers in parts for each in answers]
    return Answers(
        parts[0][0], [record for _, records in sorted(found, key=lambda part: part[0]) for record in records]
    )


_Found = tuple[EngineInfo, list[tuple[int, list[Record]]]]  # by the number of the item


def _answer(task: Task, numbers: Iterator[int], progress: Progress) -> _Found:
    taken: list[tuple[int, int]] = []  # number of an item, and of its records

    def items() -> Iterator[Item]:
        for number in numbers:
            item = task.items[number]
            taken.append((number, len(modes_of(item, task.modes))))
            yield item

    with ExitStack() as stack:
        judge = None
        if task.render:
            renderer = stack.enter_context(Renderer())
            renderer.render("", (64, 64))  # a browser that is missing should not be found out about at the end
            judge = PageJudge(renderer)
        engine = stack.enter_context(task.open_engine())
        responder = EngineResponder(engine, task.max_tokens, AT_ONCE[engine.info.device.partition(":")[0]])
        records = iter(list(evaluate(responder, items(), task.modes, progress, judge)))
        return engine.info, [(number, list(islice(records, count))) for number, count in taken]


def share(work: Work[_Result], total: int, jobs: int, progress: Progress) -> list[_Result]:
    """Does the work on items 0 to `total` - 1 in `jobs` processes, this one where it is one; what each came to.

    `work` must go to another process. Raises what it raises.
    """
    counter = _Counter()
    if jobs == 1:
        return [work(counter.numbers(total), progress)]
    threads = max(1, torch.get_num_threads() // jobs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin, (counter, threads)) as pool:
        parts = [pool.submit(_work, work, total) for _ in range(jobs)]
        while wait(parts, timeout=_LOOK).not_done:
            progress(counter.done.value)
            if failed := next((part for part in parts if part.done() and part.exception()), None):
                with counter.taken.get_lock():
                    counter.taken.value = total  # nobody begins anything new
                failed.result()
        return [part.result() for part in parts]


_counter: _Counter


def _begin(counter: _Counter, threads: int) -> None:
    global _counter
    _counter = counter
    torch.set_num_threads(threads)


def _work(work: Work[_Result], total: int) -> _Result:
    def count(_: int) -> None:
        with _counter.done.get_lock():
            _counter.done.value += 1

    return work(_counter.numbers(total), count)
