"""Logits: the product with the output head, the largest matrix of a small model and a tenth to a third of what a step
of one user reads.

A token is drawn among the largest logits. So a head in two planes (`packed.py`) is read to 4 bits a weight, which says
to a fraction of a nat where each logit is, and then to 8 bits where the largest are: all that can be drawn at usual
temperatures has 8 bits, for hardly more than half of the bytes.
"""

from __future__ import annotations

import torch

from qwen3vl.kernels.cpu import library as cpu
from qwen3vl.kernels.linear import Weight, linear, round_activations
from qwen3vl.kernels.norm import Norm
from qwen3vl.kernels.packed import LANES, PackedMatrix

REFINED = 64  # blocks of 16 rows that are read to 8 bits for each row of logits


def logits(x: torch.Tensor, weight: Weight, norm: Norm, *, level: cpu.Level | None = None) -> torch.Tensor:
    """`norm(x) W^T`, float32 [rows, vocabulary] of x [rows, hidden]. Of a weight in two planes the `REFINED` blocks
    with the largest estimate of each row have 8 bits and all others 4, whatever the other rows are. `level`: as in
    `linear`.
    """
    if not isinstance(weight, PackedMatrix) or not weight.packing.planes:
        return linear(x, weight, norm=norm, level=level).float()
    if not cpu.compiled(level):
        return logits_reference(x, weight, norm)
    y = x.new_empty(len(x), weight.rows)
    refined = min(REFINED, weight.data.shape[1])
    planes = (plane.for_kernels() for plane in weight.planes)
    operation = cpu.Head(*planes, cpu.address(x), len(x), cpu.address(norm.weight), norm.eps, refined, cpu.address(y))
    cpu.run(operation, level=level)
    return y


def logits_reference(x: torch.Tensor, weight: PackedMatrix, norm: Norm) -> torch.Tensor:
    """What the compiled kernel computes, in plain torch."""
    rounded = round_activations(norm(x), weight.packing.group)
    estimate, rest = (rounded @ plane.dequantize().T for plane in weight.planes)
    full, blocks = estimate + rest, weight.data.shape[1]
    if blocks <= REFINED:
        return full
    padded = torch.nn.functional.pad(estimate, (0, -weight.rows % LANES), value=-torch.inf)
    largest = torch.unflatten(padded, 1, (blocks, LANES)).amax(-1).topk(REFINED).indices
    chosen = torch.zeros(len(x), blocks, dtype=torch.bool).scatter_(1, largest, value=True)
    return torch.where(chosen.repeat_interleave(LANES, dim=1)[:, : weight.rows], full, estimate)
