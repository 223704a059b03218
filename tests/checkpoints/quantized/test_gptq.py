"""GPTQ checkpoints of both versions, packed here from the published description, against the floats that they mean."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from qwen3vl.checkpoints.quantized.codes import GroupedCodes
from qwen3vl.errors import CheckpointError
from support.quantized import (
    GROUP,
    Tensors,
    assert_same,
    gptq,
    is_decoder_matrix,
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

SETTINGS: dict[str, Any] = {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": False, "sym": False}
UP = "model.language_model.layers.2.mlp.up_proj"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pair(tmp_path_factory.mktemp("made"), gptq(), SETTINGS)[0]


@pytest.fixture
def quantized(made: Path, tmp_path: Path) -> Path:
    """A quantised checkpoint that a test may change."""
    return shutil.copytree(made, tmp_path / "copy")


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("version", [1, 2])
def test_loads_the_floats(version: int, bits: int, act_order: bool, tmp_path: Path) -> None:
    layout = {"checkpoint_format": "gptq_v2"} if version == 2 else {}
    settings = SETTINGS | layout | {"bits": bits, "desc_act": act_order}
    quantize = gptq(bits, version=version, act_order=act_order)
    quantized, floats = make_pair(tmp_path, quantize, settings, moe=bits == 4)
    assert_same(load(quantized), load(floats))


def test_the_head_may_be_quantised(tmp_path: Path) -> None:
    """GPTQModel's `lm_head: true`."""
    quantized, floats = make_pair(
        tmp_path, gptq(), SETTINGS, takes=lambda name: is_decoder_matrix(name) or name == "lm_head.weight"
    )
    assert "lm_head.qweight" in read_tensors(quantized)
    assert_same(load(quantized), load(floats))


def test_a_tied_head_may_not(tmp_path: Path) -> None:
    quantized, _ = make_pair(tmp_path, gptq(), SETTINGS, tied=True)
    parts, _ = gptq()(torch.randn(576, 64))
    rewrite(quantized, lambda tensors: tensors.update({f"lm_head.{part}": t for part, t in parts.items()}))
    assert "ties the output head to the embeddings, but" in refusal(quantized)


@pytest.mark.parametrize("with_index", [True, False])
def test_codes_are_handed_out(with_index: bool, tmp_path: Path) -> None:
    quantized, floats = make_pair(tmp_path, gptq(with_index=with_index), SETTINGS)
    make_checkpoint(tmp_path / "original", tied=False)
    rounded = round_to_groups(read_tensors(tmp_path / "original")[f"{UP}.weight"], 4)
    read = read_one(quantized, f"{UP}.weight")
    assert isinstance(read, GroupedCodes)
    assert (read.bits, read.group_size) == (4, GROUP)
    assert torch.equal(read.codes, rounded.codes)
    assert torch.equal(read.zeros, rounded.zeros)
    assert torch.equal(read.scales, rounded.scales.float())
    assert_same(load(quantized), load(floats))


@pytest.mark.parametrize(
    ("layout", "zeros"), [("gptq", [1, 2, 3, 4, 5, 6, 7, 0]), ("gptq_v2", [0, 1, 2, 3, 4, 5, 6, 15])]
)
def test_words_by_hand(layout: str, zeros: list[int], quantized: Path) -> None:
    """The low bits come first. A zero of 15 less one is a 0, as AutoGPTQ's own kernels read it."""

    def write(tensors: Tensors) -> None:
        tensors[f"{UP}.qweight"].fill_(0x76543210)
        tensors[f"{UP}.qzeros"].fill_(0xF6543210 - 2**32)

    rewrite(quantized, write)
    set_config(quantized, lambda settings: settings.update({"checkpoint_format": layout}))
    read = read_one(quantized, f"{UP}.weight")
    assert isinstance(read, GroupedCodes)
    assert torch.equal(read.codes, (torch.arange(64) % 8).expand(112, 64))
    assert torch.equal(read.zeros, torch.tensor(zeros * 14)[:, None].expand(112, 4))


