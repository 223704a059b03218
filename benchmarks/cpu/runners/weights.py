"""Random bfloat16 weights of a torch module, in place."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.cpu.noise import Noise


def randomise(module: torch.nn.Module) -> None:
    """Norms one, biases zero, all else noise. Every parameter must be bfloat16."""
    noise = Noise(0)
    for name, parameter in module.named_parameters():
        if parameter.dtype != torch.bfloat16:
            raise ValueError(f"{name} is {parameter.dtype}")
        if "norm" in name or name.endswith("bias"):
            parameter.data.fill_(0.0 if name.endswith("bias") else 1.0)
        else:
            bits = noise.bfloat16(parameter.numel()).view(np.int16)
            parameter.data.copy_(torch.from_numpy(bits).view(torch.bfloat16).view(parameter.shape))
