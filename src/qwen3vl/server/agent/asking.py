"""Asks the model for the next step: the task `gui_agent`, with the picture of the page and what was done so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from qwen3vl.browser.session import Observation
from qwen3vl.engine.outputs import Result, Usage
from qwen3vl.tasks.base import Language
from qwen3vl.tasks.kinds.gui_agent import GuiAgent, GuiParams
from qwen3vl.tasks.results import MediaInfo, Step

Platform = Literal["web", "phone"]
Form = Literal["native", "json"]

_TASK = GuiAgent()


class Model(Protocol):
    """What is needed of a `Served` model."""

    @property
    def thinks(self) -> bool: ...

    async def agenerate(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> Result: ...


UseModel = Callable[[str | None], AbstractAsyncContextManager[Model]]
"""Holds the model of that name, or the one that answers."""


@dataclass(frozen=True)
class Question:
    """How the model is asked, the same for every step of a session."""

    platform: Platform
    form: Form
    strict: bool  # the answer's form is enforced
    language: Language
    model: str | None
    options: Mapping[str, Any]  # of the generation, such as the mode


@dataclass(frozen=True)
class Answer:
    step: Step | None  # None: the answer names none
    text: str
    thinking: str
    usage: Usage


async def ask(use_model: UseModel, question: Question, view: Observation, goal: str, done: Sequence[str]) -> Answer:
    """The model's next step towards `goal` after the steps `done`. Raises what the engine raises."""
    params = GuiParams(
        goal=goal, platform=question.platform, form=question.form, strict=question.strict, history=list(done)
    )
    media = [MediaInfo("image", view.width, view.height)]
    request = _TASK.prepare(params, media, question.language)
    parts: list[dict[str, Any]] = [{"type": "image", "image": view.png}, {"type": "text", "text": request.instruction}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": parts}]
    if request.messages_system is not None:
        messages.insert(0, {"role": "system", "content": request.messages_system})
    options = {**request.options, **question.options}
    if request.grammar is not None:
        options["grammar"] = request.grammar
    async with use_model(question.model) as model:
        result = await model.agenerate(messages, task=_TASK.name, **options)
        reader = _TASK.reader(params, media, thinking=model.thinks)
    found = reader.finish(result.text, result.logprobs, result.finish_reason)
    return Answer(found.actions[0] if found.actions else None, found.text, found.thinking, result.usage)
