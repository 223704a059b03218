"""From answers to figures: per task and over all tasks, with 95 % intervals, each format against the unquantised model
on the same questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.quality.compare import Answered
from benchmarks.quality.formats import UNQUANTISED
from qwen3vl.bench.intervals import Estimate, Resampled, Resampler
from qwen3vl.bench.scoring import main_metric
from qwen3vl.bench.tables import shown

METRICS = {
    "accuracy": "the task's main metric",
    "nll": "negative log-likelihood of the reference answer in nats, per token",
    "kl": "KL divergence from the unquantised model's distribution over the whole vocabulary, in nats, per token of "
    "the reference answer",
    "same": "answers that are the unquantised model's, character for character",
}
MOST_LOST = 0.01  # of a task's accuracy
_ALL = "all tasks"


@dataclass(frozen=True)
class Cost:
    """What a format costs, of one task or of all. A loss is above 0."""

    accuracy: Estimate
    accuracy_lost: Estimate
    nll_lost: Estimate
    kl: Estimate
    same: Estimate


@dataclass(frozen=True)
class Report:
    about: Mapping[str, Any]
    weight_bytes: Mapping[str, int]
    plain: Mapping[str, Mapping[str, Estimate]]  # task -> "accuracy" or "nll", of the unquantised model
    costs: Mapping[str, Mapping[str, Cost]]  # format -> task, and all tasks together under `all tasks`

    def to_json(self) -> dict[str, Any]:
        return {
            "about": dict(self.about),
            "intervals": "95 %; of losses paired: a bootstrap over the questions, Wilson's for 0 where none differs",
            "metrics": METRICS,
            "main_metrics": {task: main_metric(task) for task in self.plain if task != _ALL},
            "weight_bytes": dict(self.weight_bytes),
            "unquantised": {
                task: {name: asdict(each) for name, each in found.items()} for task, found in self.plain.items()
            },
            "formats": {
                name: {
                    "most_lost_by": worst(costs),
                    "within_a_point": costs[worst(costs)].accuracy_lost.value <= MOST_LOST,
                    "tasks": {task: asdict(cost) for task, cost in costs.items()},
                }
                for name, costs in self.costs.items()
            },
        }

    def markdown(self) -> Iterator[str]:
        """Lines: a table of formats, one of the accuracy that tasks lose, one of divergences."""
        header = ("weights, MiB", "accuracy", "lost, points", "most lost by a task", "nll lost", "KL", "same answers")
        plain = self.plain[_ALL]["accuracy"]
        first = [f"`{UNQUANTISED.name}`", _mebibytes(self.weight_bytes[UNQUANTISED.name]), shown(plain, percent=True)]
        body = [first + [""] * 5]
        for name, costs in self.costs.items():
            cost, most = costs[_ALL], worst(costs)
            body.append(
                [
                    f"`{name}`",
                    _mebibytes(self.weight_bytes[name]),
                    shown(cost.accuracy, percent=True),
                    shown(cost.accuracy_lost, percent=True, signed=True),
                    f"`{most}` {shown(costs[most].accuracy_lost, percent=True, signed=True)}",
                    shown(cost.nll_lost, percent=False, signed=True),
                    _small(cost.kl),
                    shown(cost.same, percent=True),
                ]
            )
        yield from _table(("format", *header), body)
        yield from ("", "Accuracy lost, points:", "")
        body = [
            [
                f"`{task}`",
                main_metric(task),
                f"{self._asked(task):,}",
                shown(self.plain[task]["accuracy"], percent=True),
            ]
            + [shown(costs[task].accuracy_lost, percent=True, signed=True) for costs in self.costs.values()]
            for task in self._tasks()
        ]
        yield from _table(("task", "metric", "n", f"`{UNQUANTISED.name}`", *self._names()), body)
        yield from ("", "KL divergence, nats a token:", "")
        body = [[f"`{task}`"] + [_small(costs[task].kl) for costs in self.costs.values()] for task in self._tasks()]
        yield from _table(("task", *self._names()), body)

    def _tasks(self) -> list[str]:
        return [task for task in self.plain if task != _ALL]

    def _asked(self, task: str) -> int:
        return self.plain[task]["nll"].n

    def _names(self) -> list[str]:
        return [f"`{name}`" for name in self.costs]


def worst(costs: Mapping[str, Cost]) -> str:
    """The task that loses most accuracy."""
    return max((task for task in costs if task != _ALL), key=lambda task: costs[task].accuracy_lost.value)


def summarise(answers: Iterable[Answered], seed: int, about: Mapping[str, Any], weights: Mapping[str, int]) -> Report:
    """Every format must have answered the same questions."""
    found: dict[str, dict[str, list[Answered]]] = {}  # task -> format
    for answer in sorted(answers, key=lambda each: each.number):
        found.setdefault(answer.task, {}).setdefault(answer.format, []).append(answer)
    names = list(weights)
    measured = {task: _measure(task, by_format, names, seed) for task, by_format in sorted(found.items())}
    measured[_ALL] = {
        name: {metric: Resampled.mean([task[name][metric] for task in measured.values()]) for metric in METRICS}
        for name in names
    }
    base = UNQUANTISED.name
    return Report(
        about,
        weights,
        {task: {metric: by[base][metric].estimate for metric in ("accuracy", "nll")} for task, by in measured.items()},
        {name: {task: _cost(by[base], by[name]) for task, by in measured.items()} for name in names if name != base},
    )


_Measured = Mapping[str, Resampled]  # by metric


def _measure(
    task: str, answers: Mapping[str, Sequence[Answered]], names: Sequence[str], seed: int
) -> dict[str, _Measured]:
    numbers = [[answer.number for answer in answers[name]] for name in names]
    assert all(each == numbers[0] for each in numbers), "formats that answered other questions cannot be compared"
    resampler = Resampler(len(numbers[0]), seed, task)
    return {
        name: {
            metric: Resampled.of(
                [answer.parts[metric] for answer in answers[name]], resampler, share=metric in ("accuracy", "same")
            )
            for metric in METRICS
        }
        for name in names
    }


def _cost(base: _Measured, other: _Measured) -> Cost:
    return Cost(
        other["accuracy"].estimate,
        base["accuracy"] - other["accuracy"],
        other["nll"] - base["nll"],
        other["kl"].estimate,
        other["same"].estimate,
    )


def _table(header: Sequence[str], body: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in body:
        yield f"| {' | '.join(row)} |"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.1f}"


def _small(each: Estimate) -> str:
    """A divergence may be far below a thousandth."""
    return f"{each.value:.2g} [{each.low:.2g}, {each.high:.2g}]"
