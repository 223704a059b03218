"""A report as tables for a terminal. Knows how figures are written, nothing of how they come about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from qwen3vl.bench.intervals import Estimate
from qwen3vl.bench.report import Figures, Report
from qwen3vl.bench.scoring import METRICS, main_metric
from qwen3vl.bench.slices import SLICES
from qwen3vl.bench.targets import Target

PERCENT = (set(METRICS) | {"accuracy"}) - {"nll", "time_error"}


def tables(report: Report, targets: Sequence[Target]) -> Iterator[Table]:
    """Every figure of the report, then what modes and wordings lose, then the targets, if any could be measured."""
    yield _figures(report)
    if report.losses:
        yield _losses(report)
    if report.paraphrases:
        yield _paraphrases(report)
    if any(target.met is not None for target in targets):
        yield _targets(targets)


def shown(each: Estimate | None, *, percent: bool, signed: bool = False) -> str:
    """`97.3 [94.8, 98.6]`: shares in percent, seconds and likelihoods as they are; nothing where there is no figure."""
    if each is None:
        return ""
    scale, digits = (100, 1) if percent else (1, 3)
    sign = "+" if signed else ""
    value, low, high = (f"{number * scale:{sign}.{digits}f}" for number in (each.value, each.low, each.high))
    return f"{value} [{low}, {high}]"


def _table(*columns: str, title: str = "") -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title or None, title_justify="left", title_style="bold")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _figures(report: Report) -> Table:
    """One line a task and metric, the main one first, and below the task its slices."""
    table = _table("task", "metric", "n", *report.modes)
    table.columns[1].justify = "left"
    for task, metrics in report.tasks.items():
        _add(table, report, task, task, metrics)
        for name, part in SLICES.items():
            if part.task == task and name in report.slices:
                _add(table, report, task, name, report.slices[name])
        table.add_section()
    for metric, modes in report.overall.items():
        found = [escape(shown(modes[mode], percent=metric in PERCENT)) for mode in report.modes]
        table.add_row("all tasks", metric, "", *found, style="bold")
    return table


def _add(table: Table, report: Report, task: str, name: str, metrics: Figures) -> None:
    first = main_metric(task)
    for metric in sorted(metrics, key=lambda each: (each != first, list(METRICS).index(each))):
        found = [escape(shown(metrics[metric].get(mode), percent=metric in PERCENT)) for mode in report.modes]
        count = max(each.n for each in metrics[metric].values())
        style = "bold" if metric == first and name == task else None
        table.add_row(name if metric == first else "", metric, f"{count:,}", *found, style=style)


def _losses(report: Report) -> Table:
    table = _table("weaker mode", "against", "accuracy lost, points", "nll lost", "nll apart", title="What modes lose")
    for loss in report.losses:
        accuracy, nll = shown(loss.accuracy, percent=True, signed=True), shown(loss.nll, percent=False, signed=True)
        table.add_row(loss.weaker, loss.stronger, escape(accuracy), escape(nll), "yes" if loss.apart_in_nll else "no")
    return table


def _paraphrases(report: Report) -> Table:
    table = _table("task", "mode", "trained wording", "held-out wording", "lost, points", title="What wordings lose")
    for mode, tasks in report.paraphrases.items():
        for task, each in tasks.items():
            found = [escape(shown(figure, percent=True)) for figure in (each.trained, each.held_out)]
            name, style = ("all tasks", "bold") if task == "all" else (task, None)
            table.add_row(name, mode, *found, escape(shown(each.lost, percent=True, signed=True)), style=style)
        table.add_section()
    return table


def _targets(targets: Sequence[Target]) -> Table:
    table = _table("measure", "reached", "wanted", "met", title="Targets")
    for target in targets:
        reached = shown(target.reached, percent=target.unit != "nats") or "not measured"
        met = {None: "", True: "yes", False: "no"}[target.met]
        table.add_row(target.measure, escape(reached), target.wanted, met)
    return table
