"""How the memory that the engine may use is divided: weights first, room for a step's activations, the rest to the
paged cache.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.errors import InputError, InsufficientMemoryError
from qwen3vl.kernels.attention import PADDED_BYTES, padded_bytes

GIB = 2**30
_CPU_CACHE_TOKENS = 65_536  # unless a budget is given
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes, and what they come to."""

    budget: int
    weights: int
    activations: int
    features: int
    num_blocks: int
    block_bytes: int

    @property
    def total(self) -> int:
        return self.weights + self.activations + self.features + self.num_blocks * self.block_bytes


def parse_size(size: int | str) -> int:
    """Bytes from a number or from text such as "12GiB", "800 MB" or "3.5G"; all units are powers of 1,024."""
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*([KMGT]?)(?:i?B)?\s*", str(size), re.IGNORECASE)
    if match is None or float(match[1]) == 0:
        raise InputError(f"memory must be a positive number of bytes or a size such as '12GiB', got {size!r}")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def available_bytes(device: torch.device) -> int:
    """Memory that is free now on the device; on the CPU no more than the container's limit leaves."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    available = int(psutil.virtual_memory().available)
    if _CGROUP_LIMIT.is_file() and (limit := _CGROUP_LIMIT.read_text().strip()).isdigit():
        available = min(available, max(int(limit) - psutil.Process().memory_info().rss, 0))
    return available


def plan_memory(
    config: ModelConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    tower_dtype: torch.dtype,
    memory: int | None,
    weight_bytes: int,
    cache_token_bytes: int,
    feature_bytes: int,
    step_tokens: int,
    max_running: int,
    max_patches: int,
    block_size: int,
    num_blocks: int | None,
    max_context: int | None,
) -> MemoryPlan:
    """Decides how many cache blocks there are, before anything is loaded.

    `memory` is the most that everything together may take; None takes nine tenths of a GPU; of the free RAM half, and
    nine tenths for a model that half is not enough for. Raises `InsufficientMemoryError` when not even one sequence of
    `max_context` tokens (None: of 1,024) would fit.
    """
    text = config.text
    block_bytes = block_size * cache_token_bytes
    longest = max_context or text.max_positions
    least = -(-(max_context or min(1024, text.max_positions)) // block_size)
    most = max_running * -(-longest // block_size)
    if memory is None and device.type == "cpu":
        most = min(most, max(least, _CPU_CACHE_TOKENS // block_size))  # a laptop's memory is not the engine's alone
    if num_blocks is not None:
        least = most = num_blocks

    def activations(blocks: int) -> int:
        context = min(longest, blocks * block_size)  # no sequence is longer than the cache
        return _activation_bytes(config, device, dtype, tower_dtype, step_tokens, max_running, max_patches, context)

    def needed(blocks: int) -> int:
        return weight_bytes + activations(blocks) + feature_bytes + blocks * block_bytes

    free = available_bytes(device)
    budget = memory if memory is not None else int(free * (0.9 if device.type == "cuda" else 0.5))
    if memory is None and needed(least) > budget:
        budget = int(free * 0.9)
    num_blocks = bisect_right(range(most + 1), budget, key=needed) - 1
    if num_blocks < least:
        raise InsufficientMemoryError(
            f"this model needs {needed(least) / GIB:.2f} GiB ({weight_bytes / GIB:.2f} weights, "
            f"{activations(least) / GIB:.2f} activations, {feature_bytes / GIB:.2f} picture features, "
            f"{least * block_bytes / GIB:.2f} for {least * block_size} tokens of context), "
            f"but {budget / GIB:.2f} GiB may be used ({free / GIB:.2f} GiB are free on {device})"
        )
    return MemoryPlan(budget, weight_bytes, activations(num_blocks), feature_bytes, num_blocks, block_bytes)


def _activation_bytes(
    config: ModelConfig,
    device: torch.device,
    dtype: torch.dtype,
    tower_dtype: torch.dtype,
    step_tokens: int,
    max_running: int,
    max_patches: int,
    max_context: int,
) -> int:
    """What one step holds besides weights and cache, estimated at the widest moments of decoder, vision tower,
    attention and output head.
    """
    text, vision = config.text, config.vision
    experts = text.moe.num_experts_per_tok * text.moe.intermediate_size if text.moe else 0
    attention = (text.num_heads + 2 * text.num_kv_heads) * text.head_dim
    decoder = step_tokens * (6 * text.hidden_size + 3 * max(text.intermediate_size, experts) + 3 * attention)
    tower = max_patches * (6 * vision.hidden_size + 2 * max(vision.intermediate_size, 3 * vision.hidden_size))
    # The padded groups of a GPU, or one sequence that fills the context; on a CPU one sequence at a time in any case.
    padded = padded_bytes(1, step_tokens, max_context, text.num_kv_heads, text.head_dim, dtype.itemsize)
    padded = max(padded, PADDED_BYTES if device.type == "cuda" else 0)
    logits = max_running * text.vocab_size * 3 * torch.float32.itemsize
    return max(decoder * dtype.itemsize, tower * tower_dtype.itemsize) + padded + logits
