"""The evaluation itself: a perfect model scores everything, a broken one nothing, the engine what it says."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from qwen3vl import Engine
from qwen3vl.bench.datasets import DrawnSet, Item, drawn_tasks
from qwen3vl.bench.evaluate import EngineResponder, Reply, evaluate, modes_of
from qwen3vl.bench.intervals import wilson
from qwen3vl.bench.report import Report, summarise
from qwen3vl.bench.scoring import COSTS, Part, main_metric
from qwen3vl.bench.tables import tables
from qwen3vl.bench.targets import targets
from qwen3vl.engine.outputs import Result
from qwen3vl.errors import ContextLengthError, InputError
from qwen3vl.experts.modes import Mode


class Says:
    """A model that answers by a rule."""

    def __init__(
        self, rule: Callable[[Item, Mode], str], nll: Callable[[Item, Mode], float] = lambda item, mode: 0.5
    ) -> None:
        self._rule, self._nll = rule, nll

    def respond(self, items: Iterable[Item], modes: Sequence[Mode]) -> Iterator[tuple[Item, list[Reply]]]:
        for item in items:
            asked = modes_of(item, modes)
            yield item, [Reply(self._rule(item, mode), "stop", Part(self._nll(item, mode) * 10, 10)) for mode in asked]


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
    [loss] = report.losses
    assert (loss.stronger, loss.weaker) == ("full", "fast")
    assert loss.accuracy.value == pytest.approx(0.125)
    assert 0.05 < loss.accuracy.low < 0.125 < loss.accuracy.high < 0.2
    assert loss.tasks["color"]["accuracy"].value == 0.25
    assert loss.tasks["relation"]["accuracy"].value == 0
    assert (loss.nll.value, loss.nll.low, loss.nll.high) == pytest.approx((0, 0, 0))
    assert not loss.apart_in_nll


def test_a_small_loss_of_likelihood_is_sure_when_it_is_everywhere() -> None:
    """Questions differ by far more than modes do, but each is a little less likely in the weaker mode."""
    items = DrawnSet(["color", "count"], 30, seed=1)
    hard = {item.name: 0.1 + (len(item.name) + int(item.name[-1])) % 7 for item in items}
    cost = {"full": 0.0, "balanced": 0.01, "fast": 0.02, 1: 0.02}
    says = Says(lambda item, mode: item.answer, lambda item, mode: hard[item.name] + cost[mode])
    report = report_of(says, items, ("fast", 1, "full", "balanced"))
    pairs = {(loss.stronger, loss.weaker): loss for loss in report.losses}
    assert list(pairs) == [
        *(("full", "balanced"), ("full", "fast"), ("full", "1")),
        *(("balanced", "fast"), ("balanced", "1"), ("fast", "1")),
    ]
    assert pairs["full", "fast"].nll.value == pytest.approx(0.02)
    assert pairs["full", "fast"].tasks["count"]["nll"].value == pytest.approx(0.02)
    assert pairs["full", "balanced"].apart_in_nll
    assert not pairs["fast", "1"].apart_in_nll
    spread = report.overall["nll"]["full"].high - report.overall["nll"]["full"].low
    assert spread > 10 * (pairs["full", "fast"].nll.high - pairs["full", "fast"].nll.low)


def test_paraphrases_are_pairs_of_the_same_picture() -> None:
    items = DrawnSet(["color", "relation"], 40, seed=1, paraphrases=True)

    def rule(item: Item, mode: Mode) -> str:
        wrong = item.worded == "held_out" and item.task == "color" and int(item.name.split("/")[1]) % 10 == 0
        return "99" if wrong else item.answer

    report = report_of(Says(rule), items)
    found = report.paraphrases["full"]
    assert list(found) == ["color", "relation", "all"]
    assert (found["color"].trained.value, found["color"].held_out.value) == (1, 0.9)
    assert found["color"].lost.value == pytest.approx(0.1)
    assert found["all"].lost.value == pytest.approx(0.05)
    assert 0 <= found["all"].lost.low < 0.05 < found["all"].lost.high < 0.12
    assert found["all"].trained.n == 80
    # What else the report says is of the held-out wordings alone.
    assert report.tasks["color"]["exact"]["full"].n == 40
    assert report.tasks["color"]["exact"]["full"].value == 0.9


def test_slices() -> None:
    """Chinese lines are misread by one character, and clicks with a box are not made."""
    items = DrawnSet(["ocr_line", "gui_click"], 30, seed=2)

    def rule(item: Item, mode: Mode) -> str:
        if item.task == "gui_click":
            return "" if "bbox" in item.answer else item.answer
        return item.answer[:-1] + "口" if any("一" <= sign <= "龥" for sign in item.answer) else item.answer

    report = report_of(Says(rule), items)
    assert report.slices["ocr_line/latin"]["cer"]["full"].value == 0
    assert report.slices["ocr_line/chinese"]["cer"]["full"].value > 0.02
    counts = [report.slices[f"ocr_line/{name}"]["cer"]["full"].n for name in ("latin", "chinese")]
    assert sum(counts) == 30
    assert min(counts) > 2
    assert report.slices["gui_click/box"]["right"]["full"].value == 0
    assert 0 < report.tasks["gui_click"]["right"]["full"].value < 1
    assert "ocr_page/latin" not in report.slices


def test_json_and_table_say_the_same() -> None:
    items = DrawnSet(["boxes", "ocr_line"], 10, seed=1, paraphrases=True)
    report = report_of(Says(lambda item, mode: item.answer if mode == "full" else "7"), items, ("full", 2))
    raw = json.loads(json.dumps(report.to_json()))
    assert raw["modes"] == ["full", "2"]
    assert raw["main_metrics"] == {"boxes": "iou50", "ocr_line": "exact"}
    assert raw["tasks"]["ocr_line"]["cer"]["full"]["value"] == 0
    assert raw["tasks"]["ocr_line"]["cer"]["2"]["value"] > 0.8
    assert raw["slices"]["ocr_line/latin"]["task"] == "ocr_line"
    assert [raw["losses"][0][name] for name in ("stronger", "weaker", "apart_in_nll")] == ["full", "2", False]
    assert {mode: tasks["all"]["lost"]["value"] for mode, tasks in raw["paraphrases"].items()} == {"full": 0}
    assert set(raw["metrics"]) == {"iou50", "iou", "exact", "cer", "nll"}
    written = io.StringIO()
    console = Console(width=200, file=written)
    for table in tables(report, targets(report)):
        console.print(table)
    text = written.getvalue()
    line = next(line.split() for line in text.splitlines() if "ocr_line" in line)
    low, high = (f"{100 * end:.1f}" for end in wilson(10, 10))
    assert line[:6] == ["ocr_line", "exact", "10", "100.0", f"[{low},", f"{high}]"]
    assert any(line.split()[:3] == ["2", "full", "+100.0"] for line in text.splitlines())
    assert any(line.split()[:4] == ["all", "tasks", "full", "100.0"] for line in text.splitlines())
    assert any(
        line.startswith("boxes at picture sizes") and line.endswith("yes") for line in map(str.strip, text.splitlines())
    )


def test_records_come_item_by_item_and_progress_is_told() -> None:
    told: list[int] = []
    items = DrawnSet(["color"], 5, seed=1)
    records = list(evaluate(Says(lambda item, mode: item.answer), items, ("full", "fast"), told.append))
    assert told == [1, 2, 3, 4, 5]
    asked = [(f"color/{number}", mode) for number in range(5) for mode in ("full", "fast")]
    assert [(record.name, record.mode) for record in records] == asked


def test_a_judge_adds_metrics() -> None:
    items = DrawnSet(["html"], 2, seed=1)
    report = summarise(
        evaluate(
            Says(lambda item, mode: item.answer), items, ["full"], judge=lambda item, text: {"render": Part(0.25)}
        ),
        ["full"],
        0,
        {},
    )
    assert report.tasks["html"]["render"]["full"].value == 0.25
    assert report.tasks["html"]["exact"]["full"].value == 1


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.load("tiny-moe", device="cpu", memory="1GiB") as engine:
        yield engine


def alone(engine: Engine, item: Item, mode: Mode, max_tokens: int) -> Result:
    greedy = {"temperature": 0.0, "presence_penalty": 0.0, "repetition_penalty": 1.0}
    return engine.generate(item.messages, max_tokens=max_tokens, mode=mode, **greedy)


def test_the_engine_answers_as_it_does_elsewhere(engine: Engine) -> None:
    items = [*DrawnSet(["count", "gui_click"], 2, seed=2)]
    modes: tuple[Mode, ...] = ("full", "fast")
    found = list(EngineResponder(engine, max_tokens=24).respond(iter(items), modes))
    assert [item for item, _ in found] == items
    for item, replies in found:
        for mode, reply in zip(modes, replies, strict=True):
            answer = alone(engine, item, mode, 24)
            assert (reply.text, reply.finish_reason) == (answer.text, answer.finish_reason)
            scored = engine.score(item.messages, item.answer, mode=mode)
            assert reply.nll == pytest.approx((-sum(token.logprob for token in scored), len(scored)), rel=1e-4)
    assert [replies[0] for _, replies in found] != [replies[1] for _, replies in found]
    one_by_one = EngineResponder(engine, max_tokens=24, at_once=1).respond(iter(items), modes)
    assert [[reply.text for reply in replies] for _, replies in one_by_one] == [
        [reply.text for reply in replies] for _, replies in found
    ]
    engine.check_invariants()


def test_what_the_model_is_sure_of_is_not_written_again(engine: Engine) -> None:
    """The model's own answers as references: those that are likely enough are known without a token being made."""
    asked = [*DrawnSet(["count", "ocr_line", "points", "gui_click"], 8, seed=3)]
    answers = [alone(engine, item, "full", 64) for item in asked]
    items = [
        replace(item, answer=answer.text)
        for item, answer in zip(asked, answers, strict=True)
        if answer.finish_reason == "stop"
    ]
    assert len(items) > 3
    sure = [min(token.logprob for token in engine.score(item.messages, item.answer)) > math.log(0.52) for item in items]
    assert {True, False} == set(sure)
    for item, known in zip(items, sure, strict=True):
        before = engine.stats().generated_tokens
        [(_, [reply])] = EngineResponder(engine).respond([item], ["full"])
        assert (reply.text, reply.finish_reason) == (item.answer, "stop")
        assert (engine.stats().generated_tokens == before) == known
    # Not where the answer would be cut.
    item = next(item for item, known in zip(items, sure, strict=True) if known and len(item.answer) > 0)
    [(_, [reply])] = EngineResponder(engine, max_tokens=1).respond([item], ["full"])
    assert reply.finish_reason == "length"


