"""What is wanted, against reports made by hand."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from qwen3vl.bench.intervals import Estimate
from qwen3vl.bench.report import Figures, Loss, Paraphrased, Report
from qwen3vl.bench.scoring import METRICS, TASKS
from qwen3vl.bench.slices import SLICES
from qwen3vl.bench.targets import Target, targets


def figure(value: float, half: float = 0.01) -> Estimate:
    return Estimate(value, value - half, value + half, 300)


def report(
    tasks: Mapping[str, Figures] | None = None,
    slices: Mapping[str, Figures] | None = None,
    accuracy: Mapping[str, float] | None = None,
    nll: tuple[float, float] = (0.0, 0.0),
    lost: float | None = None,
) -> Report:
    """`accuracy` of each mode; `nll` that balanced loses against full, and fast against balanced."""
    accuracy = accuracy or {"full": 0.9}
    nlls = {"full": 0.0, "balanced": nll[0], "fast": sum(nll)}
    names = [name for name in ("full", "balanced", "fast") if name in accuracy]
    losses = tuple(
        Loss(one, other, figure(accuracy[one] - accuracy[other]), figure(nlls[other] - nlls[one]), {})
        for i, one in enumerate(names)
        for other in names[i + 1 :]
    )
    overall = {"accuracy": {name: figure(value) for name, value in accuracy.items()}}
    paraphrases = {} if lost is None else {"full": {"all": Paraphrased(figure(0.9), figure(0.9 - lost), figure(lost))}}
    return Report({}, tuple(accuracy), tasks or {}, slices or {}, overall, losses, paraphrases)


def find(report: Report, words: str) -> Target:
    [target] = [target for target in targets(report) if words in target.measure]
    return target


@pytest.mark.parametrize(
    ("words", "where", "metric", "good", "bad"),
    [
        ("line, words never seen: character", "ocr_line/latin", "cer", 0.015, 0.016),
        ("line, words never seen: exact", "ocr_line/latin", "exact", 0.85, 0.84),
        ("page, words never seen: character", "ocr_page/latin", "cer", 0.015, 0.016),
        ("Chinese line", "ocr_line/chinese", "cer", 0.05, 0.06),
        ("GUI click", "gui_click/box", "right", 0.97, 0.96),
        ("boxes at picture sizes", "boxes", "iou50", 0.95, 0.94),
        ("sequence of tags", "html", "tags", 0.98, 0.97),
        ("HTML: exact", "html", "exact", 0.5, 0.49),
        ("table cell", "table_cell", "exact", 0.95, 0.94),
        ("form value", "form_value", "exact", 0.95, 0.94),
        ("receipt total", "receipt_total", "exact", 0.95, 0.94),
        ("moments asked for", "video_when", "within_1s", 0.97, 0.96),
        ("events listed", "video_events", "within_1s", 0.97, 0.96),
    ],
)
def test_figures_of_tasks(words: str, where: str, metric: str, good: float, bad: float) -> None:
    assert where in TASKS or where in SLICES
    assert metric in METRICS
    for value, met in ((good, True), (bad, False)):
        # The weaker mode's figure is the other way round: it must not be looked at.
        measured = {where: {metric: {"full": figure(value), "fast": figure(good + bad - value)}}}
        both = {"full": 0.9, "fast": 0.8}
        found = find(report(**{"slices" if "/" in where else "tasks": measured}, accuracy=both), words)  # type: ignore[arg-type]
        assert found.met is met
        assert found.reached == figure(value)
    assert find(report(), words).met is None


@pytest.mark.parametrize(("lost", "met"), [(0.03, True), (0.031, False), (-0.1, True), (None, None)])
def test_wordings(lost: float | None, met: bool | None) -> None:
    assert find(report(lost=lost), "wordings").met is met


@pytest.mark.parametrize(("fast", "met"), [(0.895, False), (0.88, True), (0.845, True), (0.83, False)])
def test_what_fast_may_lose(fast: float, met: bool) -> None:
    assert find(report(accuracy={"full": 0.9, "fast": fast}), "Fast: accuracy").met is met


@pytest.mark.parametrize(("balanced", "met"), [(0.89, True), (0.91, False), (0.86, False)])
def test_balanced_is_between(balanced: float, met: bool) -> None:
    modes = {"fast": 0.87, "balanced": balanced, "full": 0.9}
    assert find(report(accuracy=modes), "Balanced: accuracy").met is met


def test_likelihoods_are_apart() -> None:
    modes = {"fast": 0.87, "balanced": 0.88, "full": 0.9}
    measured = report(accuracy=modes, nll=(0.02, 0.005))  # the intervals reach 0.01 to either side
    assert find(measured, "Balanced against Full").met is True
    assert find(measured, "Fast against Balanced").met is False
    assert find(report(accuracy={"full": 0.9}), "Balanced against Full").met is None
