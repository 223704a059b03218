"""`qwen3vl eval` as a person runs it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from qwen3vl.bench import datasets
from qwen3vl.cli import main
from qwen3vl.errors import FontError


def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    """Status, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["qwen3vl", "eval", *arguments, "--memory", "1GiB"])
    monkeypatch.setenv("COLUMNS", "160")
    status: object = 0
    try:
        main()
    except SystemExit as exited:
        status = exited.code
    out, err = capfd.readouterr()
    return status or 0, out, err


def test_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    figures, answers = tmp_path / "figures.json", tmp_path / "answers.jsonl"
    asked = ["--mode", "fast", "--mode", "full", "--tasks", "count, color", "--samples", "3", "--seed", "4"]
    status, out, err = run(monkeypatch, capfd, *asked, "--json", str(figures), "--answers", str(answers))
    assert status == 0, err
    assert "tiny-moe: 8 experts" in err
    assert [word in out for word in ("count", "color", "all tasks", "What modes lose", "Targets")] == [True] * 5
    raw = json.loads(figures.read_text())
    assert raw["about"]["model"] == "tiny-moe"
    assert raw["about"]["seed"] == 4
    assert raw["tasks"]["count"]["number"]["fast"]["n"] == 3
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [(line["name"], line["mode"]) for line in lines if line["task"] == "count"] == [
        (f"count/{i}", mode) for i in range(3) for mode in ("fast", "full")
    ]
    right = [line["scores"]["number"][0] for line in lines if line["task"] == "count" and line["mode"] == "full"]
    assert sum(right) / 3 == pytest.approx(raw["tasks"]["count"]["number"]["full"]["value"])


def test_a_format_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    asked = ["tiny-dense", "--tasks", "color", "--samples", "1", "--quantization", "int4", "--kv-cache", "int8"]
    status, _, err = run(monkeypatch, capfd, *asked, "--json", str(figures))
    assert status == 0, err
    about = json.loads(figures.read_text())["about"]
    assert (about["quantization"], about["kv_cache"]) == ("int4", "int8")


def test_paraphrases_and_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    figures, answers = tmp_path / "figures.json", tmp_path / "answers.jsonl"
    asked = ["tiny-dense", "--tasks", "html,color", "--samples", "2", "--paraphrases", "--render", "--max-tokens", "40"]
    status, out, err = run(monkeypatch, capfd, *asked, "--json", str(figures), "--answers", str(answers))
    assert status == 0, err
    assert "What wordings lose" in out
    raw = json.loads(figures.read_text())
    assert set(raw["paraphrases"]["full"]) == {"html", "color", "all"}
    assert 0 <= raw["tasks"]["html"]["render"]["full"]["value"] <= 1
    assert "render" not in raw["tasks"]["color"]
    [wording] = [row for row in raw["targets"] if "wordings" in row["measure"]]
    assert wording["reached"] == raw["paraphrases"]["full"]["all"]["lost"]
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [line["worded"] for line in lines] == ["held_out", "train"] * 4


def test_processes_share_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two of them give each answer once, in the same order and the same words, twins in the strongest mode alone."""
    asked = ["--mode", "fast", "--mode", "full", "--tasks", "count,color", "--samples", "4", "--paraphrases"]
    found = []
    for jobs in ("1", "2"):
        file = tmp_path / f"{jobs}.jsonl"
        status, _, err = run(monkeypatch, capfd, *asked, "--max-tokens", "8", "--jobs", jobs, "--answers", str(file))
        assert status == 0, err
        found.append([json.loads(line) for line in file.read_text().splitlines()])
    one, two = found
    assert [(line["name"], line["mode"], line["worded"]) for line in one] == [
        (f"{task}/{number}", *asked)
        for task in ("count", "color")
        for number in range(4)
        for asked in (("fast", "held_out"), ("full", "held_out"), ("full", "train"))
    ]
    assert [{**line, "scores": None} for line in one] == [{**line, "scores": None} for line in two]


def test_a_process_that_fails_ends_all(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    asked = ["tiny-dense", "--mode", "fast", "--tasks", "count", "--samples", "40", "--jobs", "2"]
    status, out, err = run(monkeypatch, capfd, *asked)
    assert (status, out) == (1, "")
    assert "this model is dense" in err


def test_fonts_may_lie_in_a_folder_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QWEN3VL_FONTS", str(tmp_path))
    status, out, err = run(monkeypatch, capfd, "--tasks", "color", "--samples", "1")
    assert status == 0, err
    assert "color" in out


def test_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (256, 256), "white").save(tmp_path / "a.png")
    rows = [{"image": "a.png", "question": "How many shapes are there?", "answer": "0", "task": "count"}]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, out, err = run(monkeypatch, capfd, "tiny-dense", "--data", str(tmp_path), "--max-tokens", "8")
    assert status == 0, err
    assert "number" in out


def test_help_names_the_defaults(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(monkeypatch, capfd, "--help")
    assert status == 0
    assert "[default: 300, or all of a folder's]" in " ".join(out.split())


def test_a_missing_font_is_named_before_a_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def missing(face: object) -> None:
        raise FontError("the font Noto is not here; install fonts-noto")

    monkeypatch.setattr(datasets, "locate", missing)
    status, _, err = run(monkeypatch, capfd, "no-such-model", "--tasks", "color")
    assert status == 1
    assert "install fonts-noto" in err
    assert "no-such-model" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tasks", "riddle"], "'riddle'"),
        (["--data", "gone"], "no .jsonl file"),
        (["--json", "gone/x.json"], "gone is no folder"),
        (["--data", "gone", "--paraphrases"], "leave out --data or --paraphrases"),
        (["--mode", "turbo", "--tasks", "count", "--samples", "1"], "unknown mode 'turbo'"),
        (["tiny-dense", "--mode", "fast", "--tasks", "count", "--samples", "1"], "this model is dense"),
    ],
)
def test_a_failure_is_one_line(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(monkeypatch, capfd, *arguments)
    assert (status, out) == (1, "")
    [line] = [line for line in err.splitlines() if line.startswith("error: ")]
    assert words in line
    assert "Traceback" not in err
