"""Products with a weight matrix, with what stands before and after them in one pass.

A weight is a plain tensor, [out, in], or a `PackedMatrix`. On a CPU packed weights meet activations in float32, which
are rounded on the way: to bytes group by group, or 25 rows and more to bfloat16 where there are tiles. A few rows with
plain weights in float32 are compiled too: what torch takes to begin a product is longer than a small one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from qwen3vl.kernels.cpu import library as cpu
from qwen3vl.kernels.norm import Norm
from qwen3vl.kernels.packed import LEAST_LARGEST, PackedMatrix

Weight = torch.Tensor | PackedMatrix

FEW_ROWS = 16  # of more, torch is faster with plain weights


def linear(
    x: torch.Tensor,
    weight: Weight,
    *,
    norm: Norm | None = None,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    swiglu: bool = False,
    level: cpu.Level | None = None,
) -> torch.Tensor:
    """`norm(x) W^T + bias + residual`; with `swiglu`, `silu(first half) * second half` of the outputs.

    x: [tokens, in]; bias: [out]; residual: [tokens, out]. A SwiGLU takes neither bias nor residual. Returns [tokens,
    out] (out / 2 with `swiglu`) in x's type. `level`: the CPU's instruction set, for tests; None takes the best.
    """
    assert not (swiglu and (bias is not None or residual is not None))
    if has_kernel(weight, level) and (isinstance(weight, PackedMatrix) or len(x) <= FEW_ROWS):
        y = x.new_empty(len(x), weight.shape[0] // 2 if swiglu else weight.shape[0])
        operation = linear_operation(x, weight, y, norm=norm, bias=bias, residual=residual, swiglu=swiglu)
        cpu.run(operation, level=level)
        return y
    if isinstance(weight, PackedMatrix):
        return packed_linear_reference(x, weight, norm=norm, bias=bias, residual=residual, swiglu=swiglu)
    y = F.linear(x if norm is None else norm(x), weight, bias)
    if swiglu:
        gate, up = y.chunk(2, dim=-1)
        return F.silu(gate) * up
    return y if residual is None else y + residual


def has_kernel(weight: Weight, level: cpu.Level | None = None) -> bool:
    """Whether there is a compiled kernel for this weight: packed, or float32 on a CPU."""
    kept = isinstance(weight, PackedMatrix) or (weight.device.type == "cpu" and weight.dtype == torch.float32)
    return kept and cpu.compiled(level)


def packed_linear_reference(
    x: torch.Tensor,
    weight: PackedMatrix,
    *,
    norm: Norm | None = None,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    swiglu: bool = False,
) -> torch.Tensor:
    """What the compiled kernel computes (but in tiles), in plain torch: activations rounded as there, weights unpacked
    in full.
    """
    rounded = round_activations(x if norm is None else norm(x), weight.packing.group)
    return linear(rounded, weight.dequantize(), bias=bias, residual=residual, swiglu=swiglu, level=cpu.Level.NONE)


def round_activations(x: torch.Tensor, group: int) -> torch.Tensor:
    """x [tokens, columns] with each group of columns as multiples of 1/127 of its largest."""
    padded = torch.unflatten(F.pad(x, (0, -x.shape[1] % group)), 1, (-1, group))
    largest = padded.abs().amax(-1, keepdim=True)
    codes = (padded * (127 / largest.clamp(min=LEAST_LARGEST))).round()
    return (codes * (largest / 127)).flatten(1)[:, : x.shape[1]]


def linear_operation(
    x: torch.Tensor,
    weight: Weight,
    y: torch.Tensor,
    *,
    norm: Norm | None = None,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    swiglu: bool = False,
) -> cpu.Linear:
    """`linear` as an operation of a program, which writes to y. The residual may be y itself."""
    outputs, inputs = weight.shape
    assert x.shape[1] == inputs
    assert y.shape == (len(x), outputs // 2 if swiglu else outputs)
    return cpu.Linear(
        matrix(weight, halves=1 + swiglu),
        cpu.address(x),
        len(x),
        x.shape[1],
        None if norm is None else cpu.address(norm.weight),
        0.0 if norm is None else norm.eps,
        cpu.address(bias),
        cpu.address(residual),
        swiglu,
        cpu.address(y),
    )


def matrix(weight: Weight, *, halves: int) -> cpu.Matrix:
    """A weight, or several of one shape behind each other, for the C interface. A packed one knows its halves."""
    if isinstance(weight, PackedMatrix):
        assert not weight.packing.planes, "that is `head.logits`"
        return weight.for_kernels()
    outputs, inputs = weight.shape[-2:]
    return cpu.Matrix(cpu.address(weight), outputs // halves, inputs, halves, 0, cpu.FORMATS[weight.dtype])
