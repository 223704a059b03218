"""`POST /v1/tasks/{task}`: a question about some media, answered with typed results; `GET /v1/tasks` lists the tasks.

Streamed, the answer is events whose data have a `type`: `text` and `thinking` as they come, `update` for each thing
that is found once it is finished, and `result` at the end.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from qwen3vl.engine.outputs import Delta, Result, TokenLogprob, Usage
from qwen3vl.errors import InputError
from qwen3vl.server.answering import Writer, answer
from qwen3vl.server.bodies import COMPLETION_ERRORS, Metrics, UsageBody, or_stream
from qwen3vl.server.documents import pages_to_show
from qwen3vl.server.errors import ApiError
from qwen3vl.server.faults import describe_fault
from qwen3vl.server.schema import Number, SamplingRequest
from qwen3vl.server.services import Services
from qwen3vl.server.serving import Served, ServedStream
from qwen3vl.server.task_input import TaskInput, read_input
from qwen3vl.server.wire import ending, usage_object
from qwen3vl.tasks.base import Language, Task, TaskParams
from qwen3vl.tasks.kinds.documents import DocumentParams
from qwen3vl.tasks.reading import Reader
from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.results import TaskResult


class TaskRequestBody(SamplingRequest):
    """One question. Sampling fields that are not given are the task's own."""

    said_as: ClassVar[Mapping[str, str]] = {"messages": "input", "media": "input", "grammar": "params.schema"}

    input: list[dict[str, Any]] = Field(
        default_factory=list, description="OpenAI's content parts: image_url, video_url, file, text"
    )
    params: dict[str, Any] = Field(default_factory=dict, description="the task's parameters, see GET /v1/tasks")
    language: Language = Field("en", description="in which the model is asked")
    min_pixels: StrictInt | None = None
    max_pixels: StrictInt | None = None
    fps: Number | None = None

    def further_options(self) -> dict[str, Any]:
        if self.n not in (None, 1):
            raise InputError("a task has one answer; leave 'n' out", param="n")
        return {}


class TaskAnswer(BaseModel):
    """The whole answer."""

    model_config = ConfigDict(extra="forbid")

    id: str
    object: Literal["task.result"]
    created: int
    model: str
    task: str
    type: Literal["result"]
    result: TaskResult
    finish_reason: str
    loop: bool = False
    usage: UsageBody
    metrics: Metrics


class TaskChunk(BaseModel):
    """One event of a stream that is not the last."""

    model_config = ConfigDict(extra="forbid")

    id: str
    object: Literal["task.chunk"]
    type: Literal["text", "thinking", "update"]
    text: str = ""
    list: str = ""  # of the result, that the item belongs to; "rows" for rows of tables
    index: int = 0
    item: Any = None
    usage: None = Field(None, description="with `include_usage`; the result has it")


class TaskEntry(BaseModel):
    """A task, with what a form for it needs."""

    model_config = ConfigDict(extra="forbid")

    name: str
    title: dict[str, str]
    summary: dict[str, str]
    accepts: list[str]
    needs: list[str] = Field(description="at least one medium of one of these kinds")
    text_param: str | None = Field(description="the parameter that text in the input stands for")
    default_mode: str | int
    params: dict[str, Any] = Field(description="JSON schema; titles and descriptions in Chinese stand under `zh`")


class TaskList(BaseModel):
    model_config = ConfigDict(extra="forbid")

    object: Literal["list"]
    data: list[TaskEntry]
    result: dict[str, Any] = Field(description="JSON schema of every task's result")


