"""What the store hands out: frozen data that stay true when the database moves on.

Times are seconds since 1970 (UTC). An `owner` is the id of the API key that something belongs to, or empty where the
server asks for none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["user", "assistant"]
State = Literal["running", "done", "stopped", "failed", "interrupted"]  # interrupted: the server ended first

# {"type": "text", "text": ...} or {"type": "image" | "video" | "pdf", "media": sha256, "name": ...}
Part = Mapping[str, Any]


@dataclass(frozen=True)
class Conversation:
    id: str
    owner: str
    title: str  # empty until there is a first question
    created: float
    updated: float  # when its last message came
    model: str | None  # None: whichever the server runs
    task: str
    params: Mapping[str, Any]
    active: int | None  # the message at which the shown branch ends


@dataclass(frozen=True)
class Page:
    """A part of a list, newest first."""

    items: list[Conversation]
    has_more: bool


@dataclass(frozen=True)
class Message:
    """One node of a conversation's tree. Messages with the same parent are alternatives, oldest first by `id`."""

    id: int
    conversation: str
    parent: int | None
    role: Role
    state: State
    content: list[Part]  # of a question; empty for an answer
    text: str  # the question's own, or the answer without its thinking
    thinking: str
    request: Mapping[str, Any] | None  # what a question was made from, if it was, or an answer was asked for with
    result: Mapping[str, Any] | None
    usage: Mapping[str, Any] | None
    finish_reason: str | None
    error: str | None  # a sentence
    error_code: str | None  # that the sentence has in the API, if it has one
    created: float


@dataclass(frozen=True)
class Media:
    """Bytes that messages and files refer to by their hash."""

    sha256: str
    kind: str  # "image", "video", "pdf" or "file"
    media_type: str
    size: int  # bytes
    width: int | None
    height: int | None
    duration: float | None  # seconds
    pages: int | None
    name: str  # under which it came first
    created: float


@dataclass(frozen=True)
class StoredFile:
    """A file that was uploaded, as OpenAI's API knows it; `sha256` names its bytes among the media."""

    id: str
    owner: str
    sha256: str
    name: str
    purpose: str
    size: int
    created: float


@dataclass(frozen=True)
class Key:
    """An API key; of its secret the store knows only the hash."""

    id: str
    name: str
    scopes: tuple[str, ...]
    rate: int | None  # requests a minute; None: no limit
    created: float
    revoked: float | None


@dataclass(frozen=True)
class UsageRow:
    """What one request took."""

    key: str | None  # the API key's id
    endpoint: str  # the route, such as "/v1/chat/completions"
    model: str
    task: str
    mode: str
    status: str  # "ok", "stopped", or what went wrong
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    visual_tokens: int = 0
    queue_seconds: float = 0.0
    first_token_seconds: float = 0.0
    total_seconds: float = 0.0
    energy_joules: float | None = None  # where the device tells
    created: float = 0.0  # 0: now


@dataclass(frozen=True)
class UsageTotal:
    """Rows of the ledger with the same `group`, summed."""

    group: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    visual_tokens: int
    total_seconds: float
    energy_joules: float | None  # of the rows that tell; None where none does
