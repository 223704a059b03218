"""What a generation gives back, whole or piece by piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

# "stop": the model, a stop string or the grammar ended it; "loop": it repeated itself, and `stop_loops` was asked for
FinishReason = Literal["stop", "length", "loop"]


@dataclass(frozen=True)
class TokenLogprob:
    """Natural-log probability of one token under the model, before penalties, temperature and grammar."""

    token_id: int
    token: str
    logprob: float
    top: list[tuple[int, str, float]] = field(default_factory=list)  # (id, token, logprob), most likely first


@dataclass(frozen=True)
class Usage:
    """Tokens, seconds and energy that a request took. With n > 1 the answer's tokens are summed over the choices."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int  # prompt tokens whose keys and values were found in the prefix cache
    visual_tokens: int
    active_experts: int  # experts per token; 1 for a dense model
    queue_seconds: float
    first_token_seconds: float  # from submission, media and tokenising not included
    total_seconds: float
    energy_joules: float | None = None  # its share of what the devices took; None: not measured
    draft_tokens: int = 0  # that were guessed and checked several at a time
    accepted_tokens: int = 0  # of them; they are completion tokens like any other


@dataclass(frozen=True)
class Delta:
    """The next piece of choice `index`. The last piece of a choice has a finish reason; the last of all has the
    usage. `distributions`: where an answer was scored and they were asked for, the log-probabilities of the whole
    vocabulary in the place of each of its tokens, [tokens, vocabulary] float32 on the CPU.
    """

    text: str
    token_ids: list[int]
    index: int = 0
    logprobs: list[TokenLogprob] | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    distributions: torch.Tensor | None = None


@dataclass(frozen=True)
class Choice:
    index: int
    text: str
    token_ids: list[int]
    finish_reason: FinishReason
    logprobs: list[TokenLogprob] | None


@dataclass(frozen=True)
class Result:
    """A finished generation. `text`, `token_ids`, `finish_reason` and `logprobs` are those of the first choice."""

    choices: list[Choice]
    usage: Usage

    @property
    def text(self) -> str:
        return self.choices[0].text

    @property
    def token_ids(self) -> list[int]:
        return self.choices[0].token_ids

    @property
    def finish_reason(self) -> FinishReason:
        return self.choices[0].finish_reason

    @property
    def logprobs(self) -> list[TokenLogprob] | None:
        return self.choices[0].logprobs
