"""The catalogue against the published sizes and the reference library's idea of the same configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from qwen3vl.checkpoints import catalogue, locate
from qwen3vl.checkpoints.catalogue import CATALOGUE, DEFAULT_MODEL, ReleasedModel, ShippedModel, find, lookup
from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.checkpoints.tensors import active_text_parameters, released_shapes, text_parameters, vision_parameters
from qwen3vl.errors import CheckpointError

REFERENCE: Any = transformers  # its annotations are not those of what it returns

RELEASED = [model for model in CATALOGUE.values() if isinstance(model, ReleasedModel)]

# Text parameters and those that one token meets, in billions, and KiB of keys and values a token in bfloat16.
PUBLISHED = {
    "2b": (1.72, 1.72, 112),
    "4b": (4.02, 4.02, 144),
    "8b": (8.19, 7.57, 144),
    "32b": (32.8, 32.0, 256),
    "30b-a3b": (30.5, 3.04, 96),
    "235b-a22b": (235, 21.6, 188),
}


def test_holds_the_twelve_released_models_and_the_two_tiny_ones() -> None:
    assert [model.hub_id for model in RELEASED] == [
        f"Qwen/Qwen3-VL-{size}-{kind}"
        for size in ("2B", "4B", "8B", "32B", "30B-A3B", "235B-A22B")
        for kind in ("Instruct", "Thinking")
    ]
    assert [name for name, model in CATALOGUE.items() if isinstance(model, ShippedModel)] == ["tiny-moe", "tiny-dense"]
    assert DEFAULT_MODEL in CATALOGUE


@pytest.mark.parametrize("size", PUBLISHED)
@pytest.mark.parametrize("kind", ["instruct", "thinking"])
def test_parameter_counts_are_the_published_ones(size: str, kind: str) -> None:
    total, active, kv_kib = PUBLISHED[size]
    config = CATALOGUE[f"{size}-{kind}"].config
    assert f"{text_parameters(config) / 1e9:.3g}" == f"{total:.3g}"
    assert f"{active_text_parameters(config) / 1e9:.3g}" == f"{active:.3g}"
    assert 2 * 2 * config.text.num_layers * config.text.num_kv_heads * config.text.head_dim / 1024 == kv_kib
    assert config.tie_word_embeddings == (size in ("2b", "4b"))
    assert config.is_moe == ("-a" in size)


@pytest.mark.parametrize("model", RELEASED[::2], ids=lambda model: model.name)
def test_the_reference_library_builds_the_same_model(model: ReleasedModel) -> None:
    """On the meta device, from the same config.json: the same tensors, vision tower included."""
    raw = dict(model.raw_config)
    config = REFERENCE.AutoConfig.for_model(raw.pop("model_type"), **raw)
    with torch.device("meta"):
        reference = REFERENCE.AutoModelForImageTextToText.from_config(config)
    sizes = {name: tensor.numel() for name, tensor in reference.named_parameters()}
    assert sizes == {name: torch.Size(shape).numel() for name, shape in released_shapes(model.config).items()}
    assert sum(sizes.values()) == text_parameters(model.config) + vision_parameters(model.config)


def test_configs_read_the_same_however_they_are_written(tmp_path: Path) -> None:
    """The reference library re-saves a released config in the newer dialect, which must mean the same to us."""
    for model in RELEASED[::2]:
        raw = dict(model.raw_config)
        REFERENCE.AutoConfig.for_model(raw.pop("model_type"), **raw).save_pretrained(tmp_path / model.name)
        assert "rope_parameters" in (tmp_path / model.name / "config.json").read_text()
        assert ModelConfig.from_folder(tmp_path / model.name) == model.config


def test_sampling_is_what_the_authors_recommend() -> None:
    instruct, thinking = CATALOGUE["8b-instruct"].generation, CATALOGUE["8b-thinking"].generation
    assert (instruct.temperature, instruct.top_p, instruct.top_k, instruct.presence_penalty) == (0.7, 0.8, 20, 1.5)
    assert (thinking.temperature, thinking.top_p, thinking.top_k, thinking.presence_penalty) == (0.6, 0.95, 20, 0.0)
    assert instruct.eos_token_ids == thinking.eos_token_ids == (151645, 151643)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("4b", "4b-instruct"),
        ("4B", "4b-instruct"),
        ("30b-a3b-thinking", "30b-a3b-thinking"),
        ("qwen3-vl-2b", "2b-instruct"),
        ("Qwen3-VL-8B-Thinking", "8b-thinking"),
        ("Qwen/Qwen3-VL-235B-A22B-Instruct", "235b-a22b-instruct"),
        (" tiny-dense ", "tiny-dense"),
    ],
)
def test_names_are_read_generously(name: str, expected: str) -> None:
    model = find(name)
    assert model is not None
    assert model.name == expected
    assert lookup(name) is model


@pytest.mark.parametrize("name", ["Qwen/Qwen2-VL-7B-Instruct", "someone/4b", "", "5b"])
def test_other_names_are_not_found(name: str) -> None:
    assert find(name) is None


@pytest.mark.parametrize(("name", "near"), [("4b-instuct", "4b-instruct"), ("tiny_moe", "tiny-moe"), ("", "tiny-moe")])
def test_an_unknown_name_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(CheckpointError, match=rf"no model is called {name!r}; the nearest names are .*{near}"):
        locate.locate(name)


def test_shipped_models_are_found_in_a_checkout_and_in_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert locate.locate("tiny-moe") == Path(__file__).parents[2] / "models" / "moe"
    installed = tmp_path / "site-packages" / "qwen3vl"
    (installed / "_models" / "dense").mkdir(parents=True)
    monkeypatch.setattr(catalogue, "files", lambda _: installed)
    assert catalogue._shipped("tiny-dense").folder == installed / "_models" / "dense"


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert locate.locate(tmp_path) == tmp_path
    assert locate.locate(str(tmp_path)) == tmp_path
    with pytest.raises(CheckpointError, match="is not a folder"):
        locate.locate(tmp_path / "missing")


@pytest.mark.parametrize(
    ("name", "hub_id"), [("4b", "Qwen/Qwen3-VL-4B-Instruct"), ("someone/a.model", "someone/a.model")]
)
def test_other_models_are_downloaded(name: str, hub_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repo_id: str, **options: object) -> Path:
        asked.append((repo_id, options["source"]))
        return tmp_path

    monkeypatch.setattr(locate, "download", download)
    assert locate.locate(name, source="modelscope") == tmp_path
    assert asked == [(hub_id, "modelscope")]
