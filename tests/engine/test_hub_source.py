"""Models that are not here yet come from the hub that is named, wherever a model is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from qwen3vl import Engine
from qwen3vl.cli import app
from qwen3vl.engine import saved
from qwen3vl.errors import DownloadError
from qwen3vl.server.shelf import Shelf
from qwen3vl.settings import ModelSettings
from support.hub import REPO, Hub, serve
from support.tiny import SHIPPED

QUESTION = [{"role": "user", "content": "What can you do?"}]


@pytest.fixture
def modelscope(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """It has the shipped model; at the other hub's address nobody answers."""
    files = {path.name: path.read_bytes() for path in (SHIPPED / "dense").iterdir()}
    with serve(files) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield hub


def test_an_engine_loads_it(modelscope: Hub) -> None:
    with Engine.load(REPO, source="modelscope", device="cpu") as engine:
        answer = engine.generate(QUESTION, max_tokens=6, temperature=0.0)
    with Engine.load("tiny-dense", device="cpu") as engine:
        assert engine.generate(QUESTION, max_tokens=6, temperature=0.0).token_ids == answer.token_ids
    assert modelscope.requests
    with pytest.raises(DownloadError, match="models come from 'huggingface' or 'modelscope', not from 'elsewhere'"):
        Engine.load(REPO, source="elsewhere")


def test_a_server_loads_it(modelscope: Hub) -> None:
    shelf = Shelf(ModelSettings(source="modelscope", device="cpu"))
    assert not shelf.is_here(REPO)
    folder = shelf.fetch(REPO, lambda done, total: None)
    assert shelf.is_here(REPO)
    assert not Shelf(ModelSettings()).is_here(REPO)
    with shelf.load(REPO, folder, lambda done, total: None) as engine:
        assert engine.info.name == REPO


def test_the_commands_load_it(modelscope: Hub, tmp_path: Path) -> None:
    environment = {"QWEN3VL_MODEL_SOURCE": "modelscope", "QWEN3VL_MODEL_DEVICE": "cpu"}
    said = CliRunner().invoke(app, ["chat", "What can you do?", "--model", REPO, "--max-tokens", "6"], env=environment)
    assert said.exit_code == 0, said.stderr
    made = CliRunner().invoke(app, ["quantize", REPO, str(tmp_path / "out"), "--source", "modelscope"])
    assert made.exit_code == 0, made.stderr
    assert saved.stored_quantization(tmp_path / "out") == "int4"
