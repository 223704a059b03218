"""Rows of a weight matrix: the embeddings of tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from qwen3vl.kernels.cpu import library as cpu
from qwen3vl.kernels.linear import Weight
from qwen3vl.kernels.packed import PackedMatrix


def lookup(weight: Weight, indices: torch.Tensor, *, level: cpu.Level | None = None) -> torch.Tensor:
    """Rows of `weight` [rows, columns] at `indices` [n] int64: [n, columns], of packed weights float32. `level`: as in
    `linear`. A row that is not there is an `IndexError`, and where a compiled kernel looks for it, no number.
    """
    if not isinstance(weight, PackedMatrix):
        return F.embedding(indices, weight)
    if not cpu.compiled(level):
        return weight.rows_at(indices)
    y = torch.empty(len(indices), weight.columns)
    cpu.run(lookup_operation(weight, indices, y), level=level)
    return y


def lookup_operation(weight: Weight, indices: torch.Tensor, y: torch.Tensor) -> cpu.Lookup:
    """`lookup` as an operation of a program, which writes float32 to y [n, columns]; of plain weights too."""
    rows, columns = weight.shape
    assert y.shape == (len(indices), columns)
    low = cpu.Matrix()
    if not isinstance(weight, PackedMatrix):
        high = cpu.Matrix(cpu.address(weight, weight.dtype), rows, columns, 1, 0, cpu.FORMATS[weight.dtype])
    elif weight.packing.planes:
        high, low = (plane.for_kernels() for plane in weight.planes)
    else:
        high = weight.for_kernels()
    return cpu.Lookup(high, low, cpu.address(indices, torch.int64), len(indices), cpu.address(y))
