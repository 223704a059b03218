"""What the API answers with, as types: they make the OpenAPI schema, and tests hold the answers against it.

The answers themselves are written as plain dictionaries, which is quicker for streams.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorDetail(_Body):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(_Body):
    error: ErrorDetail


class PromptTokensDetails(_Body):
    cached_tokens: int


class UsageBody(_Body):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class Metrics(_Body):
    """This engine's own figures; seconds count from submission, media and tokenising not included."""

    visual_tokens: int
    active_experts: int
    queue_seconds: float
    first_token_seconds: float
    total_seconds: float
    energy_joules: float | None
    draft_tokens: int
    accepted_tokens: int


class FunctionCall(_Body):
    name: str
    arguments: str


class ToolCallBody(_Body):
    id: str
    type: Literal["function"]
    function: FunctionCall


class ToolCallChunk(ToolCallBody):
    index: int


class AssistantMessage(_Body):
    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: str = ""
    tool_calls: list[ToolCallBody] = []


class TokenChance(_Body):
    token: str
    logprob: float
    bytes: list[int] | None


class ContentToken(TokenChance):
    top_logprobs: list[TokenChance]


class ContentLogprobs(_Body):
    content: list[ContentToken]
    refusal: None


FinishReason = Literal["stop", "length", "tool_calls"]


class ChatChoice(_Body):
    index: int
    message: AssistantMessage
    logprobs: ContentLogprobs | None
    finish_reason: FinishReason
    loop: bool = False


class _Completion(_Body):
    id: str
    created: int
    model: str


class ChatCompletion(_Completion):
    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    usage: UsageBody
    metrics: Metrics


class MessageChunk(_Body):
    role: Literal["assistant"] = "assistant"
    content: str = ""
    reasoning_content: str = ""
    tool_calls: list[ToolCallChunk] = []


class ChunkChoice(_Body):
    index: int
    delta: MessageChunk
    logprobs: ContentLogprobs | None
    finish_reason: FinishReason | None
    loop: bool = False


class ChatCompletionChunk(_Completion):
    object: Literal["chat.completion.chunk"]
    choices: list[ChunkChoice]
    usage: UsageBody | None = None
    metrics: Metrics | None = None


class TextLogprobs(_Body):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class TextChoice(_Body):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Literal["stop", "length"] | None
    loop: bool = False


class TextCompletion(_Completion):
    object: Literal["text_completion"]
    choices: list[TextChoice]
    usage: UsageBody | None = None
    metrics: Metrics | None = None


class ModelCard(_Body):
    """OpenAI's model object, and what a client may want to know before it asks. The figures are those of a model in
    memory."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    state: Literal["absent", "available", "downloading", "loading", "ready", "unloading", "failed"]
    progress: float | None
    error: str | None
    last_used: float | None
    max_context: int | None = None
    max_pixels: int | None = None
    parameters: int | None = None
    memory_bytes: int | None = None
    device: str | None = None
    dtype: str | None = None
    quantization: str | None = None
    kv_cache: str | None = None
    is_moe: bool | None = None
    num_experts: int | None = None
    num_experts_per_tok: int | None = None
    modes: dict[str, int] | None = None


class ModelList(_Body):
    object: Literal["list"]
    data: list[ModelCard]


class FileBody(_Body):
    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["processed"]


class FileList(_Body):
    object: Literal["list"]
    data: list[FileBody]
    has_more: bool
    first_id: str | None
    last_id: str | None


class Deleted(_Body):
    id: str
    object: Literal["file"]
    deleted: bool


class UsageGroup(_Body):
    group: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    visual_tokens: int
    total_seconds: float
    energy_joules: float | None


class UsageReport(_Body):
    object: Literal["usage"]
    by: str
    data: list[UsageGroup]


class Health(_Body):
    status: Literal["ok", "unloaded", "unhealthy"]
    model: str
    running: int = 0
    waiting: int = 0
    free_blocks: int = 0
    total_blocks: int = 0
    steps: int = 0
    preemptions: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    feature_hits: int = 0
    feature_misses: int = 0
    spec_decode_num_drafts: int = 0
    spec_decode_num_draft_tokens: int = 0
    spec_decode_num_accepted_tokens: int = 0


class Readiness(_Body):
    """`reason`: why no request would be answered now."""

    ready: bool
    model: str
    reason: str | None


Responses = dict[int | str, dict[str, Any]]

_SENTENCES = {
    400: "The request cannot be served as it was written",
    401: "A key is needed, or this one is not known",
    403: "The key lacks a scope, or the request comes from another site",
    404: "There is no such thing here",
    405: "The route has other methods",
    409: "Not in the state that this now has",
    413: "The body is too large",
    429: "Too many requests at once, or in this minute; Retry-After says when to come again",
    503: "The model, or the store, is not available",
    504: "The answer took too long",
}


def errors(*statuses: int) -> Responses:
    """The OpenAPI entries of these statuses, and of those that any route may answer with."""
    return {
        status: {"model": ErrorBody, "description": _SENTENCES[status]}
        for status in sorted({400, 401, 403, 413, 429, 503, *statuses})
    }


COMPLETION_ERRORS = errors(404, 504)


def or_stream(whole: type[BaseModel], chunk: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI entry of an answer that comes whole, or as events whose data are chunks and at last `[DONE]`."""
    return {
        "model": whole,
        "description": f"The answer; with `stream`, events of {chunk.__name__} objects and at last `[DONE]`",
        "content": {"text/event-stream": {}},
    }
