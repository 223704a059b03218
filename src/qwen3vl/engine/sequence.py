"""A request and its sequences: what the scheduler moves and the runner reads."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import torch

from qwen3vl.engine.grammar import Constraint
from qwen3vl.engine.loops import LoopDetector
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import Delta
from qwen3vl.engine.sampler import SamplingState
from qwen3vl.engine.text import OutputText
from qwen3vl.prompt.types import Prompt

Sink = Callable[[Delta | BaseException], None]  # called from the engine's thread; must not block


@dataclass(eq=False)
class Request:
    """One submission: a prompt and the n sequences that answer it."""

    id: int
    prompt: Prompt
    options: GenerationOptions
    active_experts: int
    sink: Sink
    sequences: list[Sequence] = field(default_factory=list)
    submitted: float = field(default_factory=time.perf_counter)
    admitted: float | None = None  # when its first sequence first entered a batch
    first_token: float | None = None
    cached_tokens: int = 0
    draft_tokens: int = 0
    accepted_tokens: int = 0  # of them
    energy_joules: float = 0.0  # that its tokens have been charged with; of meaning only where the engine has a meter

    @property
    def finished(self) -> bool:
        return all(sequence.finished for sequence in self.sequences)


@dataclass(eq=False)
class Sequence:
    """One answer being written: its tokens, how many of them the cache holds, and in which blocks."""

    request: Request
    index: int  # which of the n choices
    max_tokens: int  # of the answer
    sampling: SamplingState
    text: OutputText
    token_ids: list[int]  # prompt, then answer
    constraint: Constraint | None = None
    loops: LoopDetector | None = None
    scores: list[float] | None = None  # of the answer's tokens so far, where the answer is given and only to be scored
    distributions: list[torch.Tensor] | None = None  # [tokens, vocabulary], with the scores, where they are asked for
    num_computed: int = 0  # tokens whose keys and values are in the cache
    blocks: list[int] = field(default_factory=list)
    keys: PrefixKeys = field(init=False)
    features: dict[int, torch.Tensor] = field(
        default_factory=dict
    )  # visual -> [1 + taps, tokens, hidden] while prefilling
    finished: bool = False

    def __post_init__(self) -> None:
        self.keys = PrefixKeys(self)

    @property
    def num_prompt(self) -> int:
        return len(self.request.prompt)

    @property
    def num_generated(self) -> int:
        return len(self.token_ids) - self.num_prompt

    @property
    def wanted_rows(self) -> range:
        """The tokens whose logits are wanted: the last one, or those before the ones that are to be scored yet."""
        last = len(self.token_ids) - 1
        return range(last, last + 1) if self.scores is None else range(self.num_prompt + len(self.scores) - 1, last)

    @property
    def num_remaining(self) -> int:
        """Tokens that must be computed before the next one can be sampled, or the last one scored."""
        return self.wanted_rows.stop - self.num_computed

    def positions(self, first: int, last: int) -> np.ndarray:
        """MRoPE positions of tokens first to last - 1, [3, last - first] int64; past the prompt all three axes advance
        together.
        """
        prompt = self.request.prompt
        text = np.arange(max(first, len(prompt)), max(last, len(prompt))) + prompt.position_delta
        return np.concatenate(
            [prompt.position_ids[:, first:last].numpy(), np.broadcast_to(text, (3, len(text)))], axis=1
        )


class PrefixKeys:
    """Keys of a sequence's full blocks. Two blocks with one key hold the same keys and values.

    A key covers everything that shaped them: all tokens up to the block's end, what stood behind the visual pads
    (content after processing, and which part of it), and how many experts each token used.
    """

    def __init__(self, sequence: Sequence) -> None:
        self._sequence = sequence
        self._keys: list[bytes] = []
        self._root = f"experts={sequence.request.active_experts}".encode()

    def get(self, block: int, block_size: int) -> bytes:
        """Key of block number `block` of the sequence, whose tokens must all be known."""
        while len(self._keys) <= block:
            first = len(self._keys) * block_size
            self._keys.append(self._key(self._keys[-1] if self._keys else self._root, first, first + block_size))
        return self._keys[block]

    def _key(self, parent: bytes, first: int, last: int) -> bytes:
        tokens = self._sequence.token_ids[first:last]
        digest = blake2b(parent, digest_size=16)
        digest.update(b"".join(token.to_bytes(4, "little") for token in tokens))
        prompt = self._sequence.request.prompt
        for number in prompt.visuals_between(first, last):
            visual = prompt.visuals[number]
            digest.update(visual.key + (first - visual.start).to_bytes(8, "little", signed=True))
        return digest.digest()


_request_ids = itertools.count()


def next_request_id() -> int:
    return next(_request_ids)
