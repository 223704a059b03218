"""The model card: every figure in it is one of the files it was made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwen3vl.bench.datasets import DrawnSet
from qwen3vl.bench.evaluate import Reply, evaluate, modes_of
from qwen3vl.bench.report import summarise
from qwen3vl.bench.scoring import Part
from qwen3vl.bench.targets import targets
from support.tiny import make_checkpoint
from training import card_tables
from training.card import card, count_parameters


class Parrot:
    """Knows the answer in a trained wording, and every other one in the others, but not in mode fast."""

    def respond(self, items: Any, modes: Any) -> Any:
        for number, item in enumerate(items):
            known = item.worded == "train" or number % 4 == 0
            yield (
                item,
                [
                    Reply(item.answer if known and mode != "fast" else "|", "stop", Part(1.0 + (mode == "fast"), 10.0))
                    for mode in modes_of(item, modes)
                ],
            )


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    """A folder of a random model, and the files that a card is made from."""
    make_checkpoint(tmp_path / "moe", moe=True)
    modes = ["fast", "full"]
    items = DrawnSet(["color", "ocr_line", "html"], 4, 0, paraphrases=True)
    parameters = count_parameters(tmp_path / "moe")
    about = {"parameters": parameters, "seed": 7, "dtype": "float32", "device": "cpu", "version": "9.9"}
    report = summarise(evaluate(Parrot(), items, modes), modes, 0, about)  # type: ignore[arg-type]
    raw = {**report.to_json(), "targets": [target.to_json() for target in targets(report)]}
    page = {"name": "tea", "package": "tea-doc", "version": "1", "licence": "MIT", "path": "/t.html", "question": "Q?"}
    answers = [{"answer": "1 | 2", "said": "```\n1\n```", "right": True}, {"answer": "x", "said": "", "right": False}]
    (tmp_path / "eval.json").write_text(json.dumps(raw))
    (tmp_path / "pages.json").write_text(json.dumps({"pages": [page | answer for answer in answers]}))
    (tmp_path / "run").mkdir()
    events: list[dict[str, Any]] = [
        {"t": 1, "event": "start", "parameters": 12_345_678, "step": 100},
        {"t": 90, "event": "saved", "step": 700},
        {"t": 0, "event": "start", "parameters": 12_300_000, "step": 700},
        {"t": 240, "event": "saved", "step": 2100},
    ]
    (tmp_path / "run" / "train.log").write_text("".join(json.dumps(event) + "\n" for event in events))
    return {"raw": raw, "folder": tmp_path / "moe", "parameters": parameters, "path": tmp_path}


def write(made: dict[str, Any]) -> str:
    path = made["path"]
    return card(made["folder"], [path / "eval.json"], path / "pages.json", [path / "run"])


def rows(text: str, first: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith(f"| {first} |")]


def test_a_card_says_what_was_measured(made: dict[str, Any]) -> None:
    text = write(made)
    assert "${" not in text
    assert f"{made['parameters'] / 1e6:.1f} million parameters" in text
    assert "8 experts of width 40" in text
    assert "12.3 million parameters: 2,000 steps in 5.5 minutes" in text
    assert "the mean of" not in text
    assert "Seed 7, float32 on cpu, version 9.9; the targets are those of mode full." in text
    assert rows(text, "`color`")[-2][1:] == ["exact", "4", "0.0 [0.0, 49.0]", "50.0 [15.0, 85.0]"]
    assert rows(text, "`color`")[-1][1:3] == ["100.0 [51.0, 100.0]", "50.0 [15.0, 85.0]"]  # of the wordings
    [exact] = rows(text, "screenshot to HTML: exact")
    assert exact[1:] == ["50.0 [15.0, 85.0]", "at least 50%", "yes"]
    [tags] = rows(text, "screenshot to HTML: sequence of tags")
    assert tags[3] == "**no**"
    [loss] = rows(text, "fast")
    assert loss[1:] == ["full", "+50.0 [+25.0, +75.0]", "+0.100 [+0.100, +0.100]", "yes"]
    assert "1 of 10" not in text
    assert "1 of 2" in text


def test_real_pages_with_all_signs(made: dict[str, Any]) -> None:
    text = write(made)
    first, second = rows(text, "tea")
    assert first[3:] == [r"`1 \| 2`", "`` ```↵1↵``` ``", "right"]
    assert second[4:] == ["(nothing)", "**wrong**"]


def test_figures_of_another_model_are_refused(made: dict[str, Any]) -> None:
    raw = made["raw"]
    raw["about"]["parameters"] += 1
    (made["path"] / "eval.json").write_text(json.dumps(raw))
    with pytest.raises(ValueError, match="parameters"):
        write(made)
    raw["about"]["parameters"] -= 1
    raw["paraphrases"] = {}
    (made["path"] / "eval.json").write_text(json.dumps(raw))
    with pytest.raises(ValueError, match="--paraphrases"):
        write(made)


def test_the_dense_card_needs_no_modes(made: dict[str, Any]) -> None:
    make_checkpoint(made["path"] / "dense")
    raw = made["raw"]
    raw["about"]["parameters"] = count_parameters(made["path"] / "dense")
    (made["path"] / "eval.json").write_text(json.dumps(raw))
    text = write({**made, "folder": made["path"] / "dense"})
    assert "an MLP of 112" in text
    assert "### Modes" not in text


def test_long_answers_are_cut() -> None:
    assert card_tables.code("x" * 20, 5) == "`xxxxx…`"
    assert card_tables.code("a\nb") == "`a↵b`"


def test_a_second_file_adds_what_the_first_does_not_measure(made: dict[str, Any]) -> None:
    path, raw = made["path"], made["raw"]
    looks = {
        "fast": {"value": 0.25, "low": 0.2, "high": 0.3, "n": 4},
        "full": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 4},
    }
    html = {
        metric: {mode: figure | {"value": 0.123} for mode, figure in modes.items()}
        for metric, modes in raw["tasks"]["html"].items()
    }
    other = {"about": raw["about"], "tasks": {"html": html | {"render": looks}}, "metrics": {"render": "how alike"}}
    (path / "looks.json").write_text(json.dumps(other))
    text = card(made["folder"], [path / "eval.json", path / "looks.json"], path / "pages.json", [path / "run"])
    assert "| render | 4 | 25.0 [20.0, 30.0] | 50.0 [40.0, 60.0] |" in text
    assert "- `render`: how alike" in text
    assert "12.3 [" not in text  # the first file's figures stay

    (path / "looks.json").write_text(json.dumps(other | {"about": raw["about"] | {"parameters": 3}}))
    with pytest.raises(ValueError, match=r"looks\.json is of a model with 3 parameters"):
        card(made["folder"], [path / "eval.json", path / "looks.json"], path / "pages.json", [path / "run"])


def test_a_card_says_of_how_many_runs_the_weights_are_the_mean(made: dict[str, Any]) -> None:
    path = made["path"]
    text = card(made["folder"], [path / "eval.json"], path / "pages.json", [path / "run"] * 2, averaged=2)
    assert text.count("2,000 steps in 5.5 minutes") == 2
    assert "the mean of what the last 2 of these reached" in text
