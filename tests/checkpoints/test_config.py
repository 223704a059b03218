"""Reading `config.json`: both dialects mean the same, and what cannot be run is refused by name."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from qwen3vl.checkpoints.catalogue import CATALOGUE, ReleasedModel
from qwen3vl.checkpoints.config import ModelConfig, YarnConfig
from qwen3vl.errors import CheckpointError
from support.tiny import SHIPPED, make_checkpoint

REFERENCE: Any = transformers  # its annotations are not those of what it returns


def raw_config(name: str = "moe") -> dict[str, Any]:
    raw: dict[str, Any] = json.loads((SHIPPED / name / "config.json").read_text(encoding="utf-8"))
    return raw


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tied": False},
        {"moe": True},
        {"moe": True, "sparse_step": 3},
        {"moe": True, "mlp_only": [1]},
        {"yarn": True},
    ],
    ids=str,
)
def test_both_dialects_mean_the_same(options: dict[str, Any], tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "released", dialect="released", **options)
    make_checkpoint(tmp_path / "resaved", dialect="resaved", **options)
    released, resaved = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("released", "resaved"))
    assert "rope_theta" in released["text_config"]
    assert "rope_parameters" in resaved["text_config"]
    assert ModelConfig.from_dict(released) == ModelConfig.from_dict(resaved)


@pytest.mark.parametrize("name", ["dense", "moe"])
def test_shipped_configs_mean_what_the_reference_library_reads(name: str) -> None:
    ours, theirs = ModelConfig.from_folder(SHIPPED / name), REFERENCE.AutoConfig.from_pretrained(SHIPPED / name)
    text, vision = theirs.text_config, theirs.vision_config
    assert ours.text.rope.theta == text.rope_parameters["rope_theta"] == 10_000
    assert list(ours.text.rope.mrope_section) == text.rope_parameters["mrope_section"]
    assert (ours.text.head_dim, ours.text.num_kv_heads) == (text.head_dim, text.num_key_value_heads)
    assert ours.text.max_positions == text.max_position_embeddings
    assert list(ours.vision.deepstack_indexes) == list(vision.deepstack_visual_indexes)
    assert ours.vision.head_dim * vision.num_heads == vision.hidden_size
    assert ours.tie_word_embeddings is theirs.tie_word_embeddings is True
    assert ours.image_token_id == theirs.image_token_id
    assert ours.dtype == "bfloat16"
    if name == "moe":
        assert ours.text.moe is not None
        assert ours.text.moe.num_experts == text.num_experts
        assert ours.text.moe.num_experts_per_tok == text.num_experts_per_tok
        assert ours.text.moe.layers == frozenset(range(text.num_hidden_layers))


def test_layers_that_are_moe() -> None:
    raw = raw_config()
    raw["text_config"] |= {"decoder_sparse_step": 3, "mlp_only_layers": [5]}
    moe = ModelConfig.from_dict(raw).text.moe
    assert moe is not None
    assert moe.layers == {2}


def test_yarn() -> None:
    raw = raw_config()
    raw["text_config"]["rope_scaling"] |= {"rope_type": "yarn", "factor": 3.0, "original_max_position_embeddings": 1024}
    yarn = ModelConfig.from_dict(raw).text.rope.yarn
    assert yarn == YarnConfig(3.0, 1024, beta_fast=32, beta_slow=1, attention_factor=None, truncate=True)


def test_the_older_name_of_the_type_is_read() -> None:
    raw = raw_config() | {"torch_dtype": "float16"}
    del raw["text_config"]["dtype"]
    assert ModelConfig.from_dict(raw).dtype == "float16"


REQUIRED = [
    *(("text_config", key) for key in ("hidden_size", "head_dim", "rms_norm_eps", "rope_theta", "num_experts_per_tok")),
    *(("vision_config", key) for key in ("depth", "deepstack_visual_indexes", "out_hidden_size", "spatial_merge_size")),
]


@pytest.mark.parametrize(("section", "key"), REQUIRED)
def test_a_missing_key_is_not_guessed(section: str, key: str) -> None:
    raw = raw_config()
    del raw[section][key]
    with pytest.raises(CheckpointError, match=f"config.json lacks {section}.*{key}"):
        ModelConfig.from_dict(raw)


def test_whether_the_head_is_tied_is_not_guessed() -> None:
    raw = raw_config()
    del raw["tie_word_embeddings"], raw["text_config"]["tie_word_embeddings"]
    with pytest.raises(CheckpointError, match="tie_word_embeddings must be true or false, got None"):
        ModelConfig.from_dict(raw)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "qwen2_vl"}, "model_type is 'qwen2_vl'; this package runs 'qwen3_vl' and 'qwen3_vl_moe'"),
        ({"text_config": 3}, "text_config must be an object"),
        ({"text_config.hidden_size": "big"}, "text_config.hidden_size must be a non-negative integer"),
        ({"text_config.num_key_value_heads": 0}, "num_key_value_heads must be positive"),
        ({"text_config.num_key_value_heads": 3}, "4 query heads cannot share 3 key/value heads"),
        ({"text_config.num_experts_per_tok": 9}, "num_experts_per_tok is 9, but the model has 8 experts"),
        ({"text_config.decoder_sparse_step": 0}, "decoder_sparse_step must be positive"),
        ({"text_config.mlp_only_layers": "all"}, "mlp_only_layers must be a list of non-negative integers"),
        ({"text_config.norm_topk_prob": False}, "norm_topk_prob false"),
        ({"text_config.hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"text_config.rope_scaling.mrope_section": [12, 10, 11]}, "must be three numbers that sum to 32"),
        ({"text_config.rope_scaling.mrope_section": ["a"]}, "must be a list of non-negative integers"),
        ({"text_config.rope_scaling.rope_type": "longrope"}, "rope_type is 'longrope'"),
        ({"text_config.rope_scaling.mrope_interleaved": False}, "mrope_interleaved false"),
        ({"text_config.dtype": "int8"}, "dtype is 'int8'"),
        ({"vision_config.deepstack_visual_indexes": [1, 6]}, "reach past depth 6"),
        ({"vision_config.num_position_embeddings": 255}, "255 is not a square"),
        ({"vision_config.num_heads": 7}, "does not split into 7 rotary heads"),
        ({"vision_config.num_heads": 0}, "num_heads must be positive"),
        ({"vision_config.out_hidden_size": 128}, "out_hidden_size is 128, but text_config.hidden_size is 256"),
    ],
)
def test_what_cannot_be_run_is_refused(change: dict[str, Any], message: str) -> None:
    raw = copy.deepcopy(raw_config())
    for path, value in change.items():
        *sections, key = path.split(".")
        target = raw
        for section in sections:
            target = target[section]
        target[key] = value
    with pytest.raises(CheckpointError, match=message):
        ModelConfig.from_dict(raw)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "has no config.json"), ("{", "is not valid JSON"), ("[]", "must hold a JSON object")],
)
def test_a_broken_file(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        ModelConfig.from_folder(tmp_path)


def test_every_released_config_is_read() -> None:
    released = [model for model in CATALOGUE.values() if isinstance(model, ReleasedModel)]
    assert all(model.config.text.rope.theta == 5_000_000 for model in released)
    assert all(model.config.text.rope.mrope_section == (24, 20, 20) for model in released)
    assert all(model.config.text.max_positions == 262_144 for model in released)
