"""Engines whose drafts a test decides on, and networks that are functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch

from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig
from qwen3vl.engine.lookup import Guess
from qwen3vl.engine.scheduler import Chunk
from qwen3vl.engine.sequence import Sequence
from support.engines import Run

CONFIG = EngineConfig(num_blocks=300, block_size=4)
Teller = Callable[[Sequence], list[int]]  # what a sequence is going to say, as far as somebody knows


def load(folder: Any, speculation: Literal["auto", "off"], **options: Any) -> Engine:
    return Engine.load(folder, device="cpu", dtype="float32", speculation=speculation, **({"config": CONFIG} | options))


def told_by(engine: Engine, teller: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drafts are what `teller` says, taken for certain."""

    def guess(chunk: Chunk, follower: object, most: int) -> tuple[list[Guess], list[float]]:
        draft = [Guess(token_id, 0) for token_id in teller(chunk.sequence)[:most]]
        return draft, [1.0] * len(draft)

    monkeypatch.setattr(engine._core.speculation, "_guess", guess)


def toy(model: Callable[[list[int]], int | torch.Tensor]) -> Callable[[Run], Run]:
    """In the place of the network, a function of the tokens so far: to the next one, or to logits."""

    def replace(run: Run) -> Run:
        def computed(chunks: list[Chunk]) -> torch.Tensor:
            rows = []
            for chunk in chunks:
                tokens = chunk.sequence.token_ids[: chunk.start] + chunk.token_ids
                for row in chunk.rows:
                    said = model(tokens[: row + 1])
                    logits = (
                        said
                        if isinstance(said, torch.Tensor)
                        else torch.zeros(400).index_fill(0, torch.tensor([said]), 50.0)
                    )
                    rows.append(logits)
            return torch.stack(rows) if rows else torch.zeros(0, 400)

        return computed

    return replace
