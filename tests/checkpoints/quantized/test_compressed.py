"""Checkpoints that the library compressed-tensors wrote, against what it reads from them itself."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32
from compressed_tensors.quantization import QuantizationArgs

from qwen3vl.checkpoints.quantized.codes import GroupedCodes
from qwen3vl.errors import CheckpointError
from support.compressed import by_the_library, make_compressed, scheme
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
)

INT4: dict[str, Any] = {"num_bits": 4, "strategy": "group", "group_size": 16}
INT8: dict[str, Any] = {"num_bits": 8, "strategy": "channel"}
FP8: dict[str, Any] = {"num_bits": 8, "type": "float"}
TOKENS = {"input_activations": QuantizationArgs(num_bits=8, strategy="token", dynamic=True)}
FLOAT_TOKENS = {"input_activations": QuantizationArgs(num_bits=8, type="float", strategy="token", dynamic=True)}
STATIC = {"input_activations": QuantizationArgs(num_bits=8, type="float", strategy="tensor")}
UP = "model.language_model.layers.2.mlp.up_proj"

KINDS = {
    "int4 groups": ("pack-quantized", INT4, {}),
    "int4 groups asymmetric": ("pack-quantized", INT4 | {"symmetric": False}, {}),
    "int4 rows asymmetric": ("pack-quantized", {"num_bits": 4, "strategy": "channel", "symmetric": False}, {}),
    "int8 groups": ("pack-quantized", INT8 | {"strategy": "group", "group_size": 16}, {}),
    "int8 rows": ("pack-quantized", INT8, {}),
    "int8 rows asymmetric": ("pack-quantized", INT8 | {"symmetric": False}, {}),
    "w8a8": ("int-quantized", INT8, TOKENS),
    "w8a8 asymmetric": ("int-quantized", INT8 | {"symmetric": False}, TOKENS),
    "w8a8 tensors": ("int-quantized", {"num_bits": 8, "strategy": "tensor", "symmetric": False}, TOKENS),
    "w8a8 blocks": ("int-quantized", {"num_bits": 8, "strategy": "block", "block_structure": [16, 16]}, TOKENS),
    "w4a8": ("int-quantized", INT4, TOKENS),
    "fp8 dynamic": ("float-quantized", FP8 | {"strategy": "channel"}, FLOAT_TOKENS),
    "fp8 static": ("float-quantized", FP8 | {"strategy": "tensor"}, STATIC),
    "fp8 blocks": ("float-quantized", FP8 | {"strategy": "block", "block_structure": [16, 16]}, FLOAT_TOKENS),
    "fp8 groups": ("float-quantized", FP8 | {"strategy": "group", "group_size": 16}, FLOAT_TOKENS),
    "fp8 weights only": ("naive-quantized", FP8 | {"strategy": "channel"}, {}),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_compressed(folder, scheme(["Linear"], INT4 | {"symmetric": False}))
    return folder


@pytest.fixture
def quantized(made: Path, tmp_path: Path) -> Path:
    """A quantised checkpoint that a test may change."""
    return shutil.copytree(made, tmp_path / "copy")


@pytest.mark.parametrize("kind", KINDS)
def test_loads_what_the_library_reads(kind: str, tmp_path: Path) -> None:
    layout, weights, more = KINDS[kind]
    expected = make_compressed(tmp_path, scheme(["Linear"], weights, **more))
    assert f'"format": "{layout}"' in (tmp_path / "config.json").read_text()
    assert_same(load(tmp_path), expected)


@pytest.mark.parametrize("kind", ["int4 groups asymmetric", "w8a8", "fp8 dynamic", "fp8 blocks"])
def test_single_experts(kind: str, tmp_path: Path) -> None:
    layout, weights, more = KINDS[kind]
    one = scheme(["Linear"], weights, format=layout, **more)
    settings = {
        "quant_method": "compressed-tensors",
        "format": layout,
        "config_groups": {"group_0": one.model_dump(mode="json")},
        "ignore": ["lm_head", "re:.*visual.*", "re:.*mlp.gate$"],
    }
    quantized, floats = make_pair(tmp_path, by_the_library(one), settings, moe=True)
    assert_same(load(quantized), load(floats))


def test_groups_of_their_own_formats(tmp_path: Path) -> None:
    """A module follows a pattern before its class, and its own name before both."""
    expected = make_compressed(
        tmp_path,
        scheme(["Linear"], INT4),
        scheme(["re:.*self_attn.*", "re:.*layers.2.mlp.*"], INT8, **TOKENS),
        scheme([UP], FP8 | {"strategy": "channel"}, **FLOAT_TOKENS),
    )
    assert '"format": "mixed-precision"' in (tmp_path / "config.json").read_text()
    stored = read_tensors(tmp_path)
    attention = UP.replace("mlp.up_proj", "self_attn.q_proj.weight")
    assert stored[attention].dtype == stored[UP.replace("up", "down") + ".weight"].dtype == torch.int8
    assert stored[f"{UP}.weight"].dtype == torch.float8_e4m3fn
    assert_same(load(tmp_path), expected)


def test_half_precision_scales(tmp_path: Path) -> None:
    """The library multiplies in the type of the scales, we in float32; cast to that type both are the same."""
    expected = make_compressed(tmp_path, scheme(["Linear"], INT4), scale_type=torch.bfloat16)
    loaded = load(tmp_path)
    assert read_tensors(tmp_path)[f"{UP}.weight_scale"].dtype == torch.bfloat16
    assert torch.equal(loaded[f"{UP}.weight"].bfloat16().float(), expected[f"{UP}.weight"])


@pytest.mark.parametrize(("weights", "size"), [(INT4, 16), (INT8, 64)])
def test_codes_are_handed_out(weights: dict[str, Any], size: int, tmp_path: Path) -> None:
    expected = make_compressed(tmp_path, scheme(["Linear"], weights))
    read = read_one(tmp_path, f"{UP}.weight")
    assert isinstance(read, GroupedCodes)
    assert (read.bits, read.group_size) == (weights["num_bits"], size)
    assert read.codes.shape == (112, 64)
    assert read.scales.shape == read.zeros.shape == (112, 64 // size)
    assert read.codes.dtype == read.zeros.dtype == torch.uint8
    assert torch.equal(read.dequantize(), expected[f"{UP}.weight"])


def test_groups_by_activation_order(tmp_path: Path) -> None:
    """`weight_g_idx`, which older versions wrote: the codes lie as the inputs do, and groups are those of a permutation
    of the inputs. The library rounds and packs, with the inputs permuted by hand.
    """
    one = scheme(["Linear"], INT4, format="pack-quantized")

    def quantize(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
        order = torch.randperm(weight.shape[1], generator=torch.Generator().manual_seed(1))
        back = order.argsort()
        parts, floats = by_the_library(one)(weight[:, order])
        codes = unpack_from_int32(parts["weight_packed"], 4, weight.shape)[:, back]
        groups = torch.arange(weight.shape[1]) // 16
        return parts | {"weight_packed": pack_to_int32(codes, 4), "weight_g_idx": groups[back].int()}, floats[:, back]

    settings = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"group_0": one.model_dump(mode="json")},
    }
    quantized, floats = make_pair(tmp_path, quantize, settings)
    assert isinstance(read_one(quantized, f"{UP}.weight"), torch.Tensor)
    assert_same(load(quantized), load(floats))
    rewrite(quantized, lambda tensors: tensors[f"{UP}.weight_g_idx"].fill_(4))
    with pytest.raises(CheckpointError, match=r"up_proj\.weight_g_idx must be from 0 to 3"):
        load(quantized)


def test_modules_that_are_ignored_are_plain(quantized: Path) -> None:
    stored = read_tensors(quantized)
    assert "model.visual.blocks.0.mlp.linear_fc1.weight" in stored
    assert "lm_head.weight" in stored


@pytest.mark.parametrize("name", [UP, "re:.*up_proj", "Linear"])
def test_an_ignored_module_that_is_quantised_all_the_same(name: str, quantized: Path) -> None:
    set_config(quantized, lambda settings: settings["ignore"].append(name))
    assert "_proj is stored quantised, but quantization_config leaves it out" in refusal(quantized)


@pytest.mark.parametrize("targets", [[], ["Embedding"], ["re:.*self_attn"]])
def test_a_module_in_no_group(targets: list[str], quantized: Path) -> None:
    set_config(quantized, lambda settings: settings["config_groups"]["group_0"].update(targets=targets))
    assert "_proj is stored quantised, but quantization_config leaves it out" in refusal(quantized)


@pytest.mark.parametrize(
    "layout", ["nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized", "marlin-24", "dense", None]
)
def test_other_formats_name_those_that_are_read(layout: str | None, quantized: Path) -> None:
    def change(settings: dict[str, Any]) -> None:
        settings["format"] = settings["config_groups"]["group_0"]["format"] = layout

    set_config(quantized, change)
    message = refusal(quantized)
    assert f"quantization_config.format is {layout!r}; this package reads 'pack-quantized' and" in message
    assert message.endswith("'int-quantized' and 'float-quantized' and 'naive-quantized'")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sparsity_config": {"format": "sparse-24-bitmask"}}, "reads no sparse weights"),
        ({"transform_config": {"config_groups": {"R1": {"type": "hadamard"}}}}, "reads no rotated weights"),
        ({"config_groups": None}, "config_groups must be an object of objects"),
        ({"config_groups": {"group_0": ["Linear"]}}, "config_groups must be an object of objects"),
        ({"ignore": "lm_head"}, "ignore must be a list of names, got 'lm_head'"),
        ({"ignore": ["re:*"]}, "ignore has 're:*', which is no pattern"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Any], message: str, quantized: Path) -> None:
    set_config(quantized, lambda settings: settings.update(change))
    assert message in refusal(quantized)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_bits": 2}, "quantization_config.num_bits is 2; this package reads 4 and 8"),
        ({"type": "float"}, "the format 'pack-quantized' does not hold weights of that type"),
        ({"type": "fraction"}, "quantization_config.type is 'fraction'; this package reads 'int' and 'float'"),
        ({"strategy": "tensor_group"}, "quantization_config.strategy is 'tensor_group'; this package reads"),
        ({"strategy": "block"}, "the strategy 'block' needs a block_structure"),
        ({"strategy": "channel"}, "weight_scale has shape"),
        ({"group_size": 48}, "inputs, which is no multiple of 48"),
        ({"num_bits": 8}, "weight_scale has shape|inputs, which is no multiple of"),  # whichever matrix comes first
        ({"symmetric": True}, "weight_zero_point is stored as I32; this package reads BF16, F16 and F32"),
    ],
)
def test_weights_that_cannot_be(change: dict[str, Any], message: str, quantized: Path) -> None:
    set_config(quantized, lambda settings: settings["config_groups"]["group_0"]["weights"].update(change))
    assert re.search(message, refusal(quantized))


@pytest.mark.parametrize("part", ["weight_packed", "weight_scale", "weight_zero_point", "weight_shape"])
def test_a_missing_part(part: str, quantized: Path) -> None:
    rewrite(quantized, lambda tensors: tensors.pop(f"{UP}.{part}"))
    message = refusal(quantized)
    assert f"{UP} is stored quantised, with " in message
    assert message.endswith(f"but lacks {part}")


@pytest.mark.parametrize(
    ("part", "tensor", "message"),
    [
        ("weight_packed", torch.zeros(8, dtype=torch.int32), "weight_packed has shape [8]; it must be a matrix"),
        ("weight_packed", torch.zeros(112, 8), "weight_packed is stored as F32; it must be I32"),
        ("weight_scale", torch.zeros(112, 5), "config.json ask for [112, 4]"),
        ("weight_zero_point", torch.zeros(112, 4, dtype=torch.int32), "config.json ask for [14, 4]"),
        ("weight_zero_point", torch.zeros(14, 4, dtype=torch.int8), "config.json ask for [112, 4]"),
        ("weight_shape", torch.zeros(3, dtype=torch.int64), "config.json ask for [2]"),
        ("weight_g_idx", torch.zeros(63, dtype=torch.int32), "config.json ask for [64]"),
    ],
)
def test_a_part_of_a_wrong_shape_or_type(part: str, tensor: torch.Tensor, message: str, quantized: Path) -> None:
    rewrite(quantized, lambda tensors: tensors.update({f"{UP}.{part}": tensor}))
    assert message in refusal(quantized)


def test_a_shape_that_is_not_that_of_the_words(quantized: Path) -> None:
    rewrite(quantized, lambda tensors: tensors[f"{UP}.weight_shape"].fill_(63))
    with pytest.raises(CheckpointError, match=r"weight_shape is \[63, 63\], but the packed weights are \[112, 64\]"):
        load(quantized)
