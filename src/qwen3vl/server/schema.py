"""The request bodies of `/v1/chat/completions` and `/v1/completions`, checked and turned into engine options.

Every field either changes the answer, or labels the request for the client's own books, or is refused. What the
messages hold is checked by `prompt`, which knows it; here they are plain dictionaries.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, field_validator, model_validator

from qwen3vl.engine.grammar import Grammar
from qwen3vl.engine.options import MAX_TOP_LOGPROBS, GenerationOptions
from qwen3vl.errors import InputError
from qwen3vl.server.places import about

Number = Annotated[float, Field(strict=True)]


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    include_usage: StrictBool = False


class Function(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: Literal[False] | None = None  # the model's own form of calls is not enforced


class Tool(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    function: Function


class JsonSchema(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: StrictBool | None = None  # it is enforced in any case


class ResponseFormat(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _schema_where_it_belongs(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise InputError("it is required with the type 'json_schema', and only then", param="json_schema")
        return self


class SamplingRequest(BaseModel):
    """What both kinds of request have. Ranges are those of `GenerationOptions`, which checks them."""

    model_config = ConfigDict(extra="forbid")

    # Fields of OpenAI's API that this server cannot honour, with the values that ask for nothing and are let through.
    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    # What the engine's errors are about, by its own names, where the body has another.
    said_as: ClassVar[Mapping[str, str]] = {}

    model: str | None = Field(None, description="None: the one that is served")
    stream: StrictBool = False
    stream_options: StreamOptions | None = None
    max_tokens: StrictInt | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    n: StrictInt | None = None
    stop: str | list[str] | None = None
    seed: StrictInt | None = None
    presence_penalty: Number | None = None
    frequency_penalty: Number | None = None

    # Ours, not OpenAI's.
    mode: StrictInt | str | None = Field(None, description="fast, balanced, full, or a number of active experts")
    top_k: StrictInt | None = None
    min_p: Number | None = None
    repetition_penalty: Number | None = None
    stop_loops: StrictBool | None = Field(None, description="end an answer that repeats itself without end")

    # Labels for the client's own books, which by their definition change no answer.
    user: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_what_can_be_honoured(cls, body: Any) -> Any:
        """Refuses fields of OpenAI's API that ask for something."""
        if not isinstance(body, dict):
            return body
        kept = dict(body)
        for name, harmless in cls.unsupported.items():
            if name in kept and kept.pop(name) not in harmless:
                raise InputError(f"{name!r} is not supported by this server; leave it out", param=name)
        return kept

    @model_validator(mode="after")
    def _stream_options_belong_to_streams(self) -> SamplingRequest:
        if self.stream_options is not None and not self.stream:
            raise InputError("'stream_options' needs 'stream': true", param="stream_options")
        return self

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def options(self) -> dict[str, Any]:
        """The request as keyword arguments of `Engine.generate`, without those left out. Raises `InputError`."""
        names = set(GenerationOptions.__dataclass_fields__) & set(type(self).model_fields) - {"logprobs"}
        options = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        options |= self.further_options()
        for name, value in options.items():
            with about(self.said_as.get(name, name)):
                GenerationOptions.from_mapping({name: value})
        return options

    @abstractmethod
    def further_options(self) -> dict[str, Any]:
        """What has another name or form here than in the engine."""


class ChatRequest(SamplingRequest):
    """One body of `/v1/chat/completions`."""

    unsupported = {
        "audio": (None,),
        "function_call": (None, "none"),
        "functions": (None, []),
        "logit_bias": (None, {}),
        "modalities": (None, ["text"]),
        "parallel_tool_calls": (None, True),
        "prediction": (None,),
        "reasoning_effort": (None,),
        "service_tier": (None, "auto", "default"),
        "store": (None, False),
        "verbosity": (None,),
        "web_search_options": (None,),
    }
    said_as = {"grammar": "response_format.json_schema.schema"}

    messages: list[dict[str, Any]] = Field(min_length=1)
    max_completion_tokens: StrictInt | None = None
    logprobs: StrictBool | None = None
    top_logprobs: StrictInt | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    response_format: ResponseFormat | None = None
    min_pixels: StrictInt | None = Field(None, description="of a picture after resizing")
    max_pixels: StrictInt | None = Field(None, description="of a picture after resizing")
    fps: Number | None = Field(None, description="frames a second that are looked at in a video")
    safety_identifier: str | None = None
    metadata: dict[str, str] | None = None

    @field_validator("messages", mode="after")
    @classmethod
    def _developers_are_systems(cls, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """OpenAI's newer name for the role."""
        return [{**each, "role": "system"} if each.get("role") == "developer" else each for each in messages]

    @model_validator(mode="after")
    def _consistent(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise InputError("'top_logprobs' needs 'logprobs': true", param="top_logprobs")
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise InputError("'max_tokens' and 'max_completion_tokens' differ; give one of them", param="max_tokens")
        if self.shown_tools and self.grammar:
            raise InputError("JSON and tool calls exclude each other; leave one out", param="response_format")
        return self

    @property
    def shown_tools(self) -> list[dict[str, Any]] | None:
        """The tools as the model is told of them; with the choice "none" it is not."""
        if not self.tools or self.tool_choice == "none":
            return None
        return [tool.model_dump(exclude_none=True) for tool in self.tools]

    @property
    def grammar(self) -> Grammar | None:
        wanted = self.response_format
        if wanted is None or wanted.type == "text":
            return None
        return Grammar.json_schema({"type": "object"} if wanted.json_schema is None else wanted.json_schema.schema_)

    def further_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {} if self.grammar is None else {"grammar": self.grammar}
        if self.max_completion_tokens is not None:
            options["max_tokens"] = self.max_completion_tokens
        if self.logprobs:
            options["logprobs"] = self.top_logprobs or 0
        return options


class CompletionRequest(SamplingRequest):
    """One body of `/v1/completions`: a text that is continued as it stands."""

    unsupported = {
        "best_of": (None, 1),
        "echo": (None, False),
        "logit_bias": (None, {}),
        "suffix": (None, ""),
    }
    said_as = {"messages": "prompt"}

    prompt: str | list[str] = Field(description="a text, or a list of one")
    logprobs: Annotated[int, Field(strict=True, ge=0, le=MAX_TOP_LOGPROBS)] | None = None

    @model_validator(mode="after")
    def _one_prompt(self) -> CompletionRequest:
        if isinstance(self.prompt, list) and len(self.prompt) != 1:
            raise InputError(f"'prompt' is one text a request here, got {len(self.prompt)}", param="prompt")
        return self

    @property
    def text(self) -> str:
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]

    def further_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {} if self.logprobs is None else {"logprobs": self.logprobs}
        return options | ({"max_tokens": 16} if self.max_tokens is None else {})  # as OpenAI's API has it
