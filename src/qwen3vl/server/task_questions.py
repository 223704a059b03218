"""Questions of a conversation that a task asks: a person's media, the words of the task, and who reads the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qwen3vl.errors import MediaError
from qwen3vl.server.answers import Ask, Reading, Search
from qwen3vl.server.documents import pages_to_show
from qwen3vl.server.task_input import TaskInput, read_input
from qwen3vl.server.tasks import find_task, parse_params
from qwen3vl.store.database import Store
from qwen3vl.store.records import Message, Part
from qwen3vl.tasks.base import Language, Task, TaskParams, TaskRequest
from qwen3vl.tasks.kinds.documents import DocumentParams

if TYPE_CHECKING:
    from qwen3vl.server.services import Services
    from qwen3vl.server.serving import Served


@dataclass(frozen=True)
class TaskQuestion:
    content: list[Part]
    system: str | None
    request: Mapping[str, Any]  # kept with the question, so that it can be answered again
    reading: Reading | None
    search: Search | None = None  # of a question about documents, in the place of `reading`


async def task_question(
    name: str, params: Mapping[str, Any], language: Language, parts: Sequence[Part], services: Services
) -> TaskQuestion:
    """A question about the media among `parts`; text among them is the task's `text_param`, or goes along.

    Raises `ApiError` for an unknown task and `InputError` for what it cannot do.
    """
    task = find_task(name)
    given = await _measure(parts, services)
    parsed = parse_params(task, params, given)
    asked = task.prepare(parsed, given.media, language)
    notes = given.texts if task.text_param is None else []
    media = [part for part in parts if "media" in part]
    request = {"task": task.name, "params": parsed.model_dump(mode="json"), "language": language}
    if isinstance(parsed, DocumentParams):
        content = [*media, {"type": "text", "text": parsed.question}]
        return TaskQuestion(content, None, request, None, _search(task, parsed, language, media, services))
    content = [*media, {"type": "text", "text": "\n\n".join([asked.instruction, *notes])}]
    return TaskQuestion(content, asked.messages_system, request, _reading(task, parsed, given, asked))


async def task_again(question: Message, services: Services) -> TaskQuestion | None:
    """The same question, to be answered once more. None for one that is no task's."""
    if question.request is None:
        return None
    task = find_task(question.request["task"])
    media, language = [part for part in question.content if "media" in part], question.request["language"]
    parsed = task.params.model_validate(question.request["params"])
    if isinstance(parsed, DocumentParams):
        search = _search(task, parsed, language, media, services)
        return TaskQuestion(question.content, None, question.request, None, search)
    given = await _measure(media, services)
    asked = task.prepare(parsed, given.media, language)
    reading = _reading(task, parsed, given, asked)
    return TaskQuestion(question.content, asked.messages_system, question.request, reading)


def with_task(ask: Ask, question: TaskQuestion | None) -> Ask:
    """`ask` for that question; its own options go before the task's."""
    if question is None:
        return ask
    kept, system = question.request, question.system or ask.system
    return replace(
        ask, system=system, task=kept["task"], params=kept["params"], reading=question.reading, search=question.search
    )


def _reading(task: Task[Any], params: TaskParams, given: TaskInput, asked: TaskRequest) -> Reading:
    return Reading(
        lambda thinking: task.reader(params, given.media, thinking=thinking), asked.grammar, dict(asked.options)
    )


def _search(
    task: Task[Any], params: DocumentParams, language: Language, media: Sequence[Part], services: Services
) -> Search:
    """Finds the pages to show when the answer begins: reading some of them first may take longer than a request."""

    async def search(model: Served, options: Mapping[str, Any], tell: Callable[[int, int], None]) -> Reading:
        given = await _measure(media, services)
        given = await pages_to_show(params, given, language, model, services.store.page_texts, options, tell)
        asked = task.prepare(params, given.media, language)
        reading = _reading(task, params, given, asked)
        return replace(reading, content=[*given.content, {"type": "text", "text": asked.instruction}])

    return search


async def _measure(parts: Sequence[Part], services: Services) -> TaskInput:
    loaded = await asyncio.to_thread(lambda: [_load(part, services.store) for part in parts])
    names = [part.get("name", "") for part in parts]
    return await read_input(loaded, services, lambda text: None, names)  # control tokens are the model's to judge


def _load(part: Part, store: Store) -> dict[str, Any]:
    if "media" not in part:
        return dict(part)
    try:
        return {"type": part["type"], part["type"]: store.media.path(part["media"]).read_bytes()}
    except FileNotFoundError as error:
        raise MediaError(f"the {part['type']} {part['name']!r} is not in the store any more") from error
