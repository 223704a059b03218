"""From the records of an evaluation to its figures: per task and mode, over all tasks, and what each mode differs by.

The figures over all tasks are means in which each task counts the same. Differences are paired: both modes answered the
same questions, and both are resampled together. JSON and a table are two views of one `Report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from qwen3vl.bench.evaluate import Record
from qwen3vl.bench.intervals import Array, Estimate, Resampler, estimate, mean, spread
from qwen3vl.bench.scoring import COSTS, METRICS, main_metric
from qwen3vl.experts.modes import Mode

OVERALL = ("accuracy", "nll")  # over all tasks: the mean of their main metrics, and of their likelihoods
_PERCENT = (set(METRICS) | {"accuracy"}) - {"nll", "time_error"}


@dataclass(frozen=True)
class Report:
    """`tasks` is task -> metric -> mode -> figure; `overall` and `differences` are metric -> mode -> figure.

    `differences` are those from `baseline`, which is "full" where it was measured, else the first mode.
    """

    about: Mapping[str, Any]
    modes: tuple[str, ...]
    baseline: str
    tasks: Mapping[str, Mapping[str, Mapping[str, Estimate]]]
    overall: Mapping[str, Mapping[str, Estimate]]
    differences: Mapping[str, Mapping[str, Estimate]]

    def to_json(self) -> dict[str, Any]:
        return {
            "about": dict(self.about),
            "intervals": "95 %: Wilson where each item, or all, are right or wrong; else a bootstrap over the items",
            "modes": list(self.modes),
            "overall": _plain(self.overall),
            "differences": {"from": self.baseline, **_plain(self.differences)},
            "main_metrics": {task: main_metric(task) for task in self.tasks},
            "metrics": {
                name: METRICS[name] for name in METRICS if any(name in metrics for metrics in self.tasks.values())
            },
            "tasks": {task: _plain(metrics) for task, metrics in self.tasks.items()},
        }

    def to_table(self) -> Table:
        """One line a task and metric, the main one first; below, the figures over all tasks."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("task", "metric"):
            table.add_column(name)
        table.add_column("n", justify="right")
        for mode in self.modes:
            table.add_column(mode, justify="right")
        for task, metrics in self.tasks.items():
            first = main_metric(task)
            for metric in sorted(metrics, key=lambda name: (name != first, list(METRICS).index(name))):
                shown = [_shown(metric, metrics[metric].get(mode)) for mode in self.modes]
                count = max(each.n for each in metrics[metric].values())
                style = "bold" if metric == first else None
                table.add_row(task if metric == first else "", metric, f"{count:,}", *shown, style=style)
            table.add_section()
        for metric, modes in self.overall.items():
            table.add_row("all tasks", metric, "", *(_shown(metric, modes[mode]) for mode in self.modes), style="bold")
        for metric, modes in self.differences.items():
            shown = ["" if mode == self.baseline else _shown(metric, modes[mode], signed=True) for mode in self.modes]
            table.add_row(f"minus {self.baseline}", metric, "", *shown)
        return table


@dataclass(frozen=True)
class _Resampled:
    """The figure of one task, metric and mode, and what it was in each resample."""

    estimate: Estimate
    ratios: Array


def summarise(records: Iterable[Record], modes: Sequence[Mode], seed: int, about: Mapping[str, Any]) -> Report:
    """The report of all records. Every mode must have answered the same items in the same order."""
    names = tuple(str(mode) for mode in modes)
    answered: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        answered.setdefault(record.task, {name: [] for name in names})[str(record.mode)].append(record)
    tasks = {task: _measure(task, by_mode, seed) for task, by_mode in answered.items()}
    overall: dict[str, dict[str, _Resampled]] = {}
    for metric in OVERALL if tasks else ():
        overall[metric] = {
            name: _mean(
                [
                    metrics[main_metric(task) if metric == "accuracy" else metric][name]
                    for task, metrics in tasks.items()
                ]
            )
            for name in names
        }
    baseline = "full" if "full" in names else names[0]
    return Report(
        about,
        names,
        baseline,
        {
            task: {metric: {m: r.estimate for m, r in by.items()} for metric, by in metrics.items()}
            for task, metrics in tasks.items()
        },
        {metric: {m: r.estimate for m, r in by.items()} for metric, by in overall.items()},
        {
            metric: {name: _difference(by[name], by[baseline]) for name in names if name != baseline}
            for metric, by in overall.items()
            if len(names) > 1
        },
    )


def _measure(task: str, by_mode: Mapping[str, Sequence[Record]], seed: int) -> dict[str, dict[str, _Resampled]]:
    """Every metric of one task, in each mode that has it."""
    items = [[record.name for record in records] for records in by_mode.values()]
    assert all(names == items[0] for names in items), "modes that answered other questions cannot be compared"
    resampler = Resampler(len(items[0]), seed, task)
    metrics: dict[str, dict[str, _Resampled]] = {}
    for mode, records in by_mode.items():
        for metric in dict.fromkeys(name for record in records for name in record.parts):
            parts = np.array([record.parts.get(metric, (0.0, 0.0)) for record in records], dtype=np.float64)
            ratios = resampler.ratios(parts[:, 0], parts[:, 1])
            metrics.setdefault(metric, {})[mode] = _Resampled(
                estimate(parts[:, 0], parts[:, 1], ratios, share=metric not in COSTS), ratios
            )
    return metrics


def _mean(measured: Sequence[_Resampled]) -> _Resampled:
    ratios = np.mean([each.ratios for each in measured], axis=0)
    return _Resampled(mean([each.estimate for each in measured]), ratios)


def _difference(one: _Resampled, other: _Resampled) -> Estimate:
    low, high = spread(one.ratios - other.ratios)
    return Estimate(one.estimate.value - other.estimate.value, low, high, one.estimate.n)


def _plain(figures: Mapping[str, Mapping[str, Estimate]]) -> dict[str, dict[str, dict[str, float]]]:
    return {metric: {mode: asdict(each) for mode, each in modes.items()} for metric, modes in figures.items()}


def _shown(metric: str, each: Estimate | None, *, signed: bool = False) -> str:
    """`97.3 [94.8, 98.6]`: shares in percent, seconds and likelihoods as they are."""
    if each is None:
        return ""
    scale, digits = (100, 1) if metric in _PERCENT else (1, 3)
    sign = "+" if signed else ""
    value, low, high = (f"{number * scale:{sign}.{digits}f}" for number in (each.value, each.low, each.high))
    return escape(f"{value} [{low}, {high}]")
