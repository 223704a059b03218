"""From logits to the next token of each sequence: penalties, grammar, temperature, top-k, top-p, min-p, and a draw.

A draw is one uniform number that belongs to the sequence's seed and to the token's place in the answer, looked up in
the cumulative distribution: from the same logits a seed gives the same answer whatever else is in the batch, and
however many tokens of it are computed at once.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import TypeVar

import numpy as np
import torch

from qwen3vl.checkpoints.generation import GenerationDefaults
from qwen3vl.engine.grammar import Bits
from qwen3vl.engine.options import GenerationOptions

_T = TypeVar("_T")

NOTHING_FORBIDDEN: Mapping[int, Bits] = MappingProxyType({})


def _pick(asked: _T | None, default: _T) -> _T:
    return default if asked is None else asked


@dataclass(frozen=True)
class SamplingParams:
    """The options of one request with the checkpoint's defaults filled in."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    presence_penalty: float
    frequency_penalty: float
    repetition_penalty: float

    @classmethod
    def resolve(cls, options: GenerationOptions, defaults: GenerationDefaults) -> SamplingParams:
        return cls(
            temperature=_pick(options.temperature, defaults.temperature),
            top_k=_pick(options.top_k, defaults.top_k),
            top_p=_pick(options.top_p, defaults.top_p),
            min_p=options.min_p,
            presence_penalty=_pick(options.presence_penalty, defaults.presence_penalty),
            frequency_penalty=options.frequency_penalty,
            repetition_penalty=_pick(options.repetition_penalty, defaults.repetition_penalty),
        )

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is taken. Below this temperature logits would overflow, and nothing else
        wins.
        """
        return self.temperature < 1e-4

    @property
    def penalised(self) -> bool:
        return bool(self.presence_penalty or self.frequency_penalty or self.repetition_penalty != 1.0)


class SamplingState:
    """What sampling remembers of one sequence: its seed, how far it is, and which tokens it has seen where a penalty
    needs them.
    """

    def __init__(self, params: SamplingParams, seed: int | None, prompt_ids: list[int]) -> None:
        self.params = params
        self._key = secrets.token_bytes(16) if seed is None else str(seed).encode()
        self._place = 0  # of the next token in the answer
        self._assumed: tuple[int, ...] = ()  # tokens that count as seen, though they were not recorded
        self._seen = _Seen(params, prompt_ids) if params.penalised else None

    def draw(self) -> float:
        """The uniform number of the next token: the same until that is recorded."""
        digest = blake2b(self._place.to_bytes(8, "little"), key=self._key, digest_size=8).digest()
        return (int.from_bytes(digest, "little") >> 11) * 2**-53

    def penalties(self) -> tuple[np.ndarray, np.ndarray]:
        """The tokens that a penalty concerns, [n] int64, each once, and what is taken off the logit of each, [n]
        float32.
        """
        assert self._seen is not None
        return self._seen.and_then(self._assumed)

    def record(self, token_id: int) -> None:
        self._place += 1
        if self._seen is not None:
            self._seen.add(token_id)

    def ahead(self, token_ids: Sequence[int]) -> SamplingState:
        """What this would be after further tokens: to sample once with, and to throw away."""
        state = copy.copy(self)
        state._place += len(token_ids)
        state._assumed = tuple(token_ids)
        return state


class _Seen:
    """Tokens, each once, with what presence and frequency take off their logits: nothing for those of the prompt.
    Tables that grow, because a step has no time to go through a long answer.
    """

    def __init__(self, params: SamplingParams, prompt_ids: list[int]) -> None:
        self._params = params
        tokens = np.unique(np.array(prompt_ids if params.repetition_penalty != 1.0 else [], dtype=np.int64))
        self._columns = {int(token): column for column, token in enumerate(tokens)}
        self._counts = [0] * len(tokens)  # in the answer
        self._tokens = np.concatenate([tokens, np.zeros(256, dtype=np.int64)])
        self._less = np.zeros(len(self._tokens), dtype=np.float32)

    def add(self, token_id: int) -> None:
        column = self._columns.setdefault(token_id, len(self._columns))
        if column == len(self._counts):
            self._counts.append(0)
        if column == len(self._tokens):
            self._tokens, self._less = (np.pad(table, (0, column)) for table in (self._tokens, self._less))
        self._counts[column] += 1
        self._tokens[column] = token_id
        self._less[column] = self._params.presence_penalty + self._params.frequency_penalty * self._counts[column]

    def and_then(self, token_ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Both tables, as they would be after further tokens."""
        if not token_ids:
            return self._tokens[: len(self._columns)], self._less[: len(self._columns)]
        further = copy.copy(self)
        further._columns, further._counts = self._columns.copy(), self._counts.copy()
        further._tokens, further._less = self._tokens.copy(), self._less.copy()
        for token_id in token_ids:
            further.add(token_id)
        return further.and_then(())


@dataclass(frozen=True)
class SampledToken:
    token_id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()  # (token id, logprob), most likely first


