"""The first weights of a network: drawn for the dense one, cut out of the dense one for the mixture of experts."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from qwen3vl.checkpoints.config import MoeConfig
from training.network import Network

# The last matrix of each residual branch: at zero, every layer passes on what it gets.
_RESIDUAL_OUTPUT = re.compile(
    r"(blocks\.\d+\.(attn\.proj|mlp\.linear_fc2)|layers\.\d+\.(self_attn\.o_proj|mlp\.down_proj))\.weight$"
)
_DEVIATION = 0.04
_ROUTER_DEVIATION = 0.02
_COPY_NOISE = 0.1  # of a slice's own deviation, by which its second expert differs from its first


@torch.no_grad()
def initialise(network: Network, generator: torch.Generator) -> None:
    """Draws the weights: matrices are normal, norms one, biases zero, residual branches silent."""
    for name, parameter in network.named_parameters():
        if name == "hint_head.linear.bias":
            continue  # set by the head
        if _RESIDUAL_OUTPUT.search(name) or name.endswith("bias"):
            parameter.zero_()
        elif "norm" in name:
            parameter.fill_(1.0)
        else:
            parameter.normal_(0.0, _DEVIATION, generator=generator)


def upcycle(dense: Mapping[str, torch.Tensor], moe: MoeConfig, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """The weights of a mixture of experts that starts as the dense model it is made of.

    The dense MLP is cut into as many slices as a token uses experts, k, and each slice becomes two experts, so there
    must be 2k. Their router rows are opposite: of each pair one has a positive logit, so that the k largest choose
    every slice once, with nearly equal weights, which the factor k on the outputs makes up for.
    """
    k, width = moe.num_experts_per_tok, moe.intermediate_size
    assert moe.num_experts == 2 * k, "each slice of the dense MLP becomes two experts"
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in dense.items():
        prefix, found, _ = name.partition("gate_proj.weight")
        if not found:
            if not name.endswith(("mlp.up_proj.weight", "mlp.down_proj.weight")):
                weights[name] = tensor
            continue
        gate, up, down = (dense[f"{prefix}{part}_proj.weight"].float() for part in ("gate", "up", "down"))
        assert len(gate) == k * width, f"the dense MLP of {len(gate)} does not make {k} slices of {width}"

        def experts(slices: torch.Tensor) -> torch.Tensor:
            noise = torch.randn(slices.shape, generator=generator) * slices.std() * _COPY_NOISE
            return torch.cat([slices, slices + noise])

        # [k, hidden, width], as released: input dimension first
        gates, ups = (part.view(k, width, -1).transpose(1, 2) for part in (gate, up))
        rows = torch.randn(k, gate.shape[1], generator=generator) * _ROUTER_DEVIATION
        weights[f"{prefix}gate.weight"] = torch.cat([rows, -rows])
        weights[f"{prefix}experts.gate_up_proj"] = experts(torch.cat([gates, ups], dim=-1))
        weights[f"{prefix}experts.down_proj"] = experts(down.T.reshape(k, width, -1) * k)
    return weights
