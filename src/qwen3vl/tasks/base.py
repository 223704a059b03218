"""What a task is: how it is named, what it takes, what it asks the model, and who reads the answer.

Knows no particular task, no engine and no page. Everything that a person reads is there in English and Chinese.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from qwen3vl.engine.grammar import Grammar
from qwen3vl.errors import InputError
from qwen3vl.experts.modes import Mode
from qwen3vl.tasks.reading import Reader
from qwen3vl.tasks.results import MediaInfo, TaskResult

Language = Literal["en", "zh"]
Accepted = Literal["text", "image", "video", "document"]
Words = Mapping[Language, str]


def words(en: str, zh: str) -> Words:
    return {"en": en, "zh": zh}


def param(default: Any, en: tuple[str, str], zh: tuple[str, str], **rules: Any) -> Any:
    """A field of a task's parameters. `en` and `zh`: the title and one line of help that a form shows."""
    extra: JsonDict = {"zh": {"title": zh[0], "description": zh[1]}}
    return Field(default, title=en[0], description=en[1], json_schema_extra=extra, **rules)


class TaskParams(BaseModel):
    """Parameters of a task. What is not declared is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StrictParams(TaskParams):
    """Of a task whose answer is JSON."""

    strict: bool = param(
        False,
        ("Enforce the format", "The answer can only be valid JSON of the expected form. Costs next to nothing."),
        ("强制格式", "回答只能是符合预期形式的有效 JSON，几乎没有额外开销。"),
    )


@dataclass(frozen=True)
class TaskRequest:
    """What to ask. The caller puts the media in front of the instruction and hands `options` to the engine."""

    messages_system: str | None
    instruction: str
    grammar: Grammar | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


P = TypeVar("P", bound=TaskParams)


class Task(ABC, Generic[P]):
    """One thing that people ask for. An instance holds no state, so everybody shares it."""

    name: ClassVar[str]
    titles: ClassVar[Words]
    summaries: ClassVar[Words]
    accepts: ClassVar[frozenset[Accepted]]
    needs: ClassVar[frozenset[Accepted]] = frozenset()  # at least one medium of one of these kinds
    text_param: ClassVar[str | None] = None  # the parameter that plain text beside the media stands for
    default_mode: ClassVar[Mode] = "full"
    params: type[P]

    def title(self, language: Language) -> str:
        return self.titles[language]

    def summary(self, language: Language) -> str:
        return self.summaries[language]

    def check(self, media: Sequence[MediaInfo]) -> None:
        """Raises `InputError` for media that the task has no use for, or lacks."""
        for medium in media:
            if medium.kind not in self.accepts:
                allowed = _list(self.accepts)
                raise InputError(f"the task {self.name!r} takes no {medium.kind}; it takes {allowed}", param="media")
        if self.needs and not any(medium.kind in self.needs for medium in media):
            raise InputError(f"the task {self.name!r} needs {_list(self.needs, ' or ')}", param="media")

    def prepare(self, params: P, media: Sequence[MediaInfo], language: Language) -> TaskRequest:
        """What to ask about `media`. Raises `InputError` like `check`, and for parameters that media contradict."""
        self.check(media)
        return self._ask(params, media, language)

    def reader(self, params: P, media: Sequence[MediaInfo], *, thinking: bool = False) -> Reader:
        """Reads one answer. `thinking`: the prompt has opened a thought, so that the answer begins inside it."""
        known = tuple(media)
        return Reader(lambda answer, whole: self._read(answer, whole, params, known), thinking=thinking)

    @abstractmethod
    def _ask(self, params: P, media: Sequence[MediaInfo], language: Language) -> TaskRequest: ...

    @abstractmethod
    def _read(self, answer: str, whole: bool, params: P, media: Sequence[MediaInfo]) -> TaskResult:
        """What `answer` holds; unless it is whole, only what can no longer change. Never raises."""


def read_only_options(**more: Any) -> dict[str, Any]:
    """Options for copying what is there, where chance and penalties only harm, and loops are the danger."""
    return {"temperature": 0.0, "presence_penalty": 0.0, "repetition_penalty": 1.0, "stop_loops": True, **more}


def _list(names: frozenset[str] | frozenset[Accepted], last: str = ", ") -> str:
    return last.join(sorted(names))
