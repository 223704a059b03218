"""Quantised copies of the small random checkpoints, next to the float checkpoints that they stand for.

The packers are written from the published descriptions of the formats, one number at a time, so that they share nothing
with the code under test:

- AWQ: AutoAWQ, `WQLinear_GEMM.from_linear`: eight outputs a word, in the order 0, 2, 4, 6, 1, 3, 5, 7 from the low
  bits.
- GPTQ: AutoGPTQ, `QuantLinear.pack`: `32 / bits` inputs a word of `qweight`, as many outputs a word of `qzeros`, which
  hold the zeros less one; in GPTQModel's "gptq_v2" they hold the zeros.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file, save_file

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.checkpoints.quantized.codes import GroupedCodes
from qwen3vl.checkpoints.quantized.schemes import scheme_of
from qwen3vl.checkpoints.shards import read_headers, shard_files
from qwen3vl.checkpoints.tensors import released_shapes
from qwen3vl.checkpoints.weights import load_weights
from qwen3vl.errors import CheckpointError
from support.tiny import make_checkpoint

Tensors = dict[str, torch.Tensor]
# The stored tensors of one matrix, by what stands behind the module's name, and the floats that they mean.
Quantize = Callable[[torch.Tensor], tuple[Tensors, torch.Tensor]]

GROUP = 16  # divides every number of inputs in the small models
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


@dataclass(frozen=True)
class Rounded:
    """A matrix rounded to unsigned codes of groups of its inputs."""

    codes: torch.Tensor  # [out, in] int64
    scales: torch.Tensor  # [out, groups] float16
    zeros: torch.Tensor  # [out, groups] int64
    groups: torch.Tensor  # [in] the group of each input

    @property
    def floats(self) -> torch.Tensor:
        spread = self.codes - self.zeros[:, self.groups]
        return spread.float() * self.scales.float()[:, self.groups]


def round_to_groups(
    weight: torch.Tensor, bits: int, group_size: int = GROUP, groups: torch.Tensor | None = None
) -> Rounded:
    """Asymmetric rounding to the nearest. `groups` may scatter the inputs; the default lays them side by side."""
    inputs = weight.shape[1]
    groups = torch.arange(inputs) // group_size if groups is None else groups
    count, top = int(groups.max()) + 1, 2**bits - 1
    members = [weight[:, groups == group] for group in range(count)]
    low = torch.stack([values.amin(1) for values in members], 1).clamp(max=0)
    high = torch.stack([values.amax(1) for values in members], 1).clamp(min=0)
    scales = ((high - low) / top).clamp(min=1e-4).half()
    # From one, since "gptq" has no other way to write a zero.
    zeros = (-low / scales.float()).round().clamp(1, top).long()
    codes = (weight / scales.float()[:, groups]).round().long() + zeros[:, groups]
    return Rounded(codes.clamp(0, top), scales, zeros, groups)


def pack_words(rows: list[list[int]], bits: int, order: list[int] | None = None) -> torch.Tensor:
    """Each row of numbers as 32-bit words. `order` says which of a word's numbers lies in each place, from the low
    bits.
    """
    per_word = 32 // bits
    order = order or list(range(per_word))
    words = []
    for row in rows:
        line = []
        for start in range(0, len(row), per_word):
            word = 0
            for place, which in enumerate(order):
                word |= row[start + which] << (bits * place)
            line.append(word - 2**32 if word >= 2**31 else word)
        words.append(line)
    return torch.tensor(words, dtype=torch.int32)


def awq(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    rounded = round_to_groups(weight, 4)
    parts = {
        "qweight": pack_words(rounded.codes.T.tolist(), 4, AWQ_ORDER),
        "qzeros": pack_words(rounded.zeros.T.tolist(), 4, AWQ_ORDER),
        "scales": rounded.scales.T.contiguous(),
    }
    return parts, rounded.floats


def gptq(bits: int = 4, *, version: int = 1, act_order: bool = False, with_index: bool = True) -> Quantize:
    def quantize(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
        groups = torch.arange(weight.shape[1]) // GROUP
        if act_order:
            groups = groups[torch.randperm(len(groups), generator=torch.Generator().manual_seed(len(groups)))]
        rounded = round_to_groups(weight, bits, groups=groups)
        zeros = rounded.zeros - (1 if version == 1 else 0)
        parts = {
            "qweight": pack_words(rounded.codes.tolist(), bits).T.contiguous(),
            "qzeros": pack_words(zeros.T.tolist(), bits),
            "scales": rounded.scales.T.contiguous(),
        }
        return parts | ({"g_idx": groups.int()} if with_index else {}), rounded.floats

    return quantize


def is_decoder_matrix(name: str) -> bool:
    """What quantisers take: the matrices of the decoder layers, without the router."""
    return "language_model.layers." in name and name.endswith("_proj.weight")


def make_pair(
    folder: Path,
    quantize: Quantize,
    settings: dict[str, Any],
    *,
    takes: Callable[[str], bool] = is_decoder_matrix,
    moe: bool = False,
    tied: bool = False,
) -> tuple[Path, Path]:
    """A quantised checkpoint, with one tensor for each expert, and the float checkpoint that it means."""
    quantized, floats = folder / "quantized", folder / "floats"
    make_checkpoint(quantized, moe=moe, tied=tied, layout="per_expert", expert_width=48)
    stored, meant = read_tensors(quantized), {}
    for name in list(stored):
        if takes(name):
            parts, values = quantize(stored.pop(name))
            meant[name] = values
            stored |= {f"{name.removesuffix('.weight')}.{part}": tensor for part, tensor in parts.items()}
        else:
            meant[name] = stored[name]
    shutil.copytree(quantized, floats)
    write_tensors(quantized, stored)
    write_tensors(floats, fuse_experts(meant))
    set_quantization(quantized, settings)
    return quantized, floats


def fuse_experts(tensors: Tensors) -> Tensors:
    """The released layout of a checkpoint that has one tensor for each matrix of an expert."""
    fused, experts = {}, {}
    for name, tensor in tensors.items():
        prefix, is_expert, rest = name.partition(".mlp.experts.")
        if is_expert:
            experts.setdefault(prefix, {})[rest] = tensor
        else:
            fused[name] = tensor
    for prefix, parts in experts.items():
        count = len(parts) // 3
        gate, up, down = (
            torch.stack([parts[f"{expert}.{kind}_proj.weight"].T for expert in range(count)])
            for kind in ("gate", "up", "down")
        )
        fused[f"{prefix}.mlp.experts.gate_up_proj"] = torch.cat((gate, up), 2)
        fused[f"{prefix}.mlp.experts.down_proj"] = down
    return fused


def read_tensors(folder: Path) -> Tensors:
    return {name: tensor for shard in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(shard).items()}


def write_tensors(folder: Path, tensors: Tensors, *, shards: bool = True) -> None:
    """Stores `tensors` in place of what the folder has. Shards are so small that they part what belongs together."""
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    if shards:
        save_torch_state_dict(tensors, folder, max_shard_size=150_000)
    else:
        save_file(tensors, folder / "model.safetensors")


def set_quantization(folder: Path, settings: dict[str, Any]) -> None:
    path = folder / "config.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(raw | {"quantization_config": settings}), encoding="utf-8")


def set_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes what config.json says of the quantisation."""
    path = folder / "config.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    change(raw["quantization_config"])
    path.write_text(json.dumps(raw), encoding="utf-8")


