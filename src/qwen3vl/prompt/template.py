"""The checkpoint's own chat template, run in jinja2's sandbox: messages to one text. Knows nothing of token ids."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from qwen3vl.checkpoints.files import read_json
from qwen3vl.errors import CheckpointError, InputError

_NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


class ChatTemplate:
    """A compiled template. It sees what templates are written for: the same functions, filters and variables as in
    transformers, and the tokenizer's named tokens."""

    def __init__(self, source: str, named_tokens: Mapping[str, str] | None = None) -> None:
        """Raises `CheckpointError` if `source` is not a valid template."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise CheckpointError(
                f"the chat template has a syntax error in line {error.lineno}: {error.message}"
            ) from error
        self._named_tokens = dict(named_tokens or {})

    @classmethod
    def from_folder(cls, folder: Path) -> ChatTemplate:
        """Reads `chat_template.jinja`, `chat_template.json` or `tokenizer_config.json`, the first that has one."""
        config = read_json(folder / "tokenizer_config.json") or {}
        named = {key: _token_name(config[key]) for key in _NAMED_TOKENS if config.get(key)}
        jinja = folder / "chat_template.jinja"
        if jinja.is_file():
            return cls(jinja.read_text(encoding="utf-8"), named)
        legacy = read_json(folder / "chat_template.json") or {}
        for source in (legacy.get("chat_template"), config.get("chat_template")):
            if isinstance(source, list):  # several, by name
                source = next((entry.get("template") for entry in source if entry.get("name") == "default"), None)
            if isinstance(source, str):
                return cls(source, named)
        raise CheckpointError(f"{folder} has no chat template (chat_template.jinja, or one in tokenizer_config.json)")

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
    ) -> str:
        """The prompt as text. Raises `InputError` with the template's own words if it refuses the messages."""
        try:
            return self._template.render(
                messages=messages,
                tools=tools,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._named_tokens,
            )
        # A template is a program: on messages that it was not written for it fails with whatever its operators raise.
        except Exception as error:
            raise InputError(f"the checkpoint's chat template cannot render these messages: {error}") from error


class _GenerationTag(Extension):
    """`{% generation %}...{% endgeneration %}` marks the answers for training; here it only shows its body."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """jinja2's own filter escapes for HTML, which models have not seen."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _token_name(token: str | Mapping[str, Any]) -> str:
    return token if isinstance(token, str) else str(token["content"])
