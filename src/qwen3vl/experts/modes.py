"""Fast, Balanced, Full: how many experts a token uses, as one integer that reaches the MoE kernel with the batch."""

from __future__ import annotations

from typing import Literal

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.errors import InputError

ModeName = Literal["fast", "balanced", "full"]
Mode = ModeName | int
MODE_NAMES: tuple[ModeName, ...] = ("fast", "balanced", "full")


def mode_counts(num_experts_per_tok: int) -> dict[str, int]:
    """Active experts of each named mode, for a mixture-of-experts model that uses `num_experts_per_tok` of its own
    accord.
    """
    k = num_experts_per_tok
    return {"fast": -(-k // 2), "balanced": -(-3 * k // 4), "full": k}


def active_experts(mode: Mode | str, config: ModelConfig) -> int:
    """The number of experts that `mode` gives each token: of the model's own k, half (fast), three quarters (balanced),
    both rounded up, or all (full); or the number itself. A dense model has only "full", which counts as 1.

    Raises `InputError` when the model cannot honour the mode.
    """
    moe = config.text.moe
    if moe is None:
        if mode == "full":
            return 1
        raise InputError(
            f"mode {mode!r} needs a mixture-of-experts model; this model is dense and answers only mode 'full'",
            param="mode",
        )
    k = moe.num_experts_per_tok
    if isinstance(mode, int) and not isinstance(mode, bool):
        if 1 <= mode <= k:
            return mode
        raise InputError(f"mode {mode} asks for {mode} active experts; this model takes 1 to {k}", param="mode")
    counts = mode_counts(k)
    if mode in counts:
        return counts[mode]
    raise InputError(
        f"unknown mode {mode!r}; use 'fast', 'balanced', 'full' or a number of experts from 1 to {k}", param="mode"
    )