def tasks_router(services: Services) -> APIRouter:
    router = APIRouter(tags=["tasks"])

    @router.get("/v1/tasks", response_model=TaskList)
    async def tasks() -> TaskList:
        """The tasks, with the schemas of their parameters and of the results."""
        data = [_entry(task) for task in TASKS.values()]
        return TaskList(object="list", data=data, result=TaskResult.model_json_schema())

    @router.post(
        "/v1/tasks/{task}",
        response_model=None,
        responses={200: or_stream(TaskAnswer, TaskChunk), **COMPLETION_ERRORS},
    )
    async def run_task(request: Request, task: str, body: TaskRequestBody) -> Response:
        """Does one task. With `stream`, as server-sent events."""
        known, options = find_task(task), body.options()
        places: dict[str, str] = {}

        async def begin(model: Served) -> tuple[Writer, ServedStream]:
            given = await read_input(body.input, services, model.prompt_builder.tokenizer.find_control_token)
            params = parse_params(known, body.params, given)
            known.check(given.media)
            if isinstance(params, DocumentParams):
                given = await pages_to_show(params, given, body.language, model, services.store.page_texts, options)
            asked = known.prepare(params, given.media, body.language)
            notes = given.texts if known.text_param is None else []
            question = [*given.content, {"type": "text", "text": "\n\n".join([asked.instruction, *notes])}]
            places.update(_places(given, within=f"messages[{int(bool(asked.messages_system))}]"))
            system = [{"role": "system", "content": asked.messages_system}] if asked.messages_system else []
            reader = known.reader(params, given.media, thinking=model.thinks)
            writer = TaskWriter(known.name, model.info.name, reader)
            everything = {**asked.options, **options, "grammar": asked.grammar}
            messages: list[Mapping[str, Any]] = [*system, {"role": "user", "content": question}]
            return writer, model.astream(messages, task=known.name, **everything)

        return await answer(request, services, body, begin, lambda: places)

    return router


def find_task(name: str) -> Task[Any]:
    """Raises `ApiError` for an unknown one."""
    if (task := TASKS.get(name)) is None:
        raise ApiError(404, f"no task {name!r}; there are {', '.join(TASKS)}", param="task", code="task_not_found")
    return task


def _places(given: TaskInput, within: str) -> Iterator[tuple[str, str]]:
    """Of the parts of a task's question, in the request: its media, and after them what the task asks."""
    for number, (part, place) in enumerate(zip(given.content, given.places, strict=False)):
        yield f"{within}.content[{number}].{part['type']}", place
    yield f"{within}.content[{len(given.content)}]", "params"


def parse_params(task: Task[Any], params: Mapping[str, Any], given: TaskInput) -> TaskParams:
    """A task's parameters, with what the input says of them. Raises `InputError`."""
    params = dict(params)
    if given.texts and task.text_param is not None:
        if task.text_param in params:
            name = task.text_param
            raise InputError(f"{name!r} is given twice: in 'params', and as text in 'input'", param=f"params.{name}")
        params[task.text_param] = "\n".join(given.texts)
    try:
        parsed: TaskParams = task.params.model_validate(params)
    except ValidationError as error:
        sentence, place = describe_fault(error.errors(), params, task.params, within=["params"])
        raise InputError(sentence, param=place) from error
    return parsed


class TaskWriter:
    """Writes the answer to one request, as its reader understands it."""

    def __init__(self, task: str, model: str, reader: Reader) -> None:
        self._id = f"task-{uuid.uuid4().hex}"
        self._head = {"created": int(time.time()), "model": model, "task": task}
        self._reader = reader
        self._text: list[str] = []
        self._logprobs: list[TokenLogprob] = []

    def completion(self, result: Result) -> dict[str, Any]:
        return self._whole(result.text, result.logprobs, result.finish_reason, result.usage)

    def chunks(self, delta: Delta) -> list[dict[str, Any]]:
        self._text.append(delta.text)
        self._logprobs += delta.logprobs or []
        chunks = []
        for update in self._reader.feed(delta.text):
            found = update.kind == "item"
            said = update.model_dump(mode="json", include={"list", "index", "item"} if found else {"text"})
            kind = "update" if found else update.kind
            chunks.append({"id": self._id, "object": "task.chunk", "type": kind, **said})
        if delta.finish_reason is not None:
            assert delta.usage is not None, "a task has one answer, so its end is the end"
            chunks.append(self._whole("".join(self._text), self._logprobs, delta.finish_reason, delta.usage))
        return chunks

    def usage(self, usage: Usage) -> None:
        """Nothing: the result has it."""

    def _whole(self, text: str, logprobs: Sequence[TokenLogprob] | None, reason: str, usage: Usage) -> dict[str, Any]:
        result = self._reader.finish(text, logprobs, reason)
        return {
            "id": self._id,
            "object": "task.result",
            **self._head,
            "type": "result",
            "result": result.model_dump(mode="json"),
            **ending(reason),
            **usage_object(usage),
        }


def _entry(task: Task[Any]) -> TaskEntry:
    return TaskEntry(
        name=task.name,
        title={language: text for language, text in task.titles.items()},
        summary={language: text for language, text in task.summaries.items()},
        accepts=sorted(task.accepts),
        needs=sorted(task.needs),
        text_param=task.text_param,
        default_mode=task.default_mode,
        params=task.params.model_json_schema(),
    )