def sample(
    logits: torch.Tensor,
    states: list[SamplingState],
    num_logprobs: list[int | None],
    allowed: Mapping[int, Bits] = NOTHING_FORBIDDEN,
) -> list[SampledToken | None]:
    """Chooses one token for each row. logits: [rows, vocabulary] float32; num_logprobs: alternatives to report, None
    for none; allowed: for rows under a grammar, the tokens that may come. A row that holds what is not a number gives
    None. Nothing is recorded: only the caller knows which of the tokens count.

    Reported log-probabilities are the model's own, before penalties, temperature and grammar. `logits` is overwritten:
    a copy of it costs more than all that is done to it.
    """
    reported = {row: logits[row].log_softmax(-1) for row, count in enumerate(num_logprobs) if count is not None}
    _penalise(logits, states)
    _forbid(logits, allowed)
    best, tokens = _largest(logits)
    drawn = [row for row, state in enumerate(states) if not state.params.greedy]
    if drawn:
        rows = torch.tensor(drawn, device=logits.device)
        tokens[rows] = _draw(logits if len(drawn) == len(states) else logits[rows], [states[row] for row in drawn])
    token_ids: list[int] = torch.where(best.isnan(), -1, tokens).tolist()
    sampled: list[SampledToken | None] = []
    for row, (token_id, count) in enumerate(zip(token_ids, num_logprobs, strict=True)):
        if token_id < 0:
            sampled.append(None)
            continue
        sampled.append(SampledToken(token_id) if count is None else _with_logprobs(reported[row], token_id, count))
    return sampled


def _largest(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row's largest value and its place; not a number where the row has one. On a CPU numpy takes a fifteenth of
    torch's time.
    """
    if logits.device.type != "cpu":
        values, tokens = logits.max(-1)
        return values, tokens
    tokens = torch.from_numpy(logits.numpy().argmax(-1))
    return logits.gather(-1, tokens[:, None])[:, 0], tokens


def _penalise(logits: torch.Tensor, states: list[SamplingState]) -> None:
    """Repetition divides (or multiplies) the logits of all tokens seen, prompt included; presence and frequency
    subtract for tokens of the answer only, as OpenAI defines them.
    """
    chosen = [row for row, state in enumerate(states) if state.params.penalised]
    if not chosen:
        return
    tokens, less = zip(*(states[row].penalties() for row in chosen), strict=True)
    lengths = [len(part) for part in tokens]
    rows = np.repeat(chosen, lengths)
    places = tuple(torch.from_numpy(part).to(logits.device) for part in (rows, np.concatenate(tokens)))
    values = logits[places]
    repetitions = [states[row].params.repetition_penalty for row in chosen]
    if any(repetition != 1.0 for repetition in repetitions):
        repetition = torch.from_numpy(np.repeat(np.array(repetitions, dtype=np.float32), lengths)).to(values)
        values = torch.where(values > 0, values / repetition, values * repetition)
    logits.index_put_(places, values - torch.from_numpy(np.concatenate(less)).to(values))


def _forbid(logits: torch.Tensor, allowed: Mapping[int, Bits]) -> None:
    """Takes the rows' other tokens out. By adding, so that what is not a number stays that; the bits travel packed."""
    if not allowed:
        return
    bits = torch.from_numpy(np.stack(list(allowed.values()))).to(logits.device, non_blocking=True)
    places = torch.arange(32, dtype=torch.int32, device=logits.device)
    may = (bits[:, :, None] >> places & 1).flatten(1)[:, : logits.shape[-1]].bool()
    rows = torch.tensor(list(allowed), device=logits.device)
    logits.index_add_(0, rows, torch.zeros((), device=logits.device).where(may, -torch.inf))


def _draw(logits: torch.Tensor, states: list[SamplingState]) -> torch.Tensor:
    """One draw a row from the sorted, cut distribution. Without any top-k the whole vocabulary is sorted."""
    params = [state.params for state in states]
    vocabulary = logits.shape[-1]
    top_k = [p.top_k if 0 < p.top_k < vocabulary else vocabulary for p in params]

    def column(values: list[float] | list[int]) -> torch.Tensor:
        return torch.tensor(values, device=logits.device)[:, None]

    values, token_ids = (logits / column([p.temperature for p in params])).topk(max(top_k), dim=-1)
    ranks = torch.arange(values.shape[-1], device=logits.device)
    probabilities = values.masked_fill(ranks >= column(top_k), -torch.inf).softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    kept = before < column([p.top_p for p in params])
    kept &= probabilities >= column([p.min_p for p in params]) * probabilities[:, :1]
    kept &= probabilities > 0  # what a grammar forbids is none of the last tokens either
    kept |= ranks == 0  # the most likely token always stays, so that no row is left empty
    cumulative = (probabilities * kept).cumsum(-1)
    target = column([state.draw() for state in states]) * cumulative[:, -1:]
    choice = torch.searchsorted(cumulative, target, right=True)
    last = kept.sum(-1, keepdim=True) - 1  # a draw that rounds up to the total must not fall on a token that was cut
    return token_ids.gather(-1, torch.minimum(choice, last))[:, 0]


def _with_logprobs(logprobs: torch.Tensor, token_id: int, count: int) -> SampledToken:
    values, ids = logprobs.topk(min(count, len(logprobs)))
    top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
    return SampledToken(token_id, float(logprobs[token_id]), top)
