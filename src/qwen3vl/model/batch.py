"""One step's input: a flat batch of tokens from any number of sequences, with the tensors that say what each token
is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from qwen3vl.kernels.attention import AttentionGroup


@dataclass
class VisualInputs:
    """What the vision tower found for the visual tokens of this step."""

    rows: torch.Tensor  # [V] int64, their places in the flat batch
    embeddings: torch.Tensor  # [1 + taps, V, hidden]: the main features, then one set for each DeepStack tap


@dataclass
class Batch:
    """T tokens of S sequences. All tensors on the model's device."""

    token_ids: torch.Tensor  # [T] int64
    position_ids: torch.Tensor  # [3, T] int64
    slots: torch.Tensor  # [T] int64, where each token's key and value go
    active_experts: torch.Tensor  # [T] int64, experts each token may use
    groups: list[AttentionGroup]
    logit_rows: torch.Tensor  # [L] int64, the tokens whose next token is wanted, ascending, each once
    visuals: VisualInputs | None

    def rows_with_logits(self, x: torch.Tensor) -> torch.Tensor:
        """Of x [T, ...] those of `logit_rows`: x itself where all are wanted, as in a step that decodes."""
        return x if len(self.logit_rows) == len(x) else x[self.logit_rows]


@dataclass
class StepContext:
    """What every layer of a step needs besides the hidden states; computed once a step."""

    cos: torch.Tensor  # [T, 1, head_dim / 2]
    sin: torch.Tensor
    slots: torch.Tensor
    groups: list[AttentionGroup]
    active_experts: torch.Tensor
