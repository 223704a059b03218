"""Mixture of experts: which experts each token uses, and their feed-forward networks.

How many experts a token uses is data (`active`), so that requests in different modes share one batch. A (token,
expert) pair beyond a token's count is dropped before pairs are grouped by expert: it costs neither weights nor
arithmetic.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from qwen3vl.kernels.cpu import library as cpu
from qwen3vl.kernels.linear import FEW_ROWS, Weight, has_kernel, matrix, packed_linear_reference
from qwen3vl.kernels.norm import Norm
from qwen3vl.kernels.packed import PackedMatrix


def route(router_logits: torch.Tensor, active: torch.Tensor, top_k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Chooses each token's experts: softmax over all experts in float32, the `active` largest, renormalised to sum to
    1.

    router_logits: [tokens, experts]; active: [tokens] integers from 1 to top_k. Returns weights [tokens, top_k] in
    the logits' type and expert indices [tokens, top_k]; dropped pairs have weight 0 and the index `experts`, which no
    expert has.
    """
    weights, indices = router_logits.softmax(-1, dtype=torch.float32).topk(top_k, dim=-1)
    dropped = torch.arange(top_k, device=active.device) >= active[:, None]
    weights = weights.masked_fill(dropped, 0.0)
    weights = weights / weights.sum(-1, keepdim=True)
    return weights.to(router_logits.dtype), indices.masked_fill(dropped, router_logits.shape[-1])


def route_operation(
    x: torch.Tensor,
    norm: Norm,
    router: torch.Tensor,
    active: torch.Tensor,
    normed: torch.Tensor,
    weights: torch.Tensor,
    indices: torch.Tensor,
) -> cpu.Route:
    """Norm, product with the router's weight [experts, hidden] and `route` as an operation of a program, which writes
    the normalised x and what `route` returns. All float32.
    """
    return cpu.Route(
        cpu.address(x),
        *x.shape,
        cpu.address(norm.weight),
        norm.eps,
        cpu.address(router),
        len(router),
        weights.shape[1],
        cpu.address(active, torch.int64),
        cpu.address(normed),
        cpu.address(weights),
        cpu.address(indices, torch.int64),
    )


def experts_reference(
    x: torch.Tensor, gate_up: torch.Tensor, down: torch.Tensor, weights: torch.Tensor, indices: torch.Tensor
) -> torch.Tensor:
    """Every expert on every token, weighted: the definition, and far too much work. Arguments as in
    `grouped_experts`.
    """
    num_experts = gate_up.shape[0]
    dense = x.new_zeros(x.shape[0], num_experts + 1).scatter_add(1, indices, weights)[:, :num_experts]
    hidden = _swiglu(torch.einsum("th,eih->tei", x, gate_up))
    return torch.einsum("tei,ehi,te->th", hidden, down, dense)


def grouped_experts(
    x: torch.Tensor,
    gate_up: Weight,
    down: Weight,
    weights: torch.Tensor,
    indices: torch.Tensor,
    *,
    residual: torch.Tensor | None = None,
    level: cpu.Level | None = None,
) -> torch.Tensor:
    """The weighted sum of each token's experts, and the residual.

    x, residual: [tokens, hidden]; gate_up: [experts, 2 * inner, hidden], gate first; down: [experts, hidden, inner];
    weights, indices: [tokens, k] from `route`. Returns [tokens, hidden]. `level`: the CPU's instruction set, for tests.
    """
    if has_kernel(gate_up, level) and (isinstance(gate_up, PackedMatrix) or len(x) <= FEW_ROWS):
        y = torch.empty_like(x)
        cpu.run(experts_operation(x, gate_up, down, weights, indices, y, residual=residual), level=level)
        return y
    if isinstance(gate_up, PackedMatrix):
        assert isinstance(down, PackedMatrix)
        y = packed_experts_reference(x, gate_up, down, weights, indices)
    else:
        assert isinstance(down, torch.Tensor)
        run = _experts_cpu if x.device.type == "cpu" else _experts_grouped_mm
        y = run(x, gate_up, down, weights, indices)
    return y if residual is None else y + residual


