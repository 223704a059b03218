"""What formats cost: figures of scripted answers, and a run of the small dense model."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.quality import __main__ as command
from benchmarks.quality.compare import Answered, Comparison, Found, divergence
from benchmarks.quality.formats import UNQUANTISED, Format, parse
from benchmarks.quality.report import summarise, worst
from qwen3vl.bench.datasets import DrawnSet
from qwen3vl.bench.scoring import Part

WEIGHTS = {"float32": 2**22, "int4": 2**20}


def test_formats_have_names() -> None:
    assert parse("int4") == Format("int4", quantization="int4")
    assert parse("int4+int8-kv") == Format("int4+int8-kv", quantization="int4", kv_cache="int8")
    assert parse("bf16") == Format("bf16", dtype="bfloat16")
    with pytest.raises(ValueError, match="unknown format 'int3'; known are bf16, int8, int4, int8-kv"):
        parse("int8-kv+int3")


def test_divergence() -> None:
    generator = torch.Generator().manual_seed(1)
    base, other = (torch.randn(5, 30, generator=generator).log_softmax(-1) for _ in range(2))
    want = torch.nn.functional.kl_div(other, base, reduction="sum", log_target=True)
    assert divergence(base, other) == pytest.approx(float(want), rel=1e-5)
    assert divergence(base, base) == 0
    # A log-probability that float32 has rounded up is no negative divergence.
    assert 0 <= divergence(base, base + 1e-6) < 1e-12


def scripted(task: str, wrong: int, kl: float) -> list[Answered]:
    """100 questions, all right, and in int4 but for `wrong`; each of 10 tokens."""
    found = []
    for number in reversed(range(100)):
        for name in WEIGHTS:
            bad = name == "int4" and number < wrong
            parts = {
                "accuracy": Part(not bad),
                "nll": Part(1.0 if name == "float32" else 1.2, 10),
                "kl": Part(0.0 if name == "float32" else kl, 10),
                "same": Part(not bad),
            }
            found.append(Answered(number, task, name, parts))
    return found


def test_figures() -> None:
    report = summarise([*scripted("color", 4, 0.5), *scripted("html", 0, 0.1)], 0, {"seed": 0}, WEIGHTS)
    costs = report.costs["int4"]
    assert set(report.costs) == {"int4"}
    assert costs["color"].accuracy.value == pytest.approx(0.96)
    assert costs["color"].accuracy_lost.value == pytest.approx(0.04)
    assert 0 < costs["color"].accuracy_lost.low < 0.03 < 0.05 < costs["color"].accuracy_lost.high < 0.1
    assert (costs["color"].kl.value, costs["html"].kl.value) == pytest.approx((0.05, 0.01))
    assert costs["color"].nll_lost.value == pytest.approx(0.02)
    assert costs["all tasks"].accuracy_lost.value == pytest.approx(0.02)
    assert costs["all tasks"].kl.value == pytest.approx(0.03)
    assert costs["all tasks"].same.value == pytest.approx(0.98)
    assert worst(costs) == "color"
    raw = report.to_json()["formats"]["int4"]
    assert (raw["most_lost_by"], raw["within_a_point"]) == ("color", False)
    lines = list(report.markdown())
    [row] = [line for line in lines if line.startswith("| `int4` |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == "1.0"
    assert cells[2].startswith("98.0 [")
    assert cells[3].startswith("+2.0 [")
    assert cells[4].startswith("`color` +4.0 [")
    assert cells[6].startswith("0.03 [")
    assert any(line.startswith("| `html` | tags | 100 | 100.0 [") for line in lines)


def test_formats_must_have_answered_the_same() -> None:
    answers = scripted("color", 0, 0.1)[1:]
    with pytest.raises(AssertionError, match="other questions"):
        summarise(answers, 0, {}, WEIGHTS)


@pytest.fixture(scope="module")
def found() -> Found:
    formats = (parse("int8"), parse("int4+int8-kv"))
    items = DrawnSet(["count", "ocr_line"], 2, seed=0)
    return Comparison("tiny-dense", formats, items, "full", None)(iter(range(4)), lambda done: None)


def test_the_same_questions_in_every_format(found: Found) -> None:
    assert [(each.number, each.task) for each in found.answers if each.format == "int8"] == [
        *((0, "count"), (1, "ocr_line"), (2, "count"), (3, "ocr_line"))
    ]
    assert found.weight_bytes["float32"] > found.weight_bytes["int8"] > found.weight_bytes["int4+int8-kv"]
    kl = {
        name: sum(each.parts["kl"].value for each in found.answers if each.format == name)
        for name in found.weight_bytes
    }
    assert kl["float32"] == 0
    assert 0 < kl["int8"] < kl["int4+int8-kv"] < math.inf
    for each in found.answers:
        if each.format == UNQUANTISED.name:
            assert each.parts["same"].value == 1
            assert each.parts["nll"].weight == each.parts["kl"].weight > 1


def test_nothing_is_begun_after_its_time() -> None:
    items = DrawnSet(["count"], 2, seed=0)
    none = Comparison("tiny-dense", (), items, "full", 0.0)(iter(range(2)), lambda done: None)
    assert none.answers == []


def test_the_command(
    found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Comparison] = []

    def share(work: Comparison, total: int, jobs: int, progress: object) -> list[Found]:
        asked.append(work)
        assert (total, jobs) == (4, 3)
        return [found]

    monkeypatch.setattr(command, "share", share)
    file = tmp_path / "q.json"
    given = ["tiny-dense", "--formats", "int8,int4+int8-kv", "--tasks", "count,ocr_line", "--samples", "2"]
    monkeypatch.setattr(sys, "argv", ["quality", *given, "--mode", "2", "--jobs", "3", "--json", str(file)])
    command.main()
    [work] = asked
    assert ([each.name for each in work.formats], work.mode, work.until) == (["int8", "int4+int8-kv"], 2, None)
    assert "4 questions" in capsys.readouterr().out
    assert '"within_a_point"' in file.read_text()
