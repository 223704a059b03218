"""The processes that train one network together: each has a GPU and draws its own batches, and gradients are averaged.

Started by `torchrun --nproc-per-node N -m training.train ...`; without it the team has one member, and nothing here
costs anything.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Team:
    """This process's place among `size`. The first one writes the log and the files."""

    rank: int = 0
    size: int = 1

    @classmethod
    def from_environment(cls) -> Team:
        """The place that torchrun gave this process; a team of one where it was started without."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    def device(self, kind: str) -> torch.device:
        """This member's device of the kind "cuda" or "cpu"; a device with a number is for a team of one."""
        return torch.device(f"cuda:{self.rank}" if kind == "cuda" else kind)

    def join(self, device: torch.device) -> None:
        """Connects with the others. Not before worker processes are forked: the connections are threads."""
        if device.type == "cuda":
            torch.cuda.set_device(device)
        if self.size > 1:
            # Gradients meet on the GPUs, and what the members agree on meets on the hosts, so that no step waits.
            dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")

    def leave(self) -> None:
        if self.size > 1:
            dist.destroy_process_group()

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replaces tensors of one type by their means over the members."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        sizes = [tensor.numel() for tensor in tensors]
        means = [mean.view_as(tensor) for mean, tensor in zip(torch.split(flat, sizes), tensors, strict=True)]
        torch._foreach_copy_(list(tensors), means)

    def highest(self, *values: float) -> tuple[float, ...]:
        """The highest that any member has of each value, so that all know the same."""
        if self.size == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return tuple(shared.tolist())