def packed_experts_reference(
    x: torch.Tensor, gate_up: PackedMatrix, down: PackedMatrix, weights: torch.Tensor, indices: torch.Tensor
) -> torch.Tensor:
    """What the compiled kernel computes (but in tiles), in plain torch, expert by expert."""
    y = torch.zeros_like(x)
    for expert in range(gate_up.shape[0]):
        rows, places = (indices == expert).nonzero(as_tuple=True)
        if len(rows):
            hidden = packed_linear_reference(x[rows], gate_up.flat(expert), swiglu=True)
            out = packed_linear_reference(hidden, down.flat(expert))
            y.index_add_(0, rows, out * weights[rows, places, None])
    return y


def experts_operation(
    x: torch.Tensor,
    gate_up: Weight,
    down: Weight,
    weights: torch.Tensor,
    indices: torch.Tensor,
    y: torch.Tensor,
    *,
    residual: torch.Tensor | None = None,
) -> cpu.Experts:
    """`grouped_experts` as an operation of a program, which writes to y. The residual may be y itself."""
    return cpu.Experts(
        matrix(gate_up, halves=2),
        matrix(down, halves=1),
        cpu.address(x),
        *indices.shape,
        gate_up.shape[0],
        cpu.address(weights),
        cpu.address(indices, torch.int64),
        cpu.address(residual),
        cpu.address(y),
    )


def _experts_cpu(
    x: torch.Tensor, gate_up: torch.Tensor, down: torch.Tensor, weights: torch.Tensor, indices: torch.Tensor
) -> torch.Tensor:
    """Expert by expert over the tokens that chose it; experts that nobody chose are never touched."""
    num_experts, (tokens, k) = gate_up.shape[0], indices.shape
    flat = indices.flatten()
    order = flat.argsort(stable=True)
    counts = flat.bincount(minlength=num_experts + 1)[:num_experts].tolist()
    order = order[: sum(counts)]  # without the dropped pairs, which come last
    rows = order // k
    parts = []
    first = 0
    for expert, count in enumerate(counts):
        if count:
            hidden = _swiglu(F.linear(x[rows[first : first + count]], gate_up[expert]))
            parts.append(F.linear(hidden, down[expert]))
            first += count
    y = x.new_zeros(tokens * k, x.shape[1]).index_copy_(0, order, torch.cat(parts))
    return (y.view(tokens, k, -1) * weights[..., None]).sum(1)


def _experts_grouped_mm(
    x: torch.Tensor, gate_up: torch.Tensor, down: torch.Tensor, weights: torch.Tensor, indices: torch.Tensor
) -> torch.Tensor:
    """Pairs sorted by expert, two grouped products, then back to the tokens' order. No atomics, and in bfloat16 on a
    GPU no read-back; in float32 torch itself falls back to a loop that reads the groups' ends.
    """
    num_experts, (tokens, k) = gate_up.shape[0], indices.shape
    sorted_experts, order = indices.flatten().sort(stable=True)
    ends = torch.searchsorted(sorted_experts, torch.arange(num_experts, device=x.device), right=True).int()
    hidden = _swiglu(F.grouped_mm(x[order // k], gate_up.transpose(1, 2), offs=ends))
    y = F.grouped_mm(hidden, down.transpose(1, 2), offs=ends)
    # Rows past the last group belong to dropped pairs and were never written: whatever lies there must not be
    # multiplied.
    y = torch.where((sorted_experts < num_experts)[:, None], y, 0)
    y = torch.empty_like(y).index_copy_(0, order, y).view(tokens, k, -1)
    return (y * weights[..., None]).sum(1)


def _swiglu(gate_up: torch.Tensor) -> torch.Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up
