"""The bodies of `/v1/conversations`: what may be sent, what comes back, and records as JSON objects."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from qwen3vl.server.answers import Ask
from qwen3vl.server.tasks import find_task
from qwen3vl.server.wire import ending, figures_object
from qwen3vl.store.conversations import Changes
from qwen3vl.store.records import Conversation, Message
from qwen3vl.tasks.base import Language

MessageNumber = Annotated[StrictInt, Field(ge=1, le=2**31 - 1)]


class _Asking(BaseModel):
    """How to answer. `options` are the engine's: temperature, max_tokens, mode, max_pixels and so on."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    system: str | None = None
    options: dict[str, Any] = {}

    def ask(self, conversation: Conversation | None = None) -> Ask:
        """With what the conversation says where this does not. Raises `InputError` for what cannot be honoured."""
        given = {name: getattr(self, name) for name in ("model", "system") if getattr(self, name) is not None}
        kept = conversation.params if conversation else {}
        options = {**kept.get("options", {}), **self.options}
        base = {"model": conversation.model if conversation else None, "system": kept.get("system"), **given}
        return Ask(**base, options={name: value for name, value in options.items() if value is not None})


class ConversationRequest(_Asking):
    title: str = ""
    task: str | None = None

    @property
    def task_name(self) -> str:
        """Raises `ApiError` for an unknown task."""
        return find_task(self.task or "chat").name

    def params(self) -> dict[str, Any]:
        return params_of(self.ask())


class ConversationChanges(_Asking):
    """Null takes away what was given before; what is left out stays."""

    title: str = ""
    task: str | None = None
    options: dict[str, Any] | None = None  # type: ignore[assignment]
    active: MessageNumber | None = None

    def changes(self, conversation: Conversation) -> Changes:
        """Raises `InputError` for what cannot be honoured."""
        given = self.model_fields_set
        system = self.system if "system" in given else conversation.params.get("system")
        options = (self.options or {}) if "options" in given else conversation.params.get("options", {})
        model = self.model if "model" in given else conversation.model
        changes: Changes = {"model": model, "params": params_of(Ask(model=model, system=system, options=options))}
        if "task" in given:
            changes["task"] = find_task(self.task or "chat").name
        if "title" in given:
            changes["title"] = self.title
        return changes


class AskRequest(_Asking):
    content: str | list[dict[str, Any]] | None = None
    parent: MessageNumber | None = None
    task: str | None = None
    params: dict[str, Any] = {}
    language: Language = "en"
    stream: StrictBool = False


def params_of(ask: Ask) -> dict[str, Any]:
    """What of `ask` a conversation keeps beside its model."""
    return {name: value for name, value in (("system", ask.system), ("options", dict(ask.options))) if value}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ConversationBody(_Body):
    id: str
    object: Literal["conversation"]
    title: str
    created: float
    updated: float
    model: str | None
    task: str
    system: str | None
    options: dict[str, Any]
    active: int | None


class ConversationList(_Body):
    object: Literal["list"]
    data: list[ConversationBody]
    has_more: bool
    last_id: str | None


class ConversationDeleted(_Body):
    id: str
    object: Literal["conversation.deleted"]
    deleted: bool


class TextPart(_Body):
    type: Literal["text"]
    text: str


class MediaPart(_Body):
    type: Literal["image", "video", "pdf"]
    media: str
    name: str


class CachedTokens(_Body):
    cached_tokens: int | None


class KeptUsage(_Body):
    """Like that of a chat completion; what was not known when the answer was ended is null."""

    prompt_tokens: int | None
    completion_tokens: int
    total_tokens: int | None
    prompt_tokens_details: CachedTokens


class KeptMetrics(_Body):
    """Like those of a chat completion, but seconds count from when the question was kept."""

    visual_tokens: int | None
    active_experts: int | None
    queue_seconds: float | None
    first_token_seconds: float | None
    total_seconds: float | None
    energy_joules: float | None
    draft_tokens: int | None
    accepted_tokens: int | None


class AnswerBody(_Body):
    """A question or an answer. Messages with the same parent are alternatives, the oldest first by `id`."""

    id: int
    object: Literal["conversation.message"]
    conversation: str
    parent: int | None
    role: Literal["user", "assistant"]
    state: Literal["running", "done", "stopped", "failed", "interrupted"]
    content: list[TextPart | MediaPart]
    text: str
    thinking: str
    request: dict[str, Any] | None
    result: dict[str, Any] | None
    usage: KeptUsage | None
    metrics: KeptMetrics | None
    finish_reason: Literal["stop", "length"] | None
    loop: bool
    error: str | None
    error_code: str | None
    created: float


class ConversationTree(ConversationBody):
    messages: list[AnswerBody]


class TurnBody(_Body):
    question: AnswerBody
    answer: AnswerBody


def conversation_object(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "object": "conversation",
        "title": conversation.title,
        "created": conversation.created,
        "updated": conversation.updated,
        "model": conversation.model,
        "task": conversation.task,
        "system": conversation.params.get("system"),
        "options": conversation.params.get("options", {}),
        "active": conversation.active,
    }


def message_object(message: Message) -> dict[str, Any]:
    figures = {"usage": None, "metrics": None} if message.usage is None else figures_object(message.usage)
    end = {} if message.finish_reason is None else ending(message.finish_reason)
    return {"object": "conversation.message", **asdict(message), **figures, "loop": False, **end}
