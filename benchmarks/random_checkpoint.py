"""Writes a model folder of a catalogue shape with random weights: everything but the training is real.

    python benchmarks/random_checkpoint.py 4b /tmp/random-4b [--layers 12] [--quantization int4]

Names, shapes, layout, types and sharding are the released ones, so the folder goes through the same loader. With
--quantization it is what `qwen3vl quantize` would make of it: codes are drawn and written, a shard in memory at a time,
and no float weights are needed before. The tokenizer knows 256 bytes and the special tokens at their released ids; all
ids between decode to themselves in angle brackets.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel

from qwen3vl.checkpoints.catalogue import ReleasedModel, lookup
from qwen3vl.checkpoints.tensors import Shape, released_shapes
from qwen3vl.engine import saved
from qwen3vl.engine.formats import QUANTIZATIONS, Formats
from qwen3vl.kernels.packed import Codes, PackedMatrix
from qwen3vl.model.network import Qwen3VL

SHARD_BYTES = 4 * 2**30
DEVIATION = 0.02
SPECIAL_IDS = {
    name: 151643 + offset
    for offset, name in enumerate(
        f"<|{name}|>"
        for name in [
            "endoftext",
            "im_start",
            "im_end",
            "object_ref_start",
            "object_ref_end",
            "box_start",
            "box_end",
            "quad_start",
            "quad_end",
            "vision_start",
            "vision_end",
            "vision_pad",
            "image_pad",
            "video_pad",
        ]
    )
}
_TINY = Path(__file__).parents[1] / "models" / "dense"
_PICTURE = {
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}


def released(name: str, layers: int | None = None) -> ReleasedModel:
    """A released model, perhaps with its first layers only."""
    model = lookup(name)
    if not isinstance(model, ReleasedModel):
        raise SystemExit(f"{name} ships with its weights; name one of the released models")
    if layers is None:
        return model
    raw = copy.deepcopy(dict(model.raw_config))
    text, vision = raw["text_config"], raw["vision_config"]
    if not 1 <= layers <= text["num_hidden_layers"]:
        raise SystemExit(f"{name} has 1 to {text['num_hidden_layers']} layers, not {layers}")
    text["num_hidden_layers"] = layers
    # llama.cpp cannot add one to the output of the last layer.
    vision["deepstack_visual_indexes"] = vision["deepstack_visual_indexes"][: layers - 1]
    return replace(model, raw_config=raw)


def write_side_files(model: ReleasedModel, folder: Path) -> None:
    """All that a folder needs besides weights."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "config.json", dict(model.raw_config))
    size = {"shortest_edge": 65536, "longest_edge": 16777216}
    _write(folder / "preprocessor_config.json", {**_PICTURE, "size": size})
    size = {"shortest_edge": 4096, "longest_edge": 25165824}
    _write(folder / "video_preprocessor_config.json", {**_PICTURE, "size": size, "fps": 2})
    eos = [SPECIAL_IDS["<|im_end|>"], SPECIAL_IDS["<|endoftext|>"]]
    _write(folder / "generation_config.json", {"do_sample": False, "eos_token_id": eos})
    shutil.copyfile(_TINY / "chat_template.jinja", folder / "chat_template.jinja")
    tokenizer = json.loads((_TINY / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = {token: number for number, token in enumerate(sorted(ByteLevel.alphabet()))}
    vocabulary |= {f"<{number}>": number for number in range(256, min(SPECIAL_IDS.values()))}
    tokenizer["model"]["vocab"] = vocabulary | SPECIAL_IDS
    plain = tokenizer["added_tokens"][0]
    tokenizer["added_tokens"] = [plain | {"id": id_, "content": name} for name, id_ in SPECIAL_IDS.items()]
    _write(folder / "tokenizer.json", tokenizer)


def write_weights(model: ReleasedModel, folder: Path, device: str, *, empty_experts: int = 0) -> None:
    """Weights normal with deviation 0.02, norms one, biases zero; shard by shard, so that memory holds one shard. The
    last `empty_experts` of a layer are zeros, and holes in their file where the file system has such: no disk is used.
    """
    shards = list(_shards(released_shapes(model.config)))
    weight_map = {}
    for number, names in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        values = {name: _values(name, shape, device) for name, shape in names.items()}
        for name in names if empty_experts else ():
            if ".experts." in name:
                values[name][-empty_experts:] = 0
        save_file(values, folder / file, {"format": "pt"})
        if empty_experts:
            subprocess.run(["fallocate", "--dig-holes", folder / file], check=True)
        weight_map |= dict.fromkeys(names, file)
    _write(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


def write_packed(model: ReleasedModel, folder: Path, quantization: str) -> None:
    """A folder of packed weights, side files included: the codes of matrices are drawn evenly, all else as above."""
    cpu = torch.device("cpu")
    formats = Formats.resolve(model.config, cpu, dtype="auto", quantization=quantization, kv_cache="auto")
    network = Qwen3VL.empty(
        model.config, cpu, formats.dtype, formats.packings, formats.tower
    )  # pages not written to take no memory
    with tempfile.TemporaryDirectory() as checkpoint:
        write_side_files(model, Path(checkpoint))
        saved.write(_packed_values(network), quantization, Path(checkpoint), folder)


def _packed_values(network: Qwen3VL) -> Iterator[tuple[str, torch.Tensor]]:
    packed = network.packed()
    for name, tensor in saved.tensors(network).items():
        if name in packed:
            yield name, _random_codes(packed[name])
        else:
            yield name, _values(name, tuple(tensor.shape), "cpu", tensor.dtype)


def _random_codes(like: PackedMatrix) -> torch.Tensor:
    """The bytes of such a matrix."""
    *batch, rows, columns = like.shape
    levels = 1 << like.packing.bits
    low, high = (levels // 2 + end for end in like.packing.range)
    matrix = PackedMatrix.empty(rows, columns, like.packing, halves=like.halves, batch=batch)
    scales = torch.full((rows, -(-columns // like.packing.group)), DEVIATION * 12**0.5 / levels, dtype=torch.float16)
    for index in range(prod(batch)):
        words = torch.randint(-(2**63), 2**63 - 1, (-(-rows * columns // 8),))  # eight times as fast as bytes
        codes = words.view(torch.uint8)[: rows * columns].view(rows, columns) & (levels - 1)
        matrix.flat(index).store_codes(Codes(codes.clamp_(low, high), scales))
    return matrix.data


def _shards(shapes: dict[str, Shape]) -> Iterator[dict[str, Shape]]:
    shard: dict[str, Shape] = {}
    filled = 0
    for name, shape in shapes.items():
        if shard and filled + 2 * prod(shape) > SHARD_BYTES:
            yield shard
            shard, filled = {}, 0
        shard[name] = shape
        filled += 2 * prod(shape)
    yield shard


def _values(name: str, shape: Shape, device: str, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    values = torch.empty(shape, dtype=dtype, device=device)
    if name.endswith("bias"):
        values.zero_()
    elif "norm" in name:
        values.fill_(1.0)
    else:
        values.normal_(0.0, DEVIATION)
    return values.cpu()


def _write(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a catalogue name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, help="so many only")
    parser.add_argument("--quantization", choices=list(QUANTIZATIONS), help="packed, for a CPU")
    parser.add_argument("--device", default="cpu", help="where the random numbers of plain weights are drawn")
    arguments = parser.parse_args()
    model = released(arguments.model, arguments.layers)
    if arguments.quantization is not None:
        write_packed(model, arguments.folder, arguments.quantization)
    else:
        write_side_files(model, arguments.folder)
        write_weights(model, arguments.folder, arguments.device)


if __name__ == "__main__":
    main()
