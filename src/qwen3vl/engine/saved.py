"""A network whose weights are packed, as a folder that loads again in the time that reading takes.

The folder is that of the checkpoint with other safetensors: each matrix as the kernels use it, so that nothing is
computed when it is loaded, and nothing is copied: matrices stay in the files, which are mapped, and the system reads
what is used and keeps it for the next process. Files of a loaded folder must not be written to. `config.json` says
what they are under `quantization_config`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from qwen3vl.checkpoints.files import read_json
from qwen3vl.checkpoints.progress import Progress
from qwen3vl.checkpoints.shards import INDEX, read_headers, shard_files, some
from qwen3vl.errors import CheckpointError, InputError
from qwen3vl.model.network import Qwen3VL

METHOD = "qwen3vl"
LAYOUT = 3  # of packed matrices; `kernels/packed.py` knows how they lie
SHARD_BYTES = 2**30
ALIGNMENT = 64  # bytes, of a register and a line of the cache
_TYPES = {torch.uint8: "U8", torch.bfloat16: "BF16", torch.float32: "F32"}
_SIDE_FILES = ("*.json", "*.jinja", "*.txt", "*.md", "LICENSE*")


def stored_quantization(folder: Path) -> str | None:
    """The name of the quantisation with which `save` made a folder, None for other folders. Raises `CheckpointError`
    for a layout that this version does not know.
    """
    settings = (read_json(folder / "config.json") or {}).get("quantization_config")
    if not isinstance(settings, dict) or settings.get("quant_method") != METHOD:
        return None
    if settings.get("layout") != LAYOUT:
        raise CheckpointError(
            f"{folder} holds packed weights of layout {settings.get('layout')!r}; this version reads {LAYOUT}: make "
            "the folder again from the checkpoint"
        )
    return str(settings.get("format"))


def save(network: Qwen3VL, quantization: str, checkpoint: Path, folder: Path) -> None:
    """Writes `network` and the other files of its checkpoint to a folder that is new or empty. Raises `InputError`."""
    write(tensors(network).items(), quantization, checkpoint, folder)


def check_new(folder: Path) -> None:
    """Raises `InputError` where something is that must not be written over."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not an empty folder")


def write(named: Iterable[tuple[str, torch.Tensor]], quantization: str, checkpoint: Path, folder: Path) -> None:
    """`save`, of tensors that may be made as they are asked for: a shard of them is held at a time."""
    check_new(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in _SIDE_FILES:
        for path in checkpoint.glob(pattern):
            if path.name not in (INDEX, "config.json"):
                shutil.copyfile(path, folder / path.name)
    places: dict[str, str] = {}
    total = 0
    for number, shard in enumerate(_shards(named), 1):
        name = f"model-{number:05}.safetensors"
        _write_shard(folder / name, shard)
        places |= dict.fromkeys(shard, name)
        total += sum(tensor.nbytes for tensor in shard.values())
    _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})
    config = read_json(checkpoint / "config.json") or {}
    config["quantization_config"] = {"quant_method": METHOD, "format": quantization, "layout": LAYOUT}
    _write_json(folder / "config.json", config)  # last: a folder that broke off is no checkpoint


def load(network: Qwen3VL, folder: Path, *, progress: Progress | None = None) -> None:
    """Fills a network of the folder's config and quantisation; its packed matrices then lie in the mapped files. Raises
    `CheckpointError` where tensors are missing, left over, or of another shape or type; nothing has been filled then.
    """
    wanted, packed = tensors(network), network.packed()
    stored = read_headers(shard_files(folder))
    for names, fault in ((wanted.keys() - stored.keys(), "lacks"), (stored.keys() - wanted.keys(), "has unknown")):
        if names:
            raise CheckpointError(f"the checkpoint in {folder} {fault} {some(sorted(names))}")
    for name, tensor in wanted.items():
        if stored[name].shape != tuple(tensor.shape) or stored[name].dtype != _TYPES[tensor.dtype]:
            raise CheckpointError(
                f"{stored[name].shard}: {name} is {stored[name].dtype} {list(stored[name].shape)}, but this model "
                f"needs {list(tensor.shape)} of {tensor.dtype}"
            )
    total, done = sum(tensor.nbytes for tensor in wanted.values()), 0
    for shard in sorted({header.shard for header in stored.values()}):
        try:
            with safe_open(shard, framework="pt") as file, torch.no_grad():
                for name in file.offset_keys():
                    if name in packed:
                        network.replace_packed(name, file.get_tensor(name))
                    else:
                        wanted[name].copy_(file.get_tensor(name))
                    done += wanted[name].nbytes
                    if progress is not None:
                        progress(done, total)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{shard} broke while it was read: {error}") from error


def tensors(network: Qwen3VL) -> dict[str, torch.Tensor]:
    """Everything that a network holds, by module: parameters, and the bytes of packed matrices."""
    return dict(network.named_parameters()) | {name: matrix.data for name, matrix in network.packed().items()}


def _shards(named: Iterable[tuple[str, torch.Tensor]]) -> Iterator[dict[str, torch.Tensor]]:
    shard: dict[str, torch.Tensor] = {}
    for name, tensor in named:
        if shard and sum(each.nbytes for each in shard.values()) + tensor.nbytes > SHARD_BYTES:
            yield shard
            shard = {}
        shard[name] = tensor
    yield shard


def _write_shard(path: Path, shard: Mapping[str, torch.Tensor]) -> None:
    """A safetensors file in which matrices lie as the kernels' loads like it when the file is mapped."""
    ordered = sorted(shard.items(), key=lambda item: item[1].nbytes % ALIGNMENT != 0)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.nbytes
        header[name] = {"dtype": _TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, tensor in ordered:
            file.write(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().data)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
