"""What a model card shows, as Markdown: the figures that `qwen3vl eval` wrote, answers about real pages, training runs.

Takes the JSON as it was written and changes nothing in it. Knows nothing of model folders.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from qwen3vl.bench.datasets import DrawnSet
from qwen3vl.bench.intervals import Estimate
from qwen3vl.bench.tables import PERCENT, shown

Json = Mapping[str, Any]
_LONGEST = 160  # characters of an answer that is shown


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(text: str, longest: int | None = None) -> str:
    """Text as it stands, on one line, within a cell of a table."""
    if longest is not None and len(text) > longest:
        text = text[:longest] + "…"
    text = text.replace("\n", "↵").replace("|", "\\|")
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}" if text else "(nothing)"


def _figure(raw: Json | None, *, percent: bool, signed: bool = False) -> str:
    return shown(Estimate(**raw) if raw else None, percent=percent, signed=signed)


def targets(report: Json) -> str:
    rows = []
    for target in report["targets"]:
        percent = target["unit"] != "nats"
        met = {True: "yes", False: "**no**", None: ""}[target["met"]]
        rows.append([target["measure"], _figure(target["reached"], percent=percent), target["wanted"], met])
    return table(["measure", "reached", "wanted", "met"], rows)


def tasks(report: Json) -> str:
    """Every task with the metric that counts as its accuracy, the others below it, and its slices."""
    modes = report["modes"]
    return table(["task", "metric", "n", *modes], _task_rows(report, modes))


def _task_rows(report: Json, modes: Sequence[str]) -> Iterator[list[str]]:
    for task, metrics in report["tasks"].items():
        first = report["main_metrics"][task]
        yield from _metric_rows(task, first, metrics, modes)
        for name, part in report["slices"].items():
            if part["task"] == task:
                measured = {key: value for key, value in part.items() if key not in ("task", "meaning")}
                yield from _metric_rows(name, first, measured, modes)
    for metric, by_mode in report["overall"].items():
        figures = [_figure(by_mode[mode], percent=metric in PERCENT) for mode in modes]
        yield ["**all tasks**", metric, "", *figures]


def _metric_rows(name: str, first: str, metrics: Json, modes: Sequence[str]) -> Iterator[list[str]]:
    for metric in sorted(metrics, key=lambda each: each != first):
        by_mode = metrics[metric]
        count = max(each["n"] for each in by_mode.values())
        figures = [_figure(by_mode.get(mode), percent=metric in PERCENT) for mode in modes]
        yield [f"`{name}`" if metric == first else "", metric, str(count), *figures]


def metrics(report: Json) -> str:
    """What the metrics mean."""
    return "\n".join(f"- `{name}`: {meaning}" for name, meaning in report["metrics"].items())


def losses(report: Json) -> str:
    rows = [
        [
            loss["weaker"],
            loss["stronger"],
            _figure(loss["accuracy"], percent=True, signed=True),
            _figure(loss["nll"], percent=False, signed=True),
            "yes" if loss["apart_in_nll"] else "no",
        ]
        for loss in report["losses"]
    ]
    return table(["weaker mode", "against", "accuracy lost, points", "nll lost", "nll surely lost"], rows)


def paraphrases(report: Json, mode: str) -> str:
    rows = []
    for task, each in report["paraphrases"][mode].items():
        figures = [_figure(each[key], percent=True) for key in ("trained", "held_out")]
        lost = _figure(each["lost"], percent=True, signed=True)
        rows.append(["**all tasks**" if task == "all" else f"`{task}`", *figures, lost])
    return table(["task", "trained wording", "held-out wording", "lost, points"], rows)


def real_pages(pages: Sequence[Json]) -> str:
    rows = []
    for page in pages:
        source = f"`{page['path']}` of {page['package']} {page['version']}, {page['licence']}"
        said, right = code(page["said"], _LONGEST), "right" if page["right"] else "**wrong**"
        rows.append([page["name"], source, page["question"], code(page["answer"]), said, right])
    return table(["page", "source", "question", "expected", "said", ""], rows)


def examples(seed: int) -> str:
    """One question of each task, as it may be drawn."""
    rows = [
        [f"`{item.task}`", code(item.question, _LONGEST), code(item.answer, _LONGEST)]
        for item in DrawnSet(None, 1, seed)
    ]
    return table(["task", "a question", "its answer"], rows)


def runs(logs: Sequence[Sequence[Json]], averaged: int = 1) -> str:
    """A line for each training, from the events of its log, in which a run that went on follows the one before; and
    of how many of the last ones the weights are the mean."""
    rows = []
    for events in logs:
        starts, saved = ([event for event in events if event["event"] == kind] for kind in ("start", "saved"))
        steps, seconds = saved[-1]["step"] - starts[0]["step"], sum(event["t"] for event in saved)
        rows.append(
            f"- {starts[0]['parameters'] / 1e6:.1f} million parameters: {steps:,} steps in {seconds / 60:.1f} minutes"
        )
    if averaged > 1:
        rows += ["", f"The weights are the mean of what the last {averaged} of these reached (`training.average`)."]
    return "\n".join(rows)
