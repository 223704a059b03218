"""AWQ checkpoints, packed here from the published description, against the floats that they stand for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from qwen3vl.checkpoints.quantized.codes import GroupedCodes
from support.quantized import (
    GROUP,
    assert_same,
    awq,
    load,
    make_pair,
    pack_words,
    read_one,
    read_tensors,
    refusal,
    rewrite,
    round_to_groups,
    set_config,
)
from support.tiny import make_checkpoint

SETTINGS = {
    "quant_method": "awq",
    "bits": 4,
    "group_size": GROUP,
    "version": "gemm",
    "zero_point": True,
    "modules_to_not_convert": ["visual", "lm_head", "mlp.gate"],
}
UP = "model.language_model.layers.2.mlp.up_proj"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pair(tmp_path_factory.mktemp("made"), awq, SETTINGS)[0]


@pytest.fixture
def quantized(made: Path, tmp_path: Path) -> Path:
    """A quantised checkpoint that a test may change."""
    return shutil.copytree(made, tmp_path / "copy")


@pytest.mark.parametrize("moe", [False, True])
def test_loads_the_floats(moe: bool, tmp_path: Path) -> None:
    quantized, floats = make_pair(tmp_path, awq, SETTINGS, moe=moe)
    assert_same(load(quantized), load(floats))


def test_a_word_by_hand(quantized: Path) -> None:
    """AutoAWQ's order: from the low bits, a word holds outputs 0, 2, 4, 6, then 1, 3, 5, 7."""
    rewrite(quantized, lambda tensors: tensors[f"{UP}.qweight"].fill_(0x75316420))
    read = read_one(quantized, f"{UP}.weight")
    assert isinstance(read, GroupedCodes)
    assert torch.equal(read.codes, (torch.arange(112) % 8)[:, None].expand(112, 64))


def test_codes_are_handed_out(quantized: Path, tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "original", tied=False)
    rounded = round_to_groups(read_tensors(tmp_path / "original")[f"{UP}.weight"], 4)
    read = read_one(quantized, f"{UP}.weight")
    assert isinstance(read, GroupedCodes)
    assert (read.bits, read.group_size) == (4, GROUP)
    assert (read.codes.dtype, read.zeros.dtype, read.scales.dtype) == (torch.uint8, torch.uint8, torch.float32)
    assert torch.equal(read.codes, rounded.codes)
    assert torch.equal(read.zeros, rounded.zeros)
    assert torch.equal(read.scales, rounded.scales.float())
    assert torch.equal(read.dequantize(), rounded.floats)


def test_parts_may_lie_in_different_files(quantized: Path) -> None:
    expected = load(quantized)
    tensors = read_tensors(quantized)
    for path in quantized.glob("*.safetensors*"):
        path.unlink()
    weight_map = {}
    for part in ("qweight", "qzeros", "scales", "other"):
        kinds = {name for name in tensors if name.endswith(f".{part}")}
        shard = {name: tensors[name] for name in (kinds if part != "other" else tensors.keys() - weight_map.keys())}
        save_file(shard, quantized / f"{part}.safetensors")
        weight_map |= dict.fromkeys(shard, f"{part}.safetensors")
    (quantized / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert_same(load(quantized), expected)


def test_one_group_of_all_inputs(tmp_path: Path) -> None:
    def one_group(weight: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        rounded = round_to_groups(weight, 4, weight.shape[1])
        order = [0, 2, 4, 6, 1, 3, 5, 7]
        parts = {
            "qweight": pack_words(rounded.codes.T.tolist(), 4, order),
            "qzeros": pack_words(rounded.zeros.T.tolist(), 4, order),
            "scales": rounded.scales.T.contiguous(),
        }
        return parts, rounded.floats

    quantized, floats = make_pair(tmp_path, one_group, SETTINGS | {"group_size": -1})
    assert_same(load(quantized), load(floats))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "gemv"}, "quantization_config.version is 'gemv'; this package reads 'gemm'"),
        ({"version": "GEMV_FAST"}, "quantization_config.version is 'gemv_fast'; this package reads 'gemm'"),
        ({"bits": 3}, "quantization_config.bits is 3; this package reads 4"),
        ({"bits": None}, "quantization_config.bits is None; this package reads 4"),
        ({"group_size": 0}, "quantization_config.group_size must be a positive number or -1, got 0"),
        ({"group_size": 48}, "inputs, which is no multiple of 48"),
        ({"group_size": 32}, "inputs, which is no multiple of 32"),
        ({"group_size": 8}, "qzeros has shape"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Any], message: str, quantized: Path) -> None:
    set_config(quantized, lambda settings: settings.update(change))
    assert message in refusal(quantized)


def test_names_of_older_settings(tmp_path: Path) -> None:
    older = {"quant_method": "awq", "w_bit": 4, "q_group_size": GROUP, "version": "GEMM"}
    quantized, floats = make_pair(tmp_path, awq, older)
    assert_same(load(quantized), load(floats))


@pytest.mark.parametrize("part", ["qweight", "qzeros", "scales"])
def test_a_missing_part(part: str, quantized: Path) -> None:
    rewrite(quantized, lambda tensors: tensors.pop(f"{UP}.{part}"))
    message = refusal(quantized)
    assert f"{UP} is stored quantised, with " in message
    assert message.endswith(f"but lacks {part}")


def test_a_missing_matrix(quantized: Path) -> None:
    rewrite(quantized, lambda tensors: [tensors.pop(f"{UP}.{part}") for part in ("qweight", "qzeros", "scales")])
    assert f"lacks {UP}.weight" in refusal(quantized)


def test_a_matrix_stored_twice(quantized: Path) -> None:
    rewrite(quantized, lambda tensors: tensors.update({f"{UP}.weight": torch.zeros(112, 64)}))
    assert f"{UP}.weight is stored twice, plainly and quantised" in refusal(quantized)


@pytest.mark.parametrize(
    ("part", "tensor", "message"),
    [
        ("qweight", torch.zeros(64, dtype=torch.int32), "qweight has shape [64]; it must be a matrix"),
        ("qweight", torch.zeros(64, 14), "qweight is stored as F32; it must be I32"),
        ("qweight", torch.zeros(64, 15, dtype=torch.int32), "qzeros has shape [4, 14]"),
        ("qzeros", torch.zeros(5, 14, dtype=torch.int32), "config.json ask for [4, 14]"),
        ("scales", torch.zeros(4, 14), "config.json ask for [4, 112]"),
        ("scales", torch.zeros(4, 112, dtype=torch.int32), "scales is stored as I32; it must be BF16 or F16 or F32"),
    ],
)
def test_a_part_of_a_wrong_shape_or_type(part: str, tensor: torch.Tensor, message: str, quantized: Path) -> None:
    rewrite(quantized, lambda tensors: tensors.update({f"{UP}.{part}": tensor}))
    assert message in refusal(quantized)


def test_a_matrix_of_another_size(quantized: Path) -> None:

    def widen(tensors: dict[str, torch.Tensor]) -> None:
        for part in ("qweight", "qzeros", "scales"):
            tensors[f"{UP}.{part}"] = tensors[f"{UP}.{part}"].repeat(1, 2)

    rewrite(quantized, widen)
    assert f"{UP}.weight has shape [224, 64], but config.json asks for [112, 64]" in refusal(quantized)


def test_words_without_settings(quantized: Path) -> None:
    """A config.json that lost its quantization_config."""
    set_config(quantized, lambda settings: settings.clear())
    assert "is stored as I32; this package reads BF16, F16 and F32" in refusal(quantized)
