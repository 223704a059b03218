"""What a run leaves for the next: weights and the optimisers' means in bfloat16, in files small enough to carry.

Saving rounds the live tensors to what is written. So a run that goes on in the same process and one that is loaded from
the files compute the same numbers from there on, and the files need no second copy of the weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

MAX_FILE_BYTES = 15_900_000
_WEIGHTS, _OPTIMIZER = "weights", "optimizer"
_RELEASED = "model"  # what the files of a released folder begin with


@dataclass(frozen=True)
class RunState:
    """How far training has come."""

    config: dict[str, Any]  # the model's config.json
    step: int = 0
    progress: float = 0.0  # share of the whole training that is done
    next_piece: int = 0  # number of the first piece of data that was not used
    seed: int = 0


def save(
    folder: Path, state: RunState, weights: Mapping[str, torch.Tensor], optimizer: Mapping[str, torch.Tensor]
) -> None:
    """Rounds the tensors to bfloat16 in place and writes them, in files below 16 MB each, beside `state.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, tensors in ((_WEIGHTS, weights), (_OPTIMIZER, optimizer)):
        for stale in folder.glob(f"{kind}-*.safetensors"):
            stale.unlink()
        for number, part in enumerate(_parts(tensors)):
            rounded = {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in part.items()}
            save_file({name: tensor.cpu() for name, tensor in rounded.items()}, folder / f"{kind}-{number}.safetensors")
            with torch.no_grad():
                for name, tensor in part.items():
                    tensor.copy_(rounded[name])
    (folder / "state.json").write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[RunState, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The state, the weights and the optimisers' tensors (bfloat16, on the CPU) that `save` wrote."""
    state = RunState(**json.loads((folder / "state.json").read_text(encoding="utf-8")))
    return state, _tensors(folder, _WEIGHTS), _tensors(folder, _OPTIMIZER)


def load_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a run, or those of a released folder, which has no auxiliary head."""
    weights = _tensors(folder, _WEIGHTS) or _tensors(folder, _RELEASED)
    if not weights:
        raise FileNotFoundError(f"{folder} holds neither a run nor a released model")
    return weights


def _tensors(folder: Path, kind: str) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob(f"{kind}*.safetensors")):
        tensors |= load_file(path)
    return tensors


def _parts(tensors: Mapping[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    """The tensors in groups that fit a file each."""
    part: dict[str, torch.Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        stored = tensor.numel() * torch.bfloat16.itemsize
        if part and size + stored > MAX_FILE_BYTES:
            yield part
            part, size = {}, 0
        part[name] = tensor
        size += stored
    if part:
        yield part
