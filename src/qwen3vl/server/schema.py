"""The wire format of `/v1/chat/completions` requests: OpenAI's fields and ours, checked and made engine options.

Every field either changes the answer, or labels the request for the client's own books, or is refused. What the
messages hold is checked by `prompt`, which knows it; here they are plain dictionaries.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from qwen3vl.engine.options import GenerationOptions
from qwen3vl.errors import InputError

# Fields of OpenAI's API that this server cannot honour, with the values that ask for nothing and are let through.
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "audio": (None,),
    "function_call": (None, "none"),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "modalities": (None, ["text"]),
    "parallel_tool_calls": (None,),
    "prediction": (None,),
    "reasoning_effort": (None,),
    "response_format": (None, {"type": "text"}),
    "service_tier": (None, "auto", "default"),
    "store": (None, False),
    "tool_choice": (None, "none"),
    "tools": (None, []),
    "verbosity": (None,),
    "web_search_options": (None,),
}

Number = Annotated[float, Field(strict=True)]


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    include_usage: StrictBool = False


class ChatRequest(BaseModel):
    """One request body. Ranges are those of `GenerationOptions`, which checks them."""

    model_config = ConfigDict(extra="forbid")

    messages: list[dict[str, Any]] = Field(min_length=1)
    model: str | None = None  # None: the one that is served
    stream: StrictBool = False
    stream_options: StreamOptions | None = None
    max_tokens: StrictInt | None = None
    max_completion_tokens: StrictInt | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    n: StrictInt | None = None
    stop: str | list[str] | None = None
    seed: StrictInt | None = None
    logprobs: StrictBool | None = None
    top_logprobs: StrictInt | None = None
    presence_penalty: Number | None = None
    frequency_penalty: Number | None = None

    # Ours, not OpenAI's.
    mode: StrictInt | str | None = None
    top_k: StrictInt | None = None
    min_p: Number | None = None
    repetition_penalty: Number | None = None
    min_pixels: StrictInt | None = None
    max_pixels: StrictInt | None = None
    fps: Number | None = None

    # Labels for the client's own books, which by their definition change no answer.
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _known_fields_only(cls, body: Any) -> Any:
        """Refuses what cannot be honoured by name, before pydantic sees it."""
        if not isinstance(body, dict):
            return body
        kept = dict(body)
        for name, harmless in _UNSUPPORTED.items():
            if name in kept and kept.pop(name) not in harmless:
                raise InputFieldError(name, f"{name!r} is not supported by this server yet; leave it out")
        for name in kept:
            if name not in cls.model_fields:
                nearest = get_close_matches(name, cls.model_fields, n=1)
                hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
                raise InputFieldError(name, f"unknown field {name!r}{hint}")
        return kept

    @model_validator(mode="after")
    def _consistent(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise InputFieldError("top_logprobs", "'top_logprobs' needs 'logprobs': true")
        if self.stream_options is not None and not self.stream:
            raise InputFieldError("stream_options", "'stream_options' needs 'stream': true")
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise InputFieldError("max_tokens", "'max_tokens' and 'max_completion_tokens' differ; give one of them")
        return self

    def options(self) -> dict[str, Any]:
        """The request as keyword arguments of `Engine.generate`, without those left out. Raises `InputFieldError`."""
        names = (
            *("temperature", "top_p", "n", "stop", "seed", "presence_penalty", "frequency_penalty", "mode"),
            *("top_k", "min_p", "repetition_penalty", "min_pixels", "max_pixels", "fps"),
        )
        options = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        for limit in (self.max_tokens, self.max_completion_tokens):
            if limit is not None:
                options["max_tokens"] = limit
        if self.logprobs:
            options["logprobs"] = self.top_logprobs or 0
        for name, value in options.items():
            try:
                GenerationOptions.from_mapping({name: value})
            except InputError as error:
                raise InputFieldError(name, str(error)) from error
        return options


class InputFieldError(InputError):
    """An `InputError` that knows which field of the body it is about."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
