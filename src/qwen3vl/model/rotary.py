"""Angles of the decoder's interleaved multimodal rotary embedding (MRoPE), with YaRN for longer contexts.

Each of the head_dim / 2 frequencies turns with one of a token's three positions: frequency i with the row when i % 3
== 1, with the column when i % 3 == 2 (both only within their section), otherwise with time.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from qwen3vl.checkpoints.config import RopeConfig, YarnConfig


class MRope:
    """Cosines and sines for a step's positions. Keeps its small tables on one device, in float32."""

    def __init__(self, config: RopeConfig, head_dim: int, device: torch.device) -> None:
        frequencies, self.scale = inverse_frequencies(config, head_dim)
        self.inverse_frequencies = frequencies.to(device)  # [head_dim / 2]
        self.axis = position_axis(config.mrope_section).to(device)  # [head_dim / 2] of 0 (time), 1 (row), 2 (column)

    def __call__(self, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """position_ids: [3, tokens]. Returns cos and sin, [tokens, 1, head_dim / 2] float32."""
        angles = position_ids[self.axis].T.contiguous().float() * self.inverse_frequencies
        if angles.device.type == "cpu":  # where torch wakes threads for some hundred of them
            cos, sin = torch.from_numpy(np.cos(angles.numpy())), torch.from_numpy(np.sin(angles.numpy()))
        else:
            cos, sin = angles.cos(), angles.sin()
        return (cos * self.scale)[:, None], (sin * self.scale)[:, None]


def position_axis(section: tuple[int, int, int]) -> torch.Tensor:
    """Which of (time, row, column) turns each frequency, for sections in the order of the config."""
    axis = torch.zeros(sum(section), dtype=torch.long)
    for number in (1, 2):
        axis[number : 3 * section[number] : 3] = number
    return axis


def inverse_frequencies(config: RopeConfig, head_dim: int) -> tuple[torch.Tensor, float]:
    """Radians a position for each frequency, [head_dim / 2], and the factor on cosine and sine (1 without YaRN)."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    frequencies = 1.0 / config.theta**exponents
    if config.yarn is None:
        return frequencies, 1.0
    yarn = config.yarn
    kept = _kept_share(yarn, config.theta, head_dim)
    scale = yarn.attention_factor
    if scale is None:
        scale = 0.1 * math.log(yarn.factor) + 1.0 if yarn.factor > 1 else 1.0
    # The wavelengths are scaled by 1 / (theta^e * factor) rather than divided after, as the reference does in float32.
    return 1.0 / (yarn.factor * config.theta**exponents) * (1 - kept) + frequencies * kept, scale


def _kept_share(yarn: YarnConfig, theta: float, head_dim: int) -> torch.Tensor:
    """How much of each frequency stays unscaled, from 1 (fast ones) to 0: equation 23 of
    https://arxiv.org/abs/2309.00071.
    """

    def index_of(rotations: float) -> float:
        return head_dim * math.log(yarn.original_max_positions / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = index_of(yarn.beta_fast), index_of(yarn.beta_slow)
    if yarn.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    ramp = (torch.arange(head_dim // 2, dtype=torch.float32) - low) / max(high - low, 0.001)
    return 1 - ramp.clamp(0, 1)
