"""From the records of an evaluation to its figures: per task and mode, over all tasks, and what a weaker mode loses, or
a wording that was never trained.

The figures over all tasks are means in which each task counts the same. Losses are paired: the same questions, or the
same pictures, were asked both times, and both are resampled together. JSON and the tables of `tables.py` are views of
one `Report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from qwen3vl.bench.evaluate import Record, strongest_first
from qwen3vl.bench.intervals import Estimate, Resampled, Resampler
from qwen3vl.bench.scoring import COSTS, METRICS, main_metric
from qwen3vl.bench.slices import SLICES
from qwen3vl.experts.modes import Mode

OVERALL = ("accuracy", "nll")  # over all tasks: the mean of their main metrics, and of their likelihoods

Figures = Mapping[str, Mapping[str, Estimate]]  # metric -> mode -> figure


@dataclass(frozen=True)
class Loss:
    """What a mode loses against a stronger one: accuracy, and in likelihood; over all tasks and for each.

    `accuracy` is the stronger mode's minus the weaker's, `nll` the weaker's minus the stronger's: a loss is above 0.
    """

    stronger: str
    weaker: str
    accuracy: Estimate
    nll: Estimate
    tasks: Mapping[str, Mapping[str, Estimate]]  # task -> "accuracy" or "nll" -> loss

    @property
    def apart_in_nll(self) -> bool:
        """Whether the weaker mode surely finds the right answers less likely."""
        return self.nll.low > 0


@dataclass(frozen=True)
class Paraphrased:
    """The same pictures asked in wordings that were trained and in others; `lost` is the difference."""

    trained: Estimate
    held_out: Estimate
    lost: Estimate


@dataclass(frozen=True)
class Report:
    """`slices` are parts of tasks; `paraphrases` are of the baseline and each task, their mean under `all`."""

    about: Mapping[str, Any]
    modes: tuple[str, ...]
    tasks: Mapping[str, Figures]
    slices: Mapping[str, Figures]
    overall: Figures
    losses: tuple[Loss, ...]
    paraphrases: Mapping[str, Mapping[str, Paraphrased]]  # mode -> task

    @property
    def baseline(self) -> str:
        """The strongest mode that was measured: the one whose figures are the model's."""
        return strongest_first(self.modes)[0]

    def to_json(self) -> dict[str, Any]:
        used = {name for metrics in self.tasks.values() for name in metrics}
        return {
            "about": dict(self.about),
            "intervals": "95 %: Wilson where each item, or all, are right or wrong; else a bootstrap over the items",
            "modes": list(self.modes),
            "overall": _plain(self.overall),
            "losses": [{**asdict(loss), "apart_in_nll": loss.apart_in_nll} for loss in self.losses],
            "paraphrases": {
                mode: {task: asdict(each) for task, each in tasks.items()} for mode, tasks in self.paraphrases.items()
            },
            "main_metrics": {task: main_metric(task) for task in self.tasks},
            "metrics": {name: meaning for name, meaning in METRICS.items() if name in used},
            "tasks": {task: _plain(metrics) for task, metrics in self.tasks.items()},
            "slices": {
                name: {"task": SLICES[name].task, "meaning": SLICES[name].meaning, **_plain(metrics)}
                for name, metrics in self.slices.items()
            },
        }


_Measured = Mapping[str, Mapping[str, Resampled]]  # metric -> mode


def summarise(records: Iterable[Record], modes: Sequence[Mode], seed: int, about: Mapping[str, Any]) -> Report:
    """The report of all records. Every mode must have answered the same items in the same order."""
    names = tuple(str(mode) for mode in modes)
    asked: dict[str, list[Record]] = {}
    trained: dict[str, list[Record]] = {}
    for record in records:
        (asked if record.worded == "held_out" else trained).setdefault(record.task, []).append(record)
    tasks = {task: _measure(found, names, seed, task) for task, found in asked.items()}
    slices = {}
    for name, part in SLICES.items():
        if found := [record for record in asked.get(part.task, ()) if part.holds(record.reference)]:
            slices[name] = _measure(found, names, seed, name)
    overall = {metric: {name: _over_all(tasks, metric, name) for name in names} for metric in OVERALL if tasks}
    best = strongest_first(names)[0]
    twins = {task: _measure(found, [best], seed, task) for task, found in trained.items()}
    return Report(
        about,
        names,
        {task: _estimates(measured) for task, measured in tasks.items()},
        {name: _estimates(measured) for name, measured in slices.items()},
        _estimates(overall),
        tuple(_loss(tasks, overall, *pair) for pair in combinations(strongest_first(names), 2) if tasks),
        {best: _paraphrased(twins, tasks, best)} if twins else {},
    )


def _measure(records: Sequence[Record], modes: Sequence[str], seed: int, name: str) -> _Measured:
    """Every metric of some questions, in each mode that has it. The resamples are those of `name`."""
    by_mode = {mode: [record for record in records if str(record.mode) == mode] for mode in modes}
    items = [[record.name for record in found] for found in by_mode.values()]
    assert all(names == items[0] for names in items), "modes that answered other questions cannot be compared"
    resampler = Resampler(len(items[0]), seed, name)
    metrics: dict[str, dict[str, Resampled]] = {}
    for mode, found in by_mode.items():
        for metric in dict.fromkeys(name for record in found for name in record.parts):
            parts = [record.parts.get(metric, (0.0, 0.0)) for record in found]
            metrics.setdefault(metric, {})[mode] = Resampled.of(parts, resampler, share=metric not in COSTS)
    return metrics


def _of(task: str, measured: _Measured, metric: str, mode: str) -> Resampled:
    """A task's figure; "accuracy" is its main metric."""
    return measured[main_metric(task) if metric == "accuracy" else metric][mode]


def _over_all(tasks: Mapping[str, _Measured], metric: str, mode: str) -> Resampled:
    return Resampled.mean([_of(task, measured, metric, mode) for task, measured in tasks.items()])


def _loss(tasks: Mapping[str, _Measured], overall: _Measured, stronger: str, weaker: str) -> Loss:
    each = {
        task: {
            "accuracy": _of(task, found, "accuracy", stronger) - _of(task, found, "accuracy", weaker),
            "nll": found["nll"][weaker] - found["nll"][stronger],
        }
        for task, found in tasks.items()
    }
    accuracy, nll = overall["accuracy"], overall["nll"]
    return Loss(stronger, weaker, accuracy[stronger] - accuracy[weaker], nll[weaker] - nll[stronger], each)


def _paraphrased(
    trained: Mapping[str, _Measured], held_out: Mapping[str, _Measured], mode: str
) -> dict[str, Paraphrased]:
    pairs = {task: tuple(_of(task, by[task], "accuracy", mode) for by in (trained, held_out)) for task in trained}
    pairs["all"] = tuple(
        _over_all({task: by[task] for task in trained}, "accuracy", mode) for by in (trained, held_out)
    )
    return {task: Paraphrased(one.estimate, other.estimate, one - other) for task, (one, other) in pairs.items()}


def _estimates(measured: _Measured) -> dict[str, dict[str, Estimate]]:
    return {metric: {mode: each.estimate for mode, each in modes.items()} for metric, modes in measured.items()}


def _plain(figures: Figures) -> dict[str, dict[str, dict[str, float]]]:
    return {metric: {mode: asdict(each) for mode, each in modes.items()} for metric, modes in figures.items()}
