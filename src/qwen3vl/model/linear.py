"""The modules of the decoder whose weights may be packed."""

from __future__ import annotations

import torch
from torch import nn

from qwen3vl.kernels.cpu.library import Operation
from qwen3vl.kernels.embedding import lookup, lookup_operation
from qwen3vl.kernels.linear import Weight, linear, linear_operation
from qwen3vl.kernels.norm import Norm
from qwen3vl.kernels.packed import PackedMatrix, Packing


class Projection(nn.Module):
    """`kernels.linear.linear` with its weight and bias. `halves`: 2 where the outputs are two matrices of one size."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False, halves: int = 1) -> None:
        super().__init__()
        self.weight: Weight
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        self.outputs, self.halves = outputs, halves

    def pack(self, packing: Packing) -> None:
        """Takes a packed matrix, yet without values, in the place of the parameter."""
        outputs, inputs = self.weight.shape
        del self.weight
        self.weight = PackedMatrix.empty(outputs, inputs, packing, halves=self.halves)

    def forward(
        self,
        x: torch.Tensor,
        *,
        norm: Norm | None = None,
        residual: torch.Tensor | None = None,
        swiglu: bool = False,
    ) -> torch.Tensor:
        return linear(x, self.weight, norm=norm, bias=self.bias, residual=residual, swiglu=swiglu)

    def operation(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        *,
        norm: Norm | None = None,
        residual: torch.Tensor | None = None,
        swiglu: bool = False,
    ) -> Operation:
        """What `forward` does, where the weight has a kernel, as an operation of a program that writes to y."""
        return linear_operation(x, self.weight, y, norm=norm, bias=self.bias, residual=residual, swiglu=swiglu)


class Embedding(nn.Module):
    """Rows of a matrix, looked up."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight: Weight
        self.weight = nn.Parameter(torch.empty(rows, width))

    def pack(self, packing: Packing) -> None:
        """As `Projection.pack`: a matrix that is the output head too."""
        rows, width = self.weight.shape
        del self.weight
        self.weight = PackedMatrix.empty(rows, width, packing)

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        """[n] int64 to [n, width]."""
        return lookup(self.weight, token_ids)

    def operation(self, token_ids: torch.Tensor, y: torch.Tensor) -> Operation:
        """As `Projection.operation`."""
        return lookup_operation(self.weight, token_ids, y)
