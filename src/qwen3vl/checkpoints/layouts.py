"""The ways in which checkpoints store the experts, and where each stored tensor belongs. Knows shapes, reads no files.

Released: `mlp.experts.gate_up_proj` [experts, hidden, 2 * width], gate before up, and `mlp.experts.down_proj` [experts,
width, hidden]. Newer exporters swap the last two dimensions of both under the same names. Others store three matrices
an expert, `mlp.experts.{e}.{gate,up,down}_proj.weight`, output dimension first. Everything else is stored in one way
only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from qwen3vl.checkpoints.tensors import Shape

_GATE_UP, _DOWN = ".mlp.experts.gate_up_proj", ".mlp.experts.down_proj"


class Destination(Protocol):
    """What values are copied into: a tensor, or something that behaves like one and keeps them in another form."""

    @property
    def shape(self) -> Sequence[int]: ...

    def dim(self) -> int: ...

    def __getitem__(self, index: int, /) -> Destination: ...

    def narrow(self, dim: int, start: int, length: int, /) -> Destination: ...

    def copy_(self, values: torch.Tensor, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Slot:
    """Where the values of one stored tensor go."""

    destination: Destination
    swapped: bool = False  # the stored tensor has the last two dimensions the other way round

    @property
    def stored_shape(self) -> Shape:
        shape = tuple(self.destination.shape)
        return (*shape[:-2], shape[-1], shape[-2]) if self.swapped else shape

    @property
    def is_fused(self) -> bool:
        """One matrix an expert along the first dimension, so that it may be copied expert by expert."""
        return self.destination.dim() == 3

    def fill(self, values: torch.Tensor) -> None:
        """Copies all values, cast to the destination's type and device. `values` has the stored shape."""
        self.destination.copy_(values.transpose(-1, -2) if self.swapped else values)

    def fill_expert(self, expert: int, values: torch.Tensor) -> None:
        """Copies the matrix of one expert of a fused tensor."""
        Slot(self.destination[expert], self.swapped).fill(values)


def slots(destinations: Mapping[str, Destination], stored: Mapping[str, Shape]) -> dict[str, Slot]:
    """For each tensor that the checkpoint must store, by its stored name, where it goes.

    `destinations` are by released name and of released shape; `stored` are the shapes that the checkpoint has, which
    tell its layout. Names that it lacks are in the answer too, so that they can be reported.
    """
    found: dict[str, Slot] = {}
    for name, destination in destinations.items():
        if name.endswith(_GATE_UP):
            prefix = name.removesuffix(_GATE_UP)
            found |= _expert_slots(prefix, destination, destinations[prefix + _DOWN], stored)
        elif not name.endswith(_DOWN):
            found[name] = Slot(destination)
    return found


def _expert_slots(prefix: str, gate_up: Destination, down: Destination, stored: Mapping[str, Shape]) -> dict[str, Slot]:
    width = down.shape[1]
    if prefix + _GATE_UP not in stored and prefix + _DOWN not in stored and _has_single_experts(prefix, stored):
        singles: dict[str, Slot] = {}
        for expert in range(gate_up.shape[0]):
            both = gate_up[expert]
            parts = {"gate": both.narrow(1, 0, width), "up": both.narrow(1, width, width), "down": down[expert]}
            for part, destination in parts.items():
                singles[f"{prefix}.mlp.experts.{expert}.{part}_proj.weight"] = Slot(destination, swapped=True)
        return singles
    # A square matrix fits both ways round; the two kinds cannot both be square, so the other one tells.
    swapped = any(
        stored.get(prefix + kind) == Slot(tensor, swapped=True).stored_shape and tensor.shape[1] != tensor.shape[2]
        for kind, tensor in ((_GATE_UP, gate_up), (_DOWN, down))
    )
    return {prefix + _GATE_UP: Slot(gate_up, swapped), prefix + _DOWN: Slot(down, swapped)}


def _has_single_experts(prefix: str, stored: Collection[str]) -> bool:
    return any(f"{prefix}.mlp.experts.0.{part}_proj.weight" in stored for part in ("gate", "up", "down"))
