"""The program itself: runs of a few steps on the CPU, one after the other, and what they leave behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.drawn import FAMILIES
from support.tiny_training import SUPPLIES, TEXT, VISION, draw, vocabulary
from training import architecture, state, train
from training.export import export
from training.mixture import SHARES, VIDEO
from training.optim import Rates


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the program with small shapes; gives the lines of its log."""
    monkeypatch.setattr(train, "SUPPLIES", SUPPLIES)
    monkeypatch.setattr(train, "draw_sample", draw)
    monkeypatch.setattr(architecture, "TEXT", architecture.TEXT | TEXT)
    monkeypatch.setattr(architecture, "VISION", architecture.VISION | VISION)
    vocabulary().save(tmp_path / "tokenizer.json")
    common = ["--device", "cpu", "--workers", "0", "--evaluate", "1", "--tokenizer", str(tmp_path / "tokenizer.json")]

    def call(*arguments: str, out: str) -> list[dict[str, Any]]:
        train.run(train.parse([*arguments, *common, "--out", str(tmp_path / out)]))
        return [json.loads(line) for line in (tmp_path / out / "train.log").read_text().splitlines()]

    return call


def test_two_runs_and_a_mixture(run: Any, tmp_path: Path) -> None:
    first = run("dense", "--steps", "2", "--until", "0.5", out="half")
    assert [line["event"] for line in first] == ["start", "step", "saved", "held out", "end"]
    reached, _, _ = state.load(tmp_path / "half")
    assert (reached.step, reached.progress, reached.next_piece) == (2, 0.5, 6)

    with pytest.raises(SystemExit, match="another model"):
        run("moe", "--steps", "1", "--resume", str(tmp_path / "half"), out="other")
    run("dense", "--steps", "2", "--resume", str(tmp_path / "half"), out="whole")
    reached, dense, _ = state.load(tmp_path / "whole")
    assert (reached.step, reached.progress, reached.next_piece) == (4, 1.0, 12)

    export(tmp_path / "whole", tmp_path / "released", tmp_path / "tokenizer.json")
    log = run("moe", "--from", str(tmp_path / "released"), "--steps", "1", out="moe")
    reached, mixture, _ = state.load(tmp_path / "moe")
    assert (reached.step, reached.next_piece, reached.seed) == (1, 3, 1)  # data of its own
    assert [line["experts"] for line in log if line["event"] == "held out"] == [1, 2, 3, 4]
    assert dense.keys() - mixture.keys()
    assert torch.isfinite(mixture["model.language_model.layers.0.mlp.experts.down_proj"]).all()

    export(tmp_path / "moe", tmp_path / "released", tmp_path / "tokenizer.json")
    assert ModelConfig.from_folder(tmp_path / "released").is_moe


def test_goes_on_from_released_weights_with_other_data(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("dense", "--steps", "1", out="dense")
    export(tmp_path / "dense", tmp_path / "released", tmp_path / "tokenizer.json")
    run("moe", "--steps", "1", "--from", str(tmp_path / "released"), out="moe")
    export(tmp_path / "moe", tmp_path / "released_moe", tmp_path / "tokenizer.json")

    for rates in ("DENSE_RATES", "MOE_RATES"):
        monkeypatch.setattr(train, rates, Rates(muon=0.0, adam=0.0))
    for model, released in (("dense", "released"), ("moe", "released_moe")):
        run(model, "--steps", "1", "--from", str(tmp_path / released), "--seed", "1", out=f"{model}2")
        reached, weights, _ = state.load(tmp_path / f"{model}2")
        assert (reached.step, reached.seed) == (1, 2 + (model == "moe"))
        given = state.load_weights(tmp_path / released)
        assert all(torch.equal(weights[name], tensor) for name, tensor in given.items())


def test_trained_weights_may_begin_with_lower_rates(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = Rates(muon=0.02, adam=0.003, warmup_steps=1)
    monkeypatch.setattr(train, "DENSE_RATES", rates)
    run("dense", "--steps", "1", out="dense")
    given = ["--from", str(tmp_path / "dense"), "--seed", "1"]
    whole = run("dense", "--steps", "1", *given, out="whole")
    late = run("dense", "--steps", "1", *given, "--begin", "0.9", out="late")
    shares = [next(line["rate"] for line in log if line["event"] == "step") for log in (whole, late)]
    assert shares == [1.0, round(rates.share(1, 0.9), 3)]
    assert state.load(tmp_path / "late")[0].progress == 1.0


def test_a_run_ends_in_time_and_on_a_signal(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "EVALUATION_SECONDS", 0.0)
    log = run("dense", "--seconds", "0.5", out="short")
    assert log[-1]["event"] == "end"
    assert state.load(tmp_path / "short")[0].progress == 1.0

    clock = train.Clock(0.2, 0.6, seconds=100.0, steps=None)
    assert clock.progress == pytest.approx(0.2, abs=1e-3)
    assert not clock.is_over
    clock.stop(15, None)
    assert clock.is_over


def test_saves_nothing_when_the_loss_is_no_number(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "DENSE_RATES", Rates(muon=float("nan"), adam=0.0))
    with pytest.raises(SystemExit, match="not finite"):
        run("dense", "--steps", "3", out="lost")
    assert {path.name for path in (tmp_path / "lost").iterdir()} == {"train.log"}


@pytest.mark.parametrize(
    "arguments",
    [
        "moe --steps 1",
        "dense --from x --resume x --steps 1",
        "dense",
        "dense --steps 1 --seconds 2",
        "dense --steps 1 --begin 0.5",
        "dense --steps 1 --from x --begin 0.5 --until 0.5",
    ],
)
def test_refuses_what_makes_no_sense(arguments: str) -> None:
    with pytest.raises(SystemExit):
        train.parse([*arguments.split(), "--out", "x"])


def test_the_real_shapes_are_within_the_budgets_of_the_release() -> None:
    """16 MB a file and 64 MB in all are tested where files are written; here the numbers of parameters."""
    from training.network import Network

    counts = []
    for moe in (False, True):
        config = ModelConfig.from_dict(architecture.config(2176, moe=moe))
        with torch.device("meta"):
            network = Network(config)
        counts.append(sum(p.numel() for name, p in network.named_parameters() if name.startswith("model.")))
    assert 10e6 < counts[0] < 12e6
    assert 15e6 < counts[1] < 17e6
    assert 2 * sum(counts) < 64e6


def test_every_family_has_a_share() -> None:
    assert {*SHARES, VIDEO} == set(FAMILIES)
    assert sum(SHARES.values()) == pytest.approx(1.0)
