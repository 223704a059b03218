"""Which shape is run, and what one step of it must read from memory."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.random_checkpoint import released
from qwen3vl.checkpoints.config import ModelConfig


@dataclass(frozen=True)
class Shape:
    """A released model, perhaps with its first layers only, or with fewer active experts."""

    model: str
    layers: int | None = None
    experts: int | None = None  # active for each token

    @cached_property
    def raw_config(self) -> dict[str, Any]:
        """What the `config.json` of this shape would say."""
        raw = copy.deepcopy(dict(released(self.model, self.layers).raw_config))
        text = raw["text_config"]
        if self.experts is not None:
            if not 1 <= self.experts <= text.get("num_experts", 0):
                raise SystemExit(f"{self.model} cannot have {self.experts} active experts")
            text["num_experts_per_tok"] = self.experts
        return raw

    @cached_property
    def config(self) -> ModelConfig:
        return ModelConfig.from_dict(self.raw_config)

    @property
    def label(self) -> str:
        layers = "" if self.layers is None else f", {self.layers} layers"
        experts = "" if self.experts is None else f", {self.experts} experts"
        return f"{self.model}{layers}{experts}"


@dataclass(frozen=True)
class Weights:
    """Bytes of the text tower as a runner holds them; rows of the input embedding that are looked up do not count."""

    always: int  # read in every step, whatever the token
    expert: int  # one expert, summed over the layers; 0 for a dense model
    position: int  # keys and values of one position of one sequence

    @classmethod
    def of_sizes(cls, sizes: Mapping[str, int], config: ModelConfig, cache_itemsize: int) -> Weights:
        """From the bytes of each tensor, by names in any dialect. Those of experts have "exp" in their names and hold
        all experts of a layer; the input embedding has "emb", and is read whole only where it is the output head too;
        those of the vision tower have "visual".
        """
        text = config.text
        sizes = {name: size for name, size in sizes.items() if "visual" not in name}
        experts = sum(size for name, size in sizes.items() if "exp" in name)
        lookup = 0 if config.tie_word_embeddings else sum(size for name, size in sizes.items() if "emb" in name)
        return cls(
            always=sum(sizes.values()) - experts - lookup,
            expert=experts // text.moe.num_experts if text.moe else 0,
            position=2 * text.num_layers * text.num_kv_heads * text.head_dim * cache_itemsize,
        )

    def step_bytes(self, config: ModelConfig, sequences: int, context: float) -> float:
        """What one decode step of so many sequences reads, each with `context` positions behind it. Which experts they
        meet is taken as drawn evenly and independently: several sequences share some.
        """
        moe = config.text.moe
        share = moe.num_experts_per_tok / moe.num_experts if moe else 0.0
        met = moe.num_experts * (1 - (1 - share) ** sequences) if moe else 0.0
        return self.always + met * self.expert + sequences * context * self.position
