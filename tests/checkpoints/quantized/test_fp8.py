"""FP8 checkpoints, quantised by the reference library and read by it too."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import FineGrainedFP8Config
from transformers.integrations.finegrained_fp8 import Fp8Dequantize, Fp8Quantize

from support.quantized import (
    Tensors,
    assert_same,
    load,
    make_pair,
    read_one,
    read_tensors,
    refusal,
    rewrite,
    set_config,
    set_quantization,
    write_tensors,
)
from support.tiny import Layout, make_checkpoint

SETTINGS: dict[str, Any] = {
    "quant_method": "fp8",
    "fmt": "e4m3",
    "activation_scheme": "dynamic",
    "weight_block_size": [16, 16],
    "modules_to_not_convert": ["lm_head", "model.visual", "model.language_model.layers.0.mlp.gate"],
}
UP = "model.language_model.layers.2.mlp.up_proj.weight"


def by_the_reference(weight: torch.Tensor, scale_type: torch.dtype = torch.float32) -> tuple[Tensors, torch.Tensor]:
    """One matrix, or one for each expert, in blocks of 16 x 16; and the floats that the reference reads from it."""
    config: Any = SimpleNamespace(quantization_config=FineGrainedFP8Config(weight_block_size=(16, 16)))
    parts = Fp8Quantize(config)._quantize_one("x.weight", weight)
    values, scales = parts["x.weight"], parts["x.weight_scale_inv"].to(scale_type)
    floats = Fp8Dequantize(config)._dequantize_one(values, scales, torch.float32)
    return {"weight": values, "weight_scale_inv": scales}, floats


def with_scales(shape: Callable[[int], tuple[int, ...]], name: str = "weight_scale") -> Any:
    """Scales for each row or for a whole matrix; `shape` is that of the scales, from the number of rows."""

    def quantize(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
        size = shape(weight.shape[0])
        scales = torch.rand(size, generator=torch.Generator().manual_seed(0)) + 0.5
        values = weight.to(torch.float8_e4m3fn)
        each_row = scales.flatten().expand(weight.shape[0])
        floats = torch.stack([row.float() * scale for row, scale in zip(values, each_row, strict=True)])
        return {"weight": values, name: scales}, floats

    return quantize


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pair(tmp_path_factory.mktemp("made"), by_the_reference, SETTINGS)[0]


@pytest.fixture
def quantized(made: Path, tmp_path: Path) -> Path:
    """A quantised checkpoint that a test may change."""
    return shutil.copytree(made, tmp_path / "copy")


@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("scale_type", [torch.float32, torch.bfloat16])
def test_blocks(moe: bool, scale_type: torch.dtype, tmp_path: Path) -> None:
    quantized, floats = make_pair(tmp_path, lambda weight: by_the_reference(weight, scale_type), SETTINGS, moe=moe)
    assert_same(load(quantized), load(floats))


@pytest.mark.parametrize("layout", ["released", "transposed"])
def test_fused_experts(layout: Layout, tmp_path: Path) -> None:
    """As in Qwen's own releases: `experts.gate_up_proj` with `experts.gate_up_proj_scale_inv`, a grid for each expert
    that lies as its weights do.
    """
    quantized, floats = tmp_path / "quantized", tmp_path / "floats"
    make_checkpoint(quantized, moe=True, tied=False, layout=layout, expert_width=48)
    stored = read_tensors(quantized)
    meant = dict(stored)
    for name in [name for name in stored if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        parts, meant[name] = by_the_reference(stored[name])
        stored |= {name: parts["weight"], f"{name}_scale_inv": parts["weight_scale_inv"]}
    shutil.copytree(quantized, floats)
    write_tensors(quantized, stored)
    write_tensors(floats, meant)
    set_quantization(quantized, SETTINGS)
    assert_same(load(quantized), load(floats))


@pytest.mark.parametrize(
    "shape", [lambda rows: (), lambda rows: (1,), lambda rows: (1, 1), lambda rows: (rows,), lambda rows: (rows, 1)]
)
@pytest.mark.parametrize("name", ["weight_scale", "weight_scale_inv"])
def test_scales_of_a_tensor_and_of_rows(shape: Any, name: str, tmp_path: Path) -> None:
    settings = SETTINGS | {"weight_block_size": None}
    quantized, floats = make_pair(tmp_path, with_scales(shape, name), settings)
    assert_same(load(quantized), load(floats))


def test_one_scale_for_each_fused_expert(tmp_path: Path) -> None:
    quantized, floats = tmp_path / "quantized", tmp_path / "floats"
    make_checkpoint(quantized, moe=True, tied=False, expert_width=48)
    stored = read_tensors(quantized)
    meant = dict(stored)
    for name in [name for name in stored if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        scales = torch.arange(1.0, 9.0).reshape(8, 1, 1)
        stored |= {name: stored[name].to(torch.float8_e4m3fn), f"{name}_scale_inv": scales}
        meant[name] = torch.stack([stored[name][expert].float() * (expert + 1) for expert in range(8)])
    shutil.copytree(quantized, floats)
    write_tensors(quantized, stored)
    write_tensors(floats, meant)
    set_quantization(quantized, SETTINGS | {"weight_block_size": None})
    assert_same(load(quantized), load(floats))


def test_blocks_that_are_cut_short(tmp_path: Path) -> None:
    """Blocks of 48 x 40, where the sizes are 64, 112 and 128: weight by weight."""

    def cut(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
        rows, columns = weight.shape
        scales = torch.rand(-(-rows // 48), -(-columns // 40)) + 0.5
        values = weight.to(torch.float8_e4m3fn)
        rows_of, columns_of = torch.arange(rows) // 48, torch.arange(columns) // 40
        return {"weight": values, "weight_scale_inv": scales}, values.float() * scales[rows_of][:, columns_of]

    quantized, floats = make_pair(tmp_path, cut, SETTINGS | {"weight_block_size": [48, 40]})
    assert_same(load(quantized), load(floats))


def test_scales_of_activations_are_left_alone(quantized: Path) -> None:
    expected = load(quantized)

    def add(tensors: Tensors) -> None:
        module = "model.language_model.layers.2.self_attn"
        for name in ("q_proj.input_scale", "q_proj.activation_scale", "k_scale", "v_proj.output_scale"):
            tensors[f"{module}.{name}"] = torch.ones(1)

    rewrite(quantized, add)
    assert_same(load(quantized), expected)


def test_floats_are_handed_out(quantized: Path) -> None:
    read = read_one(quantized, UP)
    assert isinstance(read, torch.Tensor)
    assert read.dtype == torch.float32


def test_modules_that_were_left_alone_are_plain(quantized: Path) -> None:
    """Also where the list does not name them: the file says it."""
    expected = load(quantized)[UP]

    def restore(tensors: Tensors) -> None:
        del tensors[f"{UP}_scale_inv"]
        tensors[UP] = expected

    rewrite(quantized, restore)
    assert torch.equal(load(quantized)[UP], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fmt": "e5m2"}, "quantization_config.fmt is 'e5m2'; this package reads 'e4m3'"),
        ({"weight_block_size": [128]}, "weight_block_size must be two positive numbers, got [128]"),
        ({"weight_block_size": [0, 16]}, "weight_block_size must be two positive numbers, got [0, 16]"),
        ({"weight_block_size": [32, 32]}, "scale_inv has shape"),
        ({"weight_block_size": None}, "scale_inv has shape"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Any], message: str, quantized: Path) -> None:
    set_config(quantized, lambda settings: settings.update(change))
    assert message in refusal(quantized)


def test_a_missing_scale(quantized: Path) -> None:
    rewrite(quantized, lambda tensors: tensors.pop(f"{UP}_scale_inv"))
    assert f"{UP} is stored as F8_E4M3, but lacks {UP}_scale_inv" in refusal(quantized)


def test_a_missing_weight(quantized: Path) -> None:
    rewrite(quantized, lambda tensors: tensors.pop(UP))
    assert f"{UP}_scale_inv is stored, but {UP} is not" in refusal(quantized)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        (UP, torch.zeros(112, dtype=torch.float8_e4m3fn), "has shape [112]; it must be a matrix"),
        (UP, torch.zeros(112, 64, dtype=torch.bfloat16), "is stored as BF16; it must be F8_E4M3"),
        (UP, torch.zeros(112, 64, dtype=torch.float8_e5m2), "is stored as F8_E5M2; it must be F8_E4M3"),
        (f"{UP}_scale_inv", torch.zeros(4, 7), "config.json ask for [7, 4]"),
        (f"{UP}_scale_inv", torch.zeros(7, 4, dtype=torch.int32), "is stored as I32; it must be BF16 or F16 or F32"),
    ],
)
def test_a_part_of_a_wrong_shape_or_type(name: str, tensor: torch.Tensor, message: str, quantized: Path) -> None:
    rewrite(quantized, lambda tensors: tensors.update({name: tensor}))
    assert message in refusal(quantized)
