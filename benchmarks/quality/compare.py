"""The same questions in each format: how good the answers are, and how far the distributions of the reference's tokens
are from the unquantised model's.

Questions come in turns, one of each task, so that those that were asked by some moment are spread over all tasks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

import torch

from benchmarks.quality.formats import UNQUANTISED, Format
from qwen3vl.bench.datasets import DrawnSet, Item
from qwen3vl.bench.evaluate import EngineResponder, Reply
from qwen3vl.bench.jobs import Progress
from qwen3vl.bench.scoring import Part, main_metric, score
from qwen3vl.engine.build import EngineConfig
from qwen3vl.experts.modes import Mode

_AT_ONCE = 8  # questions whose distributions are in memory together
_ENGINE = EngineConfig(num_blocks=1024, max_running=256, feature_bytes=64 * 2**20)  # so many rows of logits a step


@dataclass(frozen=True)
class Answered:
    """One question in one format. `parts`: of `report.METRICS`, each a value and its weight."""

    number: int
    task: str
    format: str
    parts: dict[str, Part]


@dataclass(frozen=True)
class Found:
    answers: list[Answered]
    weight_bytes: dict[str, int]  # by format
    parameters: int


@dataclass(frozen=True)
class Comparison:
    """What a process does: all questions that it is given, in the unquantised model and in `formats`.

    `until`: the time in seconds since the epoch after which nothing is begun; None: all is done.
    """

    model: str
    formats: tuple[Format, ...]
    items: DrawnSet
    mode: Mode
    until: float | None

    def __call__(self, numbers: Iterator[int], progress: Progress) -> Found:
        formats, done = (UNQUANTISED, *self.formats), 0
        answers: list[Answered] = []
        with ExitStack() as stack:
            engines = [stack.enter_context(each.load(self.model, _ENGINE)) for each in formats]
            responders = [EngineResponder(engine, at_once=_AT_ONCE, distributions=True) for engine in engines]
            while self.until is None or time.time() < self.until:
                taken = list(islice(numbers, _AT_ONCE))
                if not taken:
                    break
                items = [self.items[self._turn(number)] for number in taken]
                plain = _replies(responders[0], items, self.mode)
                for form, responder in zip(formats, responders, strict=True):
                    replies = plain if form is UNQUANTISED else _replies(responder, items, self.mode)
                    for number, item, base, reply in zip(taken, items, plain, replies, strict=True):
                        answers.append(Answered(number, item.task, form.name, _parts(item, base, reply)))
                for _ in taken:
                    done += 1
                    progress(done)
            weights = {form.name: engine.info.weight_bytes for form, engine in zip(formats, engines, strict=True)}
            return Found(answers, weights, engines[0].info.parameters)

    def _turn(self, number: int) -> int:
        """The set has the questions of a task one after the other."""
        tasks = len(self.items.tasks)
        return number % tasks * self.items.samples + number // tasks


def divergence(base: torch.Tensor, other: torch.Tensor) -> float:
    """Kullback-Leibler divergence of `other` from `base` in nats, summed over tokens. Log-probabilities, [tokens,
    vocabulary]; made to sum to one again, since what float32 leaves of that is more than a small divergence.
    """
    base, other = base.double().log_softmax(-1), other.double().log_softmax(-1)
    return float((base.exp() * (base - other)).sum())


def _replies(responder: EngineResponder, items: Sequence[Item], mode: Mode) -> list[Reply]:
    return [reply for _, [reply] in responder.respond(items, [mode])]


def _parts(item: Item, base: Reply, reply: Reply) -> dict[str, Part]:
    assert base.distributions is not None
    assert reply.distributions is not None
    return {
        "accuracy": score(item.task, reply.text, item.answer, item.truth)[main_metric(item.task)],
        "nll": reply.nll,
        "kl": Part(divergence(base.distributions, reply.distributions), len(base.distributions)),
        "same": Part(reply.text == base.text),
    }
