"""What the small checkpoints have to reach, and whether a report shows it. The one place where these numbers stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from qwen3vl.bench.intervals import Estimate
from qwen3vl.bench.report import Report

Unit = Literal["percent", "points", "nats"]


@dataclass(frozen=True)
class Target:
    """A measure, the figure that was reached, and what was wanted. Figure and answer are None where a report lacks what
    they need: another task, a mode, paraphrases."""

    measure: str
    wanted: str
    unit: Unit
    reached: Estimate | None
    met: bool | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Goal:
    """A figure of a task or slice that shall be at least, or at most, so large."""

    measure: str
    where: str
    metric: str
    least: float | None = None
    most: float | None = None


_GOALS = (
    _Goal("OCR of a line, words never seen: character error", "ocr_line/latin", "cer", most=0.015),
    _Goal("OCR of a line, words never seen: exact", "ocr_line/latin", "exact", least=0.85),
    _Goal("OCR of a page, words never seen: character error", "ocr_page/latin", "cer", most=0.015),
    _Goal("OCR of a Chinese line: character error", "ocr_line/chinese", "cer", most=0.05),
    _Goal("GUI click: IoU above 0.5 and the element's text right", "gui_click/box", "right", least=0.97),
    _Goal("boxes at picture sizes never trained: IoU above 0.5", "boxes", "iou50", least=0.95),
    _Goal("screenshot to HTML: sequence of tags", "html", "tags", least=0.98),
    _Goal("screenshot to HTML: exact", "html", "exact", least=0.5),
    _Goal("table cell", "table_cell", "exact", least=0.95),
    _Goal("form value", "form_value", "exact", least=0.95),
    _Goal("receipt total", "receipt_total", "exact", least=0.95),
    _Goal("video, moments asked for: within 1 s", "video_when", "within_1s", least=0.97),
    _Goal("video, events listed: within 1 s", "video_events", "within_1s", least=0.97),
)
_MOST_LOST_TO_WORDING = 0.03
_LEAST_LOST_BY_FAST, _MOST_LOST_BY_FAST = 0.01, 0.06


def targets(report: Report) -> list[Target]:
    """All targets, measured in the report's strongest mode where they are not about modes."""
    return [*(_judged(goal, report) for goal in _GOALS), _free_wording(report), *_modes(report)]


def _judged(goal: _Goal, report: Report) -> Target:
    figures = {**report.tasks, **report.slices}.get(goal.where, {})
    reached = figures.get(goal.metric, {}).get(report.baseline)
    if goal.least is not None:
        met = None if reached is None else reached.value >= goal.least
        return Target(goal.measure, f"at least {goal.least:.0%}", "percent", reached, met)
    assert goal.most is not None, "a goal has one end"
    met = None if reached is None else reached.value <= goal.most
    return Target(goal.measure, f"at most {100 * goal.most:g}%", "percent", reached, met)


def _free_wording(report: Report) -> Target:
    found = report.paraphrases.get(report.baseline, {}).get("all")
    return Target(
        "wordings never trained: accuracy lost, mean of all tasks",
        f"at most {100 * _MOST_LOST_TO_WORDING:g} points",
        "points",
        found.lost if found else None,
        found.lost.value <= _MOST_LOST_TO_WORDING if found else None,
    )


def _modes(report: Report) -> Iterator[Target]:
    losses = {(loss.stronger, loss.weaker): loss for loss in report.losses}
    fast, first, second = (losses.get(pair) for pair in (("full", "fast"), ("full", "balanced"), ("balanced", "fast")))
    least, most = _LEAST_LOST_BY_FAST, _MOST_LOST_BY_FAST
    yield Target(
        "Fast: accuracy lost against Full, mean of all tasks",
        f"{100 * least:g} to {100 * most:g} points",
        "points",
        fast.accuracy if fast else None,
        least <= fast.accuracy.value <= most if fast else None,
    )
    yield Target(
        "Balanced: accuracy, mean of all tasks",
        "between Fast's and Full's",
        "percent",
        report.overall["accuracy"]["balanced"] if first and second else None,
        first.accuracy.value >= 0 and second.accuracy.value >= 0 if first and second else None,
    )
    for name, loss in (("Balanced against Full", first), ("Fast against Balanced", second)):
        yield Target(
            f"{name}: likelihood lost",
            "interval above 0",
            "nats",
            loss.nll if loss else None,
            loss.apart_in_nll if loss else None,
        )
