"""Asks a model every question of a set, greedily, in each mode, and scores what it answers.

The figures are made of these records elsewhere (`report.py`); here each answer is one record.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import torch

from qwen3vl.bench.datasets import Item
from qwen3vl.bench.scoring import Part, Parts, score
from qwen3vl.drawn.sample import Split
from qwen3vl.engine.engine import Engine
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import FinishReason
from qwen3vl.engine.streams import Stream, collect
from qwen3vl.errors import InputError
from qwen3vl.experts.modes import MODE_NAMES, Mode
from qwen3vl.prompt.types import Prompt

_ROOM = 64  # tokens that an answer may have beyond twice those of the reference
_SURE = math.log(0.52)  # a token likelier than this is the likeliest, and no rounding changes that

_Name = TypeVar("_Name", bound=Mode | str)

Judge = Callable[[Item, str], Parts]  # further metrics of an answer


@dataclass(frozen=True)
class Reply:
    """What a model answered, and how it finds the reference: its negative log-likelihood, over that many tokens, and
    where asked for, the log-probabilities of the whole vocabulary in the place of each, [tokens, vocabulary].
    """

    text: str
    finish_reason: FinishReason
    nll: Part
    distributions: torch.Tensor | None = None


@dataclass(frozen=True)
class Record:
    """One question in one mode. `worded` is the split of its wording, where a split is what it was drawn from."""

    name: str
    task: str
    mode: Mode
    worded: Split
    question: str
    reference: str
    reply: Reply
    parts: Parts


def strongest_first(modes: Iterable[_Name]) -> list[_Name]:
    """Named modes before numbers of experts."""

    def order(mode: Mode | str) -> tuple[bool, int]:
        name = str(mode)
        return name.isdigit(), -(int(name) if name.isdigit() else [str(each) for each in MODE_NAMES].index(name))

    return sorted(modes, key=order)


def modes_of(item: Item, modes: Sequence[Mode]) -> Sequence[Mode]:
    """The modes in which an item is asked: what wordings cost is measured in the strongest alone."""
    return modes if item.worded == "held_out" else strongest_first(modes)[:1]


class Responder(Protocol):
    """Whoever answers: the items in their order, each with its reply in each of `modes_of` it."""

    def respond(self, items: Iterable[Item], modes: Sequence[Mode]) -> Iterator[tuple[Item, list[Reply]]]: ...


def evaluate(
    responder: Responder,
    items: Iterable[Item],
    modes: Sequence[Mode],
    progress: Callable[[int], None] | None = None,
    judge: Judge | None = None,
) -> Iterator[Record]:
    """Yields a record for every item and mode. `progress` is told how many items have been done; `judge` adds metrics
    to those of `scoring`."""
    for done, (item, replies) in enumerate(responder.respond(items, modes), 1):
        for mode, reply in zip(modes_of(item, modes), replies, strict=True):
            parts = score(item.task, reply.text, item.answer, item.truth)
            parts |= judge(item, reply.text) if judge else {}
            yield Record(
                *(item.name, item.task, mode, item.worded, item.question, item.answer),
                reply,
                {**parts, "nll": reply.nll},
            )
        if progress:
            progress(done)


@dataclass
class _Asked:
    """A question that is being worked on: first its reference is scored in each mode, then it is answered."""

    item: Item
    prompt: Prompt
    options: list[GenerationOptions]  # of each mode
    scores: list[Stream]
    nll: list[Part] = field(default_factory=list)
    distributions: list[torch.Tensor | None] = field(default_factory=list)
    answers: list[Stream | None] = field(default_factory=list)  # None: it is known to be the reference

    def close(self) -> None:
        for stream in (*self.scores, *self.answers):
            if stream is not None:
                stream.close()


class EngineResponder:
    """Answers with a loaded model.

    `at_once` requests or so are in the engine together, so that none waits for the slowest of a batch. The reference is
    scored first and its prompt computed with it; the answer then finds the prompt in the prefix cache, and is not even
    written where each token of the reference was likelier than all others together: greedily, that is the answer.
    """

    def __init__(
        self, engine: Engine, max_tokens: int | None = None, at_once: int = 64, *, distributions: bool = False
    ) -> None:
        """`max_tokens` of an answer; None: twice the reference's and some, which no right answer needs.
        `distributions`: whether replies bring them.
        """
        self._engine = engine
        self._distributions = distributions
        self._max_tokens = max_tokens
        self._at_once = at_once

    def respond(self, items: Iterable[Item], modes: Sequence[Mode]) -> Iterator[tuple[Item, list[Reply]]]:
        """Raises `InputError` that names the item which cannot be asked."""
        source = iter(items)
        scoring: deque[_Asked] = deque()
        answering: deque[_Asked] = deque()
        room = max(1, self._at_once // len(modes))
        try:
            while True:
                while len(scoring) <= room // 4 and (item := next(source, None)) is not None:
                    scoring.append(self._score(item, modes_of(item, modes)))
                if scoring:
                    self._answer(scoring[0])
                    answering.append(scoring.popleft())
                if answering and (len(answering) >= room or not scoring):
                    yield answering[0].item, self._replies(answering[0])
                    answering.popleft()
                elif not answering:
                    return
        finally:
            for asked in (*scoring, *answering):
                asked.close()

    def _score(self, item: Item, modes: Sequence[Mode]) -> _Asked:
        engine = self._engine
        try:
            prompt = engine.prepare(item.messages, GenerationOptions())
            scores = [
                engine.stream_score(prompt, item.answer, mode, distributions=self._distributions) for mode in modes
            ]
        except InputError as error:
            raise type(error)(f"{item.name}: {error}") from error
        return _Asked(item, prompt, self._options(item, modes), scores)

    def _answer(self, asked: _Asked) -> None:
        """Waits for the scores, and asks in the modes in which they leave the answer open."""
        for options, stream in zip(asked.options, asked.scores, strict=True):
            scored = next(stream)
            asked.distributions.append(scored.distributions)
            logprobs = [token.logprob for token in scored.logprobs or ()]
            asked.nll.append(Part(-sum(logprobs), len(logprobs)))
            assert options.max_tokens is not None
            known = min(logprobs) > _SURE and len(logprobs) <= options.max_tokens
            try:
                asked.answers.append(None if known else self._engine.stream_prompt(asked.prompt, options))
            except InputError as error:
                raise type(error)(f"{asked.item.name}: {error}") from error

    def _replies(self, asked: _Asked) -> list[Reply]:
        replies = []
        found = zip(asked.options, asked.answers, asked.nll, asked.distributions, strict=True)
        for options, stream, nll, distributions in found:
            if stream is None:
                replies.append(Reply(asked.item.answer, "stop", nll, distributions))
            else:
                result = collect(stream, options)
                replies.append(Reply(result.text, result.finish_reason, nll, distributions))
        return replies

    def _options(self, item: Item, modes: Sequence[Mode]) -> list[GenerationOptions]:
        """Greedy, whatever the checkpoint's own generation config likes."""
        reference = len(self._engine.prompt_builder.tokenizer.encode(item.answer))
        greedy = GenerationOptions(
            max_tokens=self._max_tokens or 2 * reference + _ROOM,
            temperature=0.0,
            repetition_penalty=1.0,
            presence_penalty=0.0,
        )
        return [replace(greedy, mode=mode) for mode in modes]