def test_scattered_groups_are_floats(tmp_path: Path) -> None:
    quantized, floats = make_pair(tmp_path, gptq(act_order=True), SETTINGS | {"desc_act": True})
    read = read_one(quantized, f"{UP}.weight")
    assert isinstance(read, torch.Tensor)
    assert torch.equal(read, read_tensors(floats)[f"{UP}.weight"])


def test_a_last_group_that_is_cut_short(tmp_path: Path) -> None:
    """AutoGPTQ allows it: 112 inputs in groups of 32."""

    def ragged(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
        rounded = round_to_groups(weight, 4, 32)
        parts = {
            "qweight": pack_words(rounded.codes.tolist(), 4).T.contiguous(),
            "qzeros": pack_words((rounded.zeros - 1).T.tolist(), 4),
            "scales": rounded.scales.T.contiguous(),
            "g_idx": rounded.groups.int(),
        }
        return parts, rounded.floats

    quantized, floats = make_pair(tmp_path, ragged, SETTINGS | {"group_size": 32})
    assert_same(load(quantized), load(floats))


def test_bits_may_differ_from_module_to_module(tmp_path: Path) -> None:
    """GPTQModel's `dynamic`: eight bits for some modules, none for others."""

    def mixed(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
        return gptq(8 if weight.shape[0] == 64 else 4)(weight)

    settings = SETTINGS | {"dynamic": {"+:.*(o|down)_proj": {"bits": 8}, "-:.*k_proj": {}}}
    quantized, floats = make_pair(
        tmp_path, mixed, settings, takes=lambda name: is_decoder_matrix(name) and "k_proj" not in name
    )
    assert_same(load(quantized), load(floats))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 3}, "quantization_config.bits is 3; this package reads 4 and 8"),
        ({"bits": True}, "quantization_config.bits is True; this package reads 4 and 8"),
        ({"checkpoint_format": "marlin"}, "checkpoint_format is 'marlin'; this package reads 'gptq' and 'gptq_v2'"),
        ({"group_size": None}, "quantization_config.group_size must be a positive number or -1, got None"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Any], message: str, quantized: Path) -> None:
    set_config(quantized, lambda settings: settings.update(change))
    assert message in refusal(quantized)


@pytest.mark.parametrize("part", ["qweight", "qzeros", "scales", "g_idx"])
def test_a_missing_part(part: str, quantized: Path) -> None:
    set_config(quantized, lambda settings: settings.update({"desc_act": True}))
    rewrite(quantized, lambda tensors: tensors.pop(f"{UP}.{part}"))
    message = refusal(quantized)
    assert f"{UP} is stored quantised, with " in message
    assert message.endswith(f"but lacks {part}")


@pytest.mark.parametrize(
    ("part", "tensor", "message"),
    [
        ("qweight", torch.zeros(8, dtype=torch.int32), "qweight has shape [8]; it must be a matrix"),
        ("qweight", torch.zeros(12, 112, dtype=torch.int32), "g_idx has shape [64]"),
        ("qweight", torch.zeros(8, 108, dtype=torch.int32), "qweight has 108 outputs, which do not fill words"),
        ("qzeros", torch.zeros(4, 15, dtype=torch.int32), "config.json ask for [4, 14]"),
        ("scales", torch.zeros(4, 111), "config.json ask for [4, 112]"),
        ("g_idx", torch.zeros(64), "g_idx is stored as F32; it must be I32 or I64"),
    ],
)
def test_a_part_of_a_wrong_shape_or_type(part: str, tensor: torch.Tensor, message: str, quantized: Path) -> None:
    rewrite(quantized, lambda tensors: tensors.update({f"{UP}.{part}": tensor}))
    assert message in refusal(quantized)


@pytest.mark.parametrize("group", [-1, 4])
def test_an_index_that_points_nowhere(group: int, quantized: Path) -> None:
    rewrite(quantized, lambda tensors: tensors[f"{UP}.g_idx"].fill_(group))
    with pytest.raises(CheckpointError, match=r"up_proj\.g_idx must be from 0 to 3"):
        load(quantized)
