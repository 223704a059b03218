"""Packed networks as folders: saved once, loaded as they were."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from qwen3vl import Engine
from qwen3vl.cli import app
from qwen3vl.engine import saved
from qwen3vl.engine.build import quantize
from qwen3vl.errors import CheckpointError, InputError, InsufficientMemoryError

MODELS = Path(__file__).parents[2] / "models"
QUESTION = [{"role": "user", "content": "What can you do?"}]


def answer(model: Path, **options: str) -> list[int]:
    with Engine.load(model, device="cpu", **options) as engine:  # type: ignore[arg-type]
        assert engine.info.quantization in ("int4", "int8")
        return engine.generate(QUESTION, max_tokens=12, temperature=0.0).token_ids


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "moe-int4"
    quantize(MODELS / "moe", path, "int4")
    return path


@pytest.mark.parametrize(("model", "quantization"), [("moe", "int4"), ("dense", "int8")])
def test_a_saved_model_is_the_one_that_is_packed_while_loading(
    model: str, quantization: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "SHARD_BYTES", 2**22)
    quantize(MODELS / model, tmp_path / "new", quantization)
    assert len(list((tmp_path / "new").glob("*.safetensors"))) > 1
    assert answer(tmp_path / "new") == answer(MODELS / model, quantization=quantization)
    assert answer(tmp_path / "new", quantization=quantization) == answer(tmp_path / "new")


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of a process's memory")
def test_packed_matrices_stay_in_the_files_and_are_let_go_with_the_engine(folder: Path) -> None:
    shards = [str(path) for path in folder.glob("*.safetensors")]
    maps = Path("/proc/self/maps")
    with Engine.load(folder, device="cpu") as engine:
        for _ in range(2):
            engine.generate(QUESTION, max_tokens=2)
        assert all(shard in maps.read_text() for shard in shards)
    del engine
    assert not any(shard in maps.read_text() for shard in shards)


def test_matrices_begin_where_a_register_does(folder: Path) -> None:
    checked = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                tensor = file.get_tensor(name)
                if tensor.nbytes % saved.ALIGNMENT == 0:
                    assert tensor.data_ptr() % saved.ALIGNMENT == 0
                    checked += 1
    assert checked > 10


def test_a_stored_model_that_does_not_fit_is_told_of_no_other_form(tmp_path: Path) -> None:
    quantize(MODELS / "dense", tmp_path / "int8", "int8")
    with pytest.raises(InsufficientMemoryError, match=r"free on cpu\)$"):
        Engine.load(tmp_path / "int8", device="cpu", memory="10MiB")


def test_another_format_than_the_stored_one_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="holds weights of int4; quantization must be left out or 'int4'"):
        Engine.load(folder, device="cpu", quantization="int8")
    with pytest.raises(InputError, match="holds weights of int4 already"):
        quantize(folder, folder.parent / "again", "int8")


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    """Which is said before a model is looked for, as is a format that nobody knows."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not an empty folder"):
        quantize("no-such-model", tmp_path, "int4")
    with pytest.raises(InputError, match="quantization must be one of 'int8', 'int4', got 'int3'"):
        quantize("no-such-model", tmp_path / "new", "int3")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("cut", "lacks"),
        ("more", "has unknown"),
        ("other", "but this model needs"),
        ("half", r"is F16 \[.*but this model needs \[.*\] of torch.bfloat16"),
        ("new", "layout"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(folder: Path, tmp_path: Path, name: str, fault: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    shard = next(broken.glob("*.safetensors"))
    tensors = load_file(shard)
    first = sorted(tensors)[0]
    if name == "cut":
        del tensors[first]
    elif name == "more":
        tensors["surplus"] = tensors[first].clone()
    elif name == "other":
        tensors[first] = tensors[first].flatten()[:-16].clone()
    elif name == "half":
        first = next(each for each in sorted(tensors) if tensors[each].dtype == torch.bfloat16)
        tensors[first] = tensors[first].half()
    else:
        config = json.loads((broken / "config.json").read_text())
        config["quantization_config"]["layout"] = 99
        (broken / "config.json").write_text(json.dumps(config))
    save_file(tensors, shard)
    with pytest.raises(CheckpointError, match=fault):
        Engine.load(broken, device="cpu")


def test_the_command_says_how_to_start_what_it_wrote(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["quantize", "tiny-dense", str(tmp_path / "out"), "--to", "int8"])
    assert result.exit_code == 0
    assert f"qwen3vl serve {tmp_path / 'out'}" in result.stderr
    assert saved.stored_quantization(tmp_path / "out") == "int8"
    assert saved.stored_quantization(MODELS / "dense") is None
