"""Answers of conversations: written in the background, kept while they grow, watched by whoever wants to.

An answer belongs to its conversation and not to the page or the request that asked for it: it goes on until it is done,
reaches `max_tokens` or the context's end, or is stopped, whether anybody watches or not. Nothing is shown before it is
kept, so that a process that dies takes nothing away that somebody has seen. All of this belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from qwen3vl.engine.options import GenerationOptions
from qwen3vl.errors import InputError
from qwen3vl.server.faults import unknown_field
from qwen3vl.server.places import OPTION_PLACES, renamed
from qwen3vl.server.writing import LiveAnswer, Use, Writing
from qwen3vl.store.records import Conversation, Message, Part
from qwen3vl.store.text import check_storable

if TYPE_CHECKING:
    from qwen3vl.engine.grammar import Grammar
    from qwen3vl.server.serving import Served
    from qwen3vl.store.database import Store
    from qwen3vl.tasks.reading import Reader

SHOW_SECONDS = 0.05  # between two pieces of one answer, while few are written
_SLOWEST_SECONDS = 0.5
_PIECES_A_SECOND = 80  # of all answers together: each is a commit
_TITLE_LENGTH = 60

# One answer, as text; the grammar is a task's own, and an answer that does not end would fill the store.
_NOT_HERE = {"n", "logprobs", "grammar", "ignore_eos"}
OPTIONS = tuple(each.name for each in fields(GenerationOptions) if each.name not in _NOT_HERE)


@dataclass(frozen=True)
class Reading:
    """What a task adds to an answer: who reads it, what it must be, and the engine's options where the question says
    nothing.
    """

    reader: Callable[[bool], Reader]  # for an answer that begins inside a thought, or not
    grammar: Grammar | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    content: Sequence[Mapping[str, Any]] | None = None  # of the question, where it is not asked as it is kept


Search = Callable[["Served", Mapping[str, Any], Callable[[int, int], None]], Awaitable[Reading]]


@dataclass(frozen=True)
class Ask:
    """How a question is to be answered. `options` are those of `OPTIONS`; what is not given the settings say. `task`
    and `params` are kept with the answer; what they mean is in `reading`.

    Raises `InputError` for options that cannot be honoured and for text that cannot be kept.
    """

    model: str | None = None  # None: the one that answers
    system: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    task: str = "chat"
    params: Mapping[str, Any] = field(default_factory=dict)
    reading: Reading | None = None
    search: Search | None = None  # makes the reading, with the model and these options, telling how far it is

    places: Mapping[str, str] = field(default_factory=dict)  # of the question, where it was sent, by those it is kept

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.options) - set(OPTIONS)):
            raise InputError(unknown_field(unknown[0], OPTIONS, "options"), param=f"options.{unknown[0]}")
        try:
            GenerationOptions.from_mapping(self.options)
        except InputError as error:
            raise renamed(error, ["options"], OPTION_PLACES) from error
        check_storable(self.request, "the request")

    @property
    def request(self) -> dict[str, Any]:
        """What is kept of it: all that somebody said."""
        names = ("model", "system", "options", "task", "params")
        return {name: value for name in names if (value := getattr(self, name))}

    @property
    def engine_options(self) -> dict[str, Any]:
        if self.reading is None:
            return dict(self.options)
        return {**self.reading.options, **self.options, "grammar": self.reading.grammar}


class Answers:
    """The answers that are being written on one store, of which this server is the only one to write answers."""

    def __init__(self, store: Store, use: Use) -> None:
        self._store, self._use = store, use
        self._writing: dict[int, Writing] = {}

    async def start(self) -> None:
        """Ends what an earlier server left unfinished: its answers are interrupted, with all that was shown."""
        await asyncio.to_thread(self._store.messages.interrupt_running)

    async def close(self) -> None:
        """Interrupts all answers, and waits until they are kept."""
        await asyncio.gather(*(writing.end("interrupted") for writing in list(self._writing.values())))

    async def ask(
        self,
        conversation: Conversation,
        parent: int | None,
        content: Sequence[Part],
        ask: Ask,
        request: Mapping[str, Any] | None = None,
    ) -> tuple[Message, LiveAnswer]:
        """Adds a question under the answer `parent` (None: as a beginning), and begins its answer. `request` is kept
        with the question.

        The first question gives the conversation its title. Raises `InputError` for what cannot be asked, and
        `StoreError`.
        """
        messages = self._store.messages
        question = await asyncio.to_thread(messages.add_question, conversation.id, parent, content, request)
        if not conversation.title:
            await asyncio.to_thread(self._store.conversations.update, conversation.id, title=title_of(question))
        return question, await self.answer(question, ask)

    async def answer(self, question: Message, ask: Ask) -> LiveAnswer:
        """Begins an answer to a question, beside those that it may have. Raises `InputError` and `StoreError`."""
        message = await asyncio.to_thread(
            self._store.messages.add_answer, question.conversation, question.id, ask.request
        )
        writing = Writing(self._store, LiveAnswer(message), pause=self._pause)
        self._writing[message.id] = writing
        writing.task = asyncio.create_task(writing.run(self._use, ask))
        writing.task.add_done_callback(lambda _: self._writing.pop(message.id, None))
        return writing.live

    def live(self, message: int) -> LiveAnswer | None:
        """None for an answer that is not being written."""
        writing = self._writing.get(message)
        return None if writing is None or writing.live.message.state != "running" else writing.live

    async def stop(self, message: int) -> None:
        """Ends an answer with what it has; the engine is free of it before its next step. Does nothing for one that has
        ended.
        """
        if (writing := self._writing.get(message)) is not None:
            await writing.end("stopped")

    async def delete(self, conversation: str) -> bool:
        """Deletes a conversation, its running answers ended. False if there is none."""
        running = [each for each in self._writing.values() if each.live.message.conversation == conversation]
        await asyncio.gather(*(writing.end("stopped") for writing in running))
        return await asyncio.to_thread(self._store.conversations.delete, conversation)

    def _pause(self) -> float:
        return min(_SLOWEST_SECONDS, max(SHOW_SECONDS, len(self._writing) / _PIECES_A_SECOND))


def title_of(question: Message) -> str:
    """The question's first line, or the names of its files."""
    lines = [" ".join(line.split()) for line in question.text.splitlines()]
    text = next((line for line in lines if line), "")
    title = text or ", ".join(part["name"] or part["type"] for part in question.content if "media" in part)
    return title if len(title) <= _TITLE_LENGTH else title[: _TITLE_LENGTH - 1].rstrip() + "…"
