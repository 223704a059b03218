"""The evaluation itself: a perfect model scores everything, a broken one nothing, the engine what it says."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from qwen3vl import Engine
from qwen3vl.bench.datasets import DrawnSet, Item, drawn_tasks
from qwen3vl.bench.evaluate import EngineResponder, Record, Reply, evaluate
from qwen3vl.bench.intervals import wilson
from qwen3vl.bench.report import Report, summarise
from qwen3vl.bench.scoring import COSTS, Part, main_metric
from qwen3vl.errors import ContextLengthError, InputError
from qwen3vl.experts.modes import Mode


class Says:
    """A model that answers by a rule."""

    def __init__(self, rule: Callable[[Item, Mode], str], nll: float = 0.5) -> None:
        self._rule, self._nll = rule, nll

    def respond(self, items: Sequence[Item], modes: Sequence[Mode]) -> list[list[Reply]]:
        return [[Reply(self._rule(item, mode), "stop", Part(self._nll * 10, 10)) for item in items] for mode in modes]


def report_of(responder: Says, items: DrawnSet, modes: Sequence[Mode] = ("full",)) -> Report:
    return summarise(evaluate(responder, items, modes), modes, 0, {})


@pytest.fixture(scope="module")
def every_task() -> DrawnSet:
    return DrawnSet(None, 2, seed=3)


def test_a_perfect_model(every_task: DrawnSet) -> None:
    report = report_of(Says(lambda item, mode: item.answer), every_task)
    assert set(report.tasks) == set(drawn_tasks())
    for task, metrics in report.tasks.items():
        for name, modes in metrics.items():
            if name != "nll":
                assert modes["full"].value == pytest.approx(float(name not in COSTS)), (task, name)
    assert report.overall["accuracy"]["full"].value == pytest.approx(1)


@pytest.mark.parametrize("answer", ["", "Sorry."])
def test_a_broken_model(every_task: DrawnSet, answer: str) -> None:
    wanted = {"boxes", "points"} if answer else set()  # "Sorry." is right where nothing is to be found
    report = report_of(Says(lambda item, mode: answer), every_task)
    for task, metrics in report.tasks.items():
        if task not in wanted:
            assert metrics[main_metric(task)]["full"].value == 0, task
        if "cer" in metrics:
            assert metrics["cer"]["full"].value > 0.7, task


def test_modes_are_compared_on_the_same_questions() -> None:
    """Fast is wrong on every fourth colour and on no relation; the difference is surer than either figure."""
    items = DrawnSet(["color", "relation"], 40, seed=1)

    def rule(item: Item, mode: Mode) -> str:
        wrong = mode == "fast" and item.task == "color" and int(item.name.split("/")[1]) % 4 == 0
        return "99" if wrong else item.answer

    report = report_of(Says(rule), items, ("fast", "full"))
    assert report.baseline == "full"
    assert report.tasks["color"]["exact"]["fast"].value == 0.75
    fast = report.tasks["color"]["exact"]["fast"]
    assert (fast.low, fast.high, fast.n) == (*wilson(30, 40), 40)
    assert report.overall["accuracy"]["fast"].value == pytest.approx(0.875)
    difference = report.differences["accuracy"]["fast"]
    assert set(report.differences["accuracy"]) == {"fast"}
    assert difference.value == pytest.approx(-0.125)
    assert -0.2 < difference.low < -0.125 < difference.high < -0.05
    nll = report.differences["nll"]["fast"]
    assert (nll.value, nll.low, nll.high) == pytest.approx((0, 0, 0))


def test_json_and_table_say_the_same() -> None:
    items = DrawnSet(["boxes", "ocr_line"], 10, seed=1)
    report = report_of(Says(lambda item, mode: item.answer if mode == "full" else "7"), items, ("full", 2))
    raw = json.loads(json.dumps(report.to_json()))
    assert raw["modes"] == ["full", "2"]
    assert raw["main_metrics"] == {"boxes": "iou50", "ocr_line": "exact"}
    assert raw["tasks"]["ocr_line"]["cer"]["full"]["value"] == 0
    assert raw["tasks"]["ocr_line"]["cer"]["2"]["value"] > 0.8
    assert raw["differences"]["from"] == "full"
    assert set(raw["metrics"]) == {"iou50", "iou", "exact", "cer", "nll"}
    written = io.StringIO()
    Console(width=200, file=written).print(report.to_table())
    text = written.getvalue()
    line = next(line.split() for line in text.splitlines() if "ocr_line" in line)
    low, high = (f"{100 * end:.1f}" for end in wilson(10, 10))
    assert line[:6] == ["ocr_line", "exact", "10", "100.0", f"[{low},", f"{high}]"]
    assert any(line.split()[:3] == ["minus", "full", "accuracy"] for line in text.splitlines())


def test_records_come_item_by_item_and_progress_is_told() -> None:
    told: list[int] = []
    items = DrawnSet(["color"], 40, seed=1)
    records = list(evaluate(Says(lambda item, mode: item.answer), items, ("full", "fast"), told.append))
    assert len(records) == 80
    assert told == [32, 40]
    assert {record.mode for record in records} == {"full", "fast"}
    assert isinstance(records[0], Record)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.load("tiny-moe", device="cpu", memory="1GiB") as engine:
        yield engine


def test_the_engine_answers_as_it_does_elsewhere(engine: Engine) -> None:
    items = [*DrawnSet(["count", "gui_click"], 2, seed=2)]
    modes: tuple[Mode, ...] = ("full", "fast")
    replies = EngineResponder(engine, max_tokens=24).respond(items, modes)
    for mode, row in zip(modes, replies, strict=True):
        for item, reply in zip(items, row, strict=True):
            alone = engine.generate(
                item.messages,
                max_tokens=24,
                mode=mode,
                temperature=0.0,
                presence_penalty=0.0,
                repetition_penalty=1.0,
            )
            assert (reply.text, reply.finish_reason) == (alone.text, alone.finish_reason)
            scored = engine.score(item.messages, item.answer, mode=mode)
            assert reply.nll == pytest.approx((-sum(token.logprob for token in scored), len(scored)), rel=1e-4)
    assert replies[0] != replies[1]
    engine.check_invariants()


def test_answers_are_long_enough_by_default(engine: Engine) -> None:
    [item] = DrawnSet(["count"], 1, seed=2)
    options = EngineResponder(engine)._options(item, "full")
    assert options.max_tokens is not None
    assert options.max_tokens >= 2 * len(engine.prompt_builder.tokenizer.encode(item.answer))


def test_an_item_that_cannot_be_asked_is_named(engine: Engine, tmp_path: Path) -> None:
    good = next(iter(DrawnSet(["count"], 1, seed=2)))
    huge = Item("mine:3", "text", [{"role": "user", "content": "tea " * 40_000}], "tea", "yes")
    with pytest.raises(ContextLengthError, match="mine:3: "):
        EngineResponder(engine).respond([good, huge], ["full"])
    gone = Item("mine:4", "text", [{"role": "user", "content": [{"type": "image", "image": tmp_path / "x"}]}], "", "")
    with pytest.raises(InputError, match="mine:4: "):
        EngineResponder(engine).respond([gone], ["full"])
    engine.check_invariants()