def rewrite(folder: Path, change: Callable[[Tensors], object]) -> None:
    tensors = read_tensors(folder)
    change(tensors)
    write_tensors(folder, tensors)


def load(folder: Path) -> Tensors:
    """What the loader makes of the folder, in float32."""
    config = ModelConfig.from_folder(folder)
    destinations = {name: torch.full(shape, 777.0) for name, shape in released_shapes(config).items()}
    load_weights(folder, destinations, config)
    assert not any((tensor == 777.0).any() for tensor in destinations.values()), "some values were not filled in"
    return destinations


def refusal(folder: Path) -> str:
    """The error of a load, which must not have touched any destination."""
    config = ModelConfig.from_folder(folder)
    destinations = {name: torch.full(shape, 777.0) for name, shape in released_shapes(config).items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(folder, destinations, config)
    assert all((tensor == 777.0).all() for tensor in destinations.values())
    return str(caught.value)


def assert_same(loaded: Tensors, expected: Tensors) -> None:
    assert loaded.keys() == expected.keys()
    for name, tensor in loaded.items():
        assert torch.equal(tensor, expected[name]), name


def read_one(folder: Path, name: str) -> torch.Tensor | GroupedCodes:
    """What the scheme of the folder reads for one tensor, before it is made floats."""
    scheme = scheme_of(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    assert scheme is not None
    source = scheme.sources(read_headers(shard_files(folder)))[name]
    tensors = read_tensors(folder)
    return source.read({role: tensors[part.name] for role, part in source.parts.items()})
