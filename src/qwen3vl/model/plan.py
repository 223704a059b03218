"""Steps of a few tokens as one program: the operations of embedding and layers in buffers that stay, prepared once for
each number of tokens. A step of one user has some two hundred operations, each shorter than what calling it from Python
takes.

What it computes is what the layers' `forward` computes, which is taken for everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from qwen3vl.checkpoints.config import TextConfig
from qwen3vl.kernels.attention import AttentionGroup
from qwen3vl.kernels.cpu.library import Operation, Program
from qwen3vl.model.batch import StepContext

MOST_TOKENS = 16
_LEAST_BLOCKS = 64  # of a sequence's table; grows by doubling


@dataclass(frozen=True)
class Room:
    """Buffers of a step of n tokens. What an operation reads is there when its turn comes."""

    token_ids: torch.Tensor  # [n] int64
    x: torch.Tensor  # [n, hidden]: the tokens' embeddings at first, the last layer's output at last
    qkv: torch.Tensor
    queries: torch.Tensor  # [n, heads, head_dim]
    attended: torch.Tensor  # the same
    cos: torch.Tensor  # [n, 1, head_dim / 2]
    sin: torch.Tensor
    slots: torch.Tensor  # [n] int64
    lengths: torch.Tensor  # [n] int64, keys that each token sees, itself included
    tables: torch.Tensor  # [n, blocks] int64, of each token's sequence
    gated: torch.Tensor  # [n, inner] of a dense feed-forward network
    normed: torch.Tensor  # [n, hidden], and what follows for a mixture of experts
    active_experts: torch.Tensor  # [n] int64
    weights: torch.Tensor  # [n, k]
    indices: torch.Tensor  # [n, k] int64

    @classmethod
    def of(cls, config: TextConfig, n: int, blocks: int) -> Room:
        heads, size, hidden = config.num_heads, config.head_dim, config.hidden_size
        top_k = config.moe.num_experts_per_tok if config.moe else 0
        return cls(
            token_ids=torch.empty(n, dtype=torch.long),
            x=torch.empty(n, hidden),
            qkv=torch.empty(n, (heads + 2 * config.num_kv_heads) * size),
            queries=torch.empty(n, heads, size),
            attended=torch.empty(n, heads, size),
            cos=torch.empty(n, 1, size // 2),
            sin=torch.empty(n, 1, size // 2),
            slots=torch.empty(n, dtype=torch.long),
            lengths=torch.empty(n, dtype=torch.long),
            tables=torch.empty(n, blocks, dtype=torch.long),
            gated=torch.empty(n, config.intermediate_size),
            normed=torch.empty(n, hidden),
            active_experts=torch.empty(n, dtype=torch.long),
            weights=torch.empty(n, top_k),
            indices=torch.empty(n, top_k, dtype=torch.long),
        )


class Plan:
    """`operations` gives those of the embedding and all layers, in the buffers that it is handed; their tensors stay
    where they are.
    """

    def __init__(self, config: TextConfig, operations: Callable[[Room], list[Operation]]) -> None:
        self._config = config
        self._operations = operations
        self._programs: dict[int, tuple[Room, Program]] = {}
        self._blocks = _LEAST_BLOCKS

    def run(self, token_ids: torch.Tensor, step: StepContext) -> torch.Tensor:
        """token_ids: [n], up to `MOST_TOKENS`. Returns the last layer's output, [n, hidden]; the next step overwrites
        it.
        """
        n = len(token_ids)
        blocks = max(group.block_tables.shape[1] for group in step.groups)
        while blocks > self._blocks:
            self._blocks *= 2
            self._programs.clear()
        if n not in self._programs:
            with torch.inference_mode(mode=False):  # so that they can be written inside of it and outside
                room = Room.of(self._config, n, self._blocks)
            self._programs[n] = room, Program(self._operations(room))
        room, program = self._programs[n]
        for here, given in (
            (room.token_ids, token_ids),
            (room.cos, step.cos),
            (room.sin, step.sin),
            (room.slots, step.slots),
            (room.active_experts, step.active_experts),
        ):
            here.copy_(given)
        for group in step.groups:
            lengths, tables = _of_tokens(group)
            room.lengths[group.tokens] = lengths
            room.tables[group.tokens, : tables.shape[1]] = tables
        program.run()
        return room.x


def _of_tokens(group: AttentionGroup) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys that each token sees, and the table of its sequence's blocks."""
    if group.max_queries == 1:
        return group.context_lengths, group.block_tables
    counts = group.query_starts.diff()
    behind = torch.repeat_interleave(group.query_starts[1:], counts) - 1 - torch.arange(group.num_tokens)
    return torch.repeat_interleave(group.context_lengths, counts) - behind, torch.repeat_interleave(
        group.block_tables, counts, dim=0
    )