def test_one_who_stops_listening_leaves_nothing_behind(engine: Engine) -> None:
    records = EngineResponder(engine, at_once=8).respond(DrawnSet(["count"], 12, seed=2), ["full", "fast"])
    next(records)
    del records
    deadline = time.monotonic() + 20
    while engine.stats().running or engine.stats().waiting:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    engine.check_invariants()


def test_answers_are_long_enough_by_default(engine: Engine) -> None:
    [item] = DrawnSet(["count"], 1, seed=2)
    [options] = EngineResponder(engine)._options(item, ["full"])
    assert options.max_tokens is not None
    assert options.max_tokens >= 2 * len(engine.prompt_builder.tokenizer.encode(item.answer))


def test_an_item_that_cannot_be_asked_is_named(engine: Engine, tmp_path: Path) -> None:
    good = list(DrawnSet(["count"], 6, seed=2))
    huge = Item("mine:3", "text", [{"role": "user", "content": "tea " * 40_000}], "tea", "yes")
    with pytest.raises(ContextLengthError, match="mine:3: ") as caught:
        list(EngineResponder(engine).respond([*good, huge], ["full"]))
    engine.check_invariants()  # behind what was told the engine before
    assert (engine.stats().running, engine.stats().waiting) == (0, 0), f"still at work after {caught.value}"
    gone = Item("mine:4", "text", [{"role": "user", "content": [{"type": "image", "image": tmp_path / "x"}]}], "", "")
    with pytest.raises(InputError, match="mine:4: "):
        list(EngineResponder(engine).respond([gone], ["full"]))
    engine.check_invariants()
