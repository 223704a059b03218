"""Small integers out of 32-bit words."""

from __future__ import annotations

import torch


def unpack(words: torch.Tensor, bits: int) -> torch.Tensor:
    """The numbers of 4 or 8 bits in each row of `words` [rows, n] int32, from the lowest bits of a word to the highest:
    [rows, n * 32 / bits] uint8.
    """
    octets = words.contiguous().view(torch.uint8)  # little-endian, as safetensors files and the CPUs that run this are
    if bits == 8:
        return octets
    return torch.stack((octets & 15, octets >> 4), dim=-1).flatten(1)
