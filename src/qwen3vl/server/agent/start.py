"""What a session begins with, as a request says it, checked."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StrictBool, StrictInt, model_validator

from qwen3vl.browser.opening import open_session
from qwen3vl.browser.rules import HostRules, host_entry
from qwen3vl.browser.session import BrowserSession
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.errors import InputError
from qwen3vl.server.places import about

_SIZES = {"web": (1280, 800), "phone": (412, 892)}
_MOST_HTML = 2_000_000

Goal = Annotated[str, Field(min_length=1, max_length=4000)]
Side = Annotated[StrictInt, Field(ge=200, le=2560)]


class Start(BaseModel):
    """The body of `POST /v1/agent/sessions`."""

    model_config = ConfigDict(extra="forbid")

    url: str | None = Field(None, max_length=4000, description="where to begin, or else `html`")
    html: str | None = Field(None, max_length=_MOST_HTML, description="a document to begin with; it reaches no host")
    goal: Goal = Field(description="what should be achieved")
    allow_hosts: list[Annotated[str, Field(max_length=260)]] = Field(
        default_factory=list, max_length=100, description="hosts beside that of `url`: example.org, *.example.org"
    )
    platform: Literal["web", "phone"] = "web"
    width: Side | None = Field(None, description="of the window in pixels")
    height: Side | None = Field(None, description="of the window in pixels")
    form: Literal["native", "json"] = Field("native", description="of the model's answers")
    strict: StrictBool = Field(False, description="enforce the form of the model's answers")
    language: Literal["en", "zh"] = Field("en", description="in which the model is asked")
    model: str | None = Field(None, description="without: the one that answers")
    mode: StrictInt | str | None = None
    max_tokens: StrictInt | None = Field(None, description="of one answer of the model")
    temperature: float | None = None
    max_pixels: StrictInt | None = Field(None, description="of the screenshots as the model sees them")
    seed: StrictInt | None = None

    _private_hosts: tuple[str, ...] = PrivateAttr(())
    _timeout: float = PrivateAttr(10.0)

    @model_validator(mode="after")
    def _check(self) -> Start:
        if (self.url is None) == (self.html is None):
            raise InputError("a session begins with either 'url' or 'html'", param="url")
        with about("url"):
            _ = self._own_host
        with about("allow_hosts"):
            _ = self.rules
        for name, value in self.options().items():
            with about(name):
                GenerationOptions.from_mapping({name: value})
        return self

    def within(self, *, private_hosts: tuple[str, ...], timeout: float) -> Start:
        """The same, in a server that lets sessions reach these private hosts."""
        copy = self.model_copy()
        copy._private_hosts, copy._timeout = private_hosts, timeout
        return copy

    @property
    def _own_host(self) -> tuple[str, ...]:
        return () if self.url is None else (host_entry(self.url),)

    @property
    def rules(self) -> HostRules:
        """Raises `InputError` for a URL or host that is none."""
        return HostRules(tuple(dict.fromkeys((*self._own_host, *self.allow_hosts))), self._private_hosts)

    @property
    def size(self) -> tuple[int, int]:
        width, height = _SIZES[self.platform]
        return self.width or width, self.height or height

    def options(self) -> dict[str, Any]:
        """Options of the generation that the request gives."""
        names = ("mode", "max_tokens", "temperature", "max_pixels", "seed")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def open_browser(self) -> AbstractAsyncContextManager[BrowserSession]:
        return open_session(
            url=self.url,
            html=self.html,
            rules=self.rules,
            size=self.size,
            phone=self.platform == "phone",
            timeout=self._timeout,
        )
