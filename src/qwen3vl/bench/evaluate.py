"""Asks a model every question of a set, greedily, in each mode, and scores what it answers.

The figures are made of these records elsewhere (`report.py`); here each answer is one record.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from qwen3vl.bench.datasets import Item
from qwen3vl.bench.scoring import Part, Parts, score
from qwen3vl.engine.engine import Engine
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import Delta, FinishReason, Result
from qwen3vl.engine.streams import Stream, collect
from qwen3vl.errors import InputError
from qwen3vl.experts.modes import Mode

_ITEMS_AT_ONCE = 32  # their pictures are in memory together, their answers in one batch
_ROOM = 64  # tokens that an answer may have beyond twice those of the reference


@dataclass(frozen=True)
class Reply:
    """What a model answered, and how it finds the reference: its negative log-likelihood, over that many tokens."""

    text: str
    finish_reason: FinishReason
    nll: Part


@dataclass(frozen=True)
class Record:
    """One question in one mode."""

    name: str
    task: str
    mode: Mode
    question: str
    reference: str
    reply: Reply
    parts: Parts


class Responder(Protocol):
    """Whoever answers: for each mode the replies to all items."""

    def respond(self, items: Sequence[Item], modes: Sequence[Mode]) -> list[list[Reply]]: ...


def evaluate(
    responder: Responder, items: Iterable[Item], modes: Sequence[Mode], progress: Callable[[int], None] | None = None
) -> Iterator[Record]:
    """Yields a record for every item and mode. `progress` is told how many items have been done."""
    source = iter(items)
    done = 0
    while batch := list(itertools.islice(source, _ITEMS_AT_ONCE)):
        for mode, replies in zip(modes, responder.respond(batch, modes), strict=True):
            for item, reply in zip(batch, replies, strict=True):
                parts = score(item.task, reply.text, item.answer, item.truth)
                yield Record(item.name, item.task, mode, item.question, item.answer, reply, {**parts, "nll": reply.nll})
        done += len(batch)
        if progress:
            progress(done)


class EngineResponder:
    """Answers with a loaded model. `max_tokens` None: twice the reference's and some, which no right answer needs."""

    def __init__(self, engine: Engine, max_tokens: int | None = None) -> None:
        self._engine = engine
        self._max_tokens = max_tokens

    def respond(self, items: Sequence[Item], modes: Sequence[Mode]) -> list[list[Reply]]:
        """Raises `InputError` that names the item which cannot be asked."""
        engine = self._engine
        with ExitStack() as stack:
            answers: list[list[tuple[Stream, GenerationOptions]]] = [[] for _ in modes]
            scores: list[list[Stream]] = [[] for _ in modes]
            for item in items:
                try:
                    prompt = engine.prepare(item.messages, GenerationOptions())
                    for mode, asked, scored in zip(modes, answers, scores, strict=True):
                        options = self._options(item, mode)
                        asked.append((stack.enter_context(engine.stream_prompt(prompt, options)), options))
                        scored.append(stack.enter_context(engine.stream_score(prompt, item.answer, mode)))
                except InputError as error:
                    raise type(error)(f"{item.name}: {error}") from error
            return [
                [_reply(collect(*each), next(score)) for each, score in zip(asked, scored, strict=True)]
                for asked, scored in zip(answers, scores, strict=True)
            ]

    def _options(self, item: Item, mode: Mode) -> GenerationOptions:
        """Greedy, whatever the checkpoint's own generation config likes."""
        reference = len(self._engine.prompt_builder.tokenizer.encode(item.answer))
        return GenerationOptions(
            max_tokens=self._max_tokens or 2 * reference + _ROOM,
            mode=mode,
            temperature=0.0,
            repetition_penalty=1.0,
            presence_penalty=0.0,
        )


def _reply(result: Result, scored: Delta) -> Reply:
    logprobs = [token.logprob for token in scored.logprobs or ()]
    return Reply(result.text, result.finish_reason, Part(-sum(logprobs), len(logprobs)))
