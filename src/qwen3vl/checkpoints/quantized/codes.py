"""A matrix as small integers that share scales: what AWQ, GPTQ and the integer formats of compressed-tensors mean."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class GroupedCodes:
    """A matrix of which value = scale * (code - zero), with one scale and one zero for `group_size` inputs of an
    output.
    """

    codes: torch.Tensor  # [out, in] uint8, from 0 to 2**bits - 1
    scales: torch.Tensor  # [out, in / group_size] float32
    zeros: torch.Tensor  # [out, in / group_size] uint8
    bits: int  # 4 or 8
    group_size: int

    def dequantize(self) -> torch.Tensor:
        """[out, in] float32."""
        groups = self.codes.float().view(*self.scales.shape, self.group_size)
        return groups.sub_(self.zeros.float()[..., None]).mul_(self.scales[..., None]).flatten(1)


def dequantize_scattered(
    codes: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor, groups: torch.Tensor
) -> torch.Tensor:
    """[out, in] float32 where the inputs of a group do not lie side by side: `groups` [in] has the group of each."""
    return codes.float().sub_(zeros.float()[:, groups]).mul_(scales[:, groups])


def group_size_of(groups: torch.Tensor, count: int) -> int | None:
    """The size of the groups if the inputs of each lie side by side and all have the same number, else None."""
    inputs = groups.numel()
    if inputs % count:
        return None
    size = inputs // count
    in_order = torch.arange(inputs, device=groups.device).div(size, rounding_mode="floor")
    return size if torch.equal(groups, in_order.to(groups.dtype)) else None
