"""The loader against the reference library: same folder, same tensors, bit by bit; and every way in which a folder can
be wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.checkpoints.tensors import released_shapes
from qwen3vl.checkpoints.weights import load_weights
from qwen3vl.errors import CheckpointError
from support.tiny import SHIPPED, make_checkpoint, make_config, random_model

REFERENCE: Any = transformers  # its annotations are not those of what it returns

GATE_UP, DOWN = "mlp.experts.gate_up_proj", "mlp.experts.down_proj"
LAYER = "model.language_model.layers.2."


def empty(config: ModelConfig, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """A destination for every tensor, full of a value that no checkpoint holds."""
    return {name: torch.full(shape, 777.0, dtype=dtype) for name, shape in released_shapes(config).items()}


def load(folder: Path, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    config = ModelConfig.from_folder(folder)
    destinations = empty(config, dtype)
    load_weights(folder, destinations, config)
    return destinations


def reference(folder: Path) -> dict[str, torch.Tensor]:
    """What the reference library loads, by released name and in released shape, in the type that is stored."""
    model, report = REFERENCE.AutoModelForImageTextToText.from_pretrained(
        folder, dtype="auto", output_loading_info=True
    )
    assert not any(report.values())
    return released(model.state_dict())


def released(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: t.transpose(1, 2) if name.endswith((GATE_UP, DOWN)) else t for name, t in state.items()}


def assert_same(loaded: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert loaded.keys() == {name for name in expected if name != "lm_head.weight" or name in loaded}
    for name, tensor in loaded.items():
        assert torch.equal(tensor, expected[name].to(tensor.dtype)), name


KINDS: dict[str, dict[str, Any]] = {
    "dense tied": {},
    "dense untied": {"tied": False},
    "moe tied": {"moe": True},
    "moe untied": {"moe": True, "tied": False},
    "moe every third layer": {"moe": True, "sparse_step": 3, "tied": False},
    "moe with dense layers": {"moe": True, "mlp_only": [0, 4]},
    "moe transposed": {"moe": True, "layout": "transposed"},
    "moe resaved": {"moe": True, "layout": "transposed", "dialect": "resaved"},
    "yarn": {"yarn": True},
    "bfloat16": {"moe": True, "dtype": torch.bfloat16},
}


@pytest.mark.parametrize("kind", KINDS)
def test_loads_what_the_reference_loads(kind: str, tmp_path: Path) -> None:
    make_checkpoint(tmp_path, **KINDS[kind])
    assert_same(load(tmp_path), reference(tmp_path))


@pytest.mark.parametrize("sparse_step", [1, 3])
def test_loads_single_experts(sparse_step: int, tmp_path: Path) -> None:
    """The reference library does not read this layout for this model, so the model that was stored is the oracle."""
    config = make_checkpoint(tmp_path, moe=True, sparse_step=sparse_step, layout="per_expert")
    assert_same(load(tmp_path), released(random_model(config).state_dict()))


@pytest.mark.parametrize("name", ["dense", "moe"])
def test_loads_the_shipped_models(name: str) -> None:
    assert_same(load(SHIPPED / name, torch.bfloat16), reference(SHIPPED / name))


@pytest.mark.parametrize("layout", ["released", "transposed"])
@pytest.mark.parametrize("width", [32, 64])  # of an expert; the hidden size is 64, so one of the two tensors is square
def test_square_experts_are_told_apart_by_the_other_tensor(layout: Any, width: int, tmp_path: Path) -> None:
    config = make_checkpoint(tmp_path, moe=True, layout=layout, expert_width=width)
    assert_same(load(tmp_path), released(random_model(config).state_dict()))


def test_fills_views_of_any_stride_and_casts(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, moe=True, dtype=torch.float32)
    config, expected = ModelConfig.from_folder(tmp_path), reference(tmp_path)
    destinations = {}
    for name, shape in released_shapes(config).items():
        storage = torch.full((*reversed(shape), 2), 777.0, dtype=torch.bfloat16)
        destinations[name] = storage[..., 1].permute(*reversed(range(len(shape))))
    load_weights(tmp_path, destinations, config)
    assert any(not tensor.is_contiguous() for tensor in destinations.values())
    assert_same(destinations, expected)


def test_reads_a_single_file(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, moe=True)
    expected = reference(tmp_path)
    rewrite(tmp_path, lambda tensors: None)
    assert not (tmp_path / "model.safetensors.index.json").exists()
    assert_same(load(tmp_path), expected)


def test_reports_progress_in_bytes(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, moe=True, dtype=torch.bfloat16)
    config = ModelConfig.from_folder(tmp_path)
    seen: list[tuple[int, int]] = []
    load_weights(tmp_path, empty(config), config, progress=lambda done, total: seen.append((done, total)))
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    total = index["metadata"]["total_size"]
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


# What can be wrong. `rewrite` stores the checkpoint again, as one file, with its tensors changed.


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors: dict[str, torch.Tensor] = {}
    for shard in folder.glob("*.safetensors"):
        tensors |= load_file(shard)
        shard.unlink()
    (folder / "model.safetensors.index.json").unlink(missing_ok=True)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")


def refusal(folder: Path) -> str:
    """The error of a load, which must not have touched any destination."""
    config = ModelConfig.from_folder(folder)
    destinations = empty(config)
    with pytest.raises(CheckpointError) as caught:
        load_weights(folder, destinations, config)
    assert all((tensor == 777.0).all() for tensor in destinations.values())
    return str(caught.value)


def test_a_missing_tensor(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, moe=True)
    rewrite(tmp_path, lambda tensors: tensors.pop(LAYER + GATE_UP))
    assert f"lacks {LAYER}{GATE_UP}" in refusal(tmp_path)


def test_many_missing_tensors_are_counted(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    rewrite(tmp_path, lambda tensors: [tensors.pop(name) for name in list(tensors) if "visual.blocks" in name])
    assert "and 44 more" in refusal(tmp_path)


def test_a_missing_expert(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, moe=True, layout="per_expert")
    rewrite(tmp_path, lambda tensors: tensors.pop(f"{LAYER}mlp.experts.3.up_proj.weight"))
    assert f"lacks {LAYER}mlp.experts.3.up_proj.weight" in refusal(tmp_path)


@pytest.mark.parametrize(
    "extra", ["model.language_model.layers.6.mlp.gate.weight", LAYER + "mlp.experts.0.up_proj.weight"]
)
def test_a_tensor_left_over(extra: str, tmp_path: Path) -> None:
    make_checkpoint(tmp_path, moe=True)
    rewrite(tmp_path, lambda tensors: tensors.update({extra: torch.zeros(2)}))
    assert f"has {extra} that this model does not use" in refusal(tmp_path)


def test_other_prefixes_are_refused(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)

    def rename(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if "visual" in name]:
            tensors[name.removeprefix("model.")] = tensors.pop(name)

    rewrite(tmp_path, rename)
    message = refusal(tmp_path)
    assert "lacks model.visual." in message
    assert "and has visual." in message


def test_a_wrong_shape(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    name = "model.visual.pos_embed.weight"
    rewrite(tmp_path, lambda tensors: tensors.update({name: torch.zeros(36, 72)}))
    message = refusal(tmp_path)
    assert f"{name} has shape [36, 72], but config.json asks for [64, 72]" in message


@pytest.mark.parametrize("name", [GATE_UP, DOWN])
def test_experts_of_two_layouts_in_one_layer(name: str, tmp_path: Path) -> None:
    make_checkpoint(tmp_path, moe=True)
    rewrite(tmp_path, lambda tensors: tensors.update({LAYER + name: tensors[LAYER + name].transpose(1, 2)}))
    assert "has shape" in refusal(tmp_path)


def test_an_untied_model_without_a_head(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, tied=False)
    rewrite(tmp_path, lambda tensors: tensors.pop("lm_head.weight"))
    message = refusal(tmp_path)
    assert "lacks lm_head.weight" in message
    assert "not tied" in message


def test_a_tied_model_may_store_a_true_copy_of_the_embeddings(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    expected = reference(tmp_path)
    copy = "model.language_model.embed_tokens.weight"
    rewrite(tmp_path, lambda tensors: tensors.update({"lm_head.weight": tensors[copy].clone()}))
    assert_same(load(tmp_path), expected)


def test_a_tied_model_with_another_head_is_refused(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    rewrite(tmp_path, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(576, 64)}))
    assert "ties the output head to the embeddings, but" in refusal(tmp_path)


def test_a_quantised_type(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    name = "model.language_model.norm.weight"
    rewrite(tmp_path, lambda tensors: tensors.update({name: tensors[name].to(torch.float8_e4m3fn)}))
    assert f"{name} is stored as F8_E4M3; this package reads BF16, F16 and F32" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file(keep: int, tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    shard = sorted(tmp_path.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:keep])
    assert f"{shard} is truncated or not a safetensors file" in refusal(tmp_path)


def test_a_missing_shard(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    shard = sorted(tmp_path.glob("*.safetensors"))[2]
    shard.unlink()
    assert f"lacks {shard.name}, which model.safetensors.index.json names" in refusal(tmp_path)


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    first, second = sorted(tmp_path.glob("*.safetensors"))[:2]
    save_file(load_file(first) | load_file(second), second)
    assert "is stored twice" in refusal(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": 3}', '{"weight_map": {"a": "../a.safetensors"}}'])
def test_a_broken_index(content: str, tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(content)
    assert "model.safetensors.index.json" in refusal(tmp_path)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    config = ModelConfig.from_folder(SHIPPED / "dense")
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(CheckpointError, match=r"pickle files \(pytorch_model.bin\), which can run code"):
        load_weights(tmp_path, empty(config), config)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    config = ModelConfig.from_folder(SHIPPED / "dense")
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors and no model\.safetensors\.index\.json"):
        load_weights(tmp_path, empty(config), config)


@pytest.mark.parametrize(
    "options", [{}, {"tied": False}, {"moe": True}, {"moe": True, "sparse_step": 3, "tied": False}]
)
def test_released_shapes_are_those_of_the_reference(options: dict[str, Any]) -> None:
    config = make_config(**options)
    state = {name: tuple(tensor.shape) for name, tensor in released(random_model(config).state_dict()).items()}
    if config.tie_word_embeddings:
        del state["lm_head.weight"]
    assert released_shapes(ModelConfig.from_dict(config.to_dict())) == state
