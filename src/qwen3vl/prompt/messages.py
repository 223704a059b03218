"""OpenAI-style messages, checked: what is text, what is media and where it stands. Opens no media, knows no template.

Every error begins with the place, as in `messages[0].content[2]`, and says what is allowed there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import PIL.Image

from qwen3vl.errors import InputError
from qwen3vl.media.pdf import PdfPages
from qwen3vl.media.types import Image, Video

PartKind = Literal["image", "video", "pdf", "file"]
FindControlToken = Callable[[str], str | None]

_ROLES = ("system", "user", "assistant", "tool")
_MEDIA_ROLES = ("user", "tool")
_MESSAGE_KEYS = {"role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content"}
_URL_PARTS: dict[str, PartKind] = {"image_url": "image", "video_url": "video"}
_OBJECT_PARTS: dict[str, PartKind] = {"image": "image", "video": "video", "pdf": "pdf"}
_PART_TYPES = ("text", *_URL_PARTS, "file", *_OBJECT_PARTS)


@dataclass(frozen=True)
class MediaPart:
    """A picture, video or document that a message holds; `file` is whichever of the three its bytes are. `where` is its
    place, as `messages[0].content[2].image_url`.
    """

    kind: PartKind
    source: object
    where: str


@dataclass(frozen=True)
class Message:
    role: str
    content: str | list[str | MediaPart]  # strings are text
    extra: Mapping[str, Any]  # the other keys, for the template


def parse_messages(messages: Sequence[Mapping[str, Any]], find_control_token: FindControlToken) -> list[Message]:
    """Checks the form of `messages` and that no text in them could forge a turn or a picture.

    Raises `InputError`. Keys whose value is None count as absent.
    """
    if not isinstance(messages, list | tuple):
        raise InputError(f"messages must be a list of messages, got {type(messages).__name__}")
    if not messages:
        raise InputError("messages must hold at least one message")
    return [_message(message, f"messages[{i}]", find_control_token) for i, message in enumerate(messages)]


def check_tools(tools: Sequence[Mapping[str, Any]] | None, find_control_token: FindControlToken) -> None:
    """Raises `InputError` unless `tools` is a list of objects free of control tokens."""
    if tools is None:
        return
    if not isinstance(tools, list | tuple) or not all(isinstance(tool, Mapping) for tool in tools):
        raise InputError("tools must be a list of objects, each with type 'function' and a function")
    _refuse_control_tokens(tools, "tools", find_control_token)


def _message(message: Mapping[str, Any], where: str, find_control_token: FindControlToken) -> Message:
    if not isinstance(message, Mapping):
        raise InputError(f"{where} must be an object with role and content, got {type(message).__name__}")
    # OpenAI's client sends answers back with every field it knows, most of them empty.
    fields = {key: value for key, value in message.items() if key in _MESSAGE_KEYS or value}
    if unknown := sorted(set(fields) - _MESSAGE_KEYS):
        raise InputError(f"{where} has the unknown key {unknown[0]!r}; allowed are {_list(sorted(_MESSAGE_KEYS))}")
    role = fields.pop("role", None)
    if role not in _ROLES:
        raise InputError(f"{where}.role is {role!r}; allowed are {_list(_ROLES)}")
    content = fields.pop("content", None)
    extra = {key: value for key, value in fields.items() if value is not None}
    _check_extra(extra, role, where)
    _refuse_control_tokens(extra, where, find_control_token)
    if content is None and extra.get("tool_calls"):
        content = ""
    return Message(role, _content(content, role, f"{where}.content", find_control_token), extra)


def _check_extra(extra: Mapping[str, Any], role: str, where: str) -> None:
    for key in ("name", "tool_call_id", "reasoning_content"):
        if not isinstance(extra.get(key, ""), str):
            raise InputError(f"{where}.{key} must be a string")
    calls = extra.get("tool_calls", [])
    if calls and role != "assistant":
        raise InputError(f"{where}.tool_calls belong to the assistant, not to the role {role!r}")
    if not isinstance(calls, list):
        raise InputError(f"{where}.tool_calls must be a list")
    for i, call in enumerate(calls):
        function = call.get("function") if isinstance(call, Mapping) else None
        if not (
            isinstance(function, Mapping)
            and isinstance(function.get("name"), str)
            and isinstance(function.get("arguments"), str | Mapping)
        ):
            raise InputError(
                f"{where}.tool_calls[{i}] must have a function with a name and arguments (JSON, or an object)"
            )


def _content(
    content: object, role: str, where: str, find_control_token: FindControlToken
) -> str | list[str | MediaPart]:
    if isinstance(content, str):
        _refuse_control_tokens(content, where, find_control_token)
        return content
    if not isinstance(content, list | tuple) or not content:
        raise InputError(f"{where} must be a string or a list of parts ({_list(_PART_TYPES)})")
    parts = [_part(part, role, f"{where}[{i}]") for i, part in enumerate(content)]
    # Checked joined: the template writes texts that follow each other without a gap, so two halves would make a token.
    run = ""
    for i, part in enumerate(parts):
        run = run + part if isinstance(part, str) else ""
        _refuse_control_tokens(run, f"{where}[{i}]", find_control_token)
    return parts


def _part(part: object, role: str, where: str) -> str | MediaPart:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise InputError(f"{where} must be an object with a type, got {type(part).__name__}")
    fields = {key: value for key, value in part.items() if value is not None}
    kind = fields.pop("type", None)
    if kind not in _PART_TYPES:
        raise InputError(f"{where}.type is {kind!r}; allowed are {_list(_PART_TYPES)}")
    value = fields.pop(kind, None)
    if value is None or fields:
        wrong = f"lacks the key {kind!r}" if value is None else f"has the unknown key {min(fields)!r}"
        raise InputError(f"{where} {wrong}; a part of type {kind!r} holds the keys 'type' and {kind!r}")
    if kind == "text":
        if not isinstance(value, str):
            raise InputError(f"{where}.text must be a string, got {type(value).__name__}")
        return value
    if role not in _MEDIA_ROLES:
        raise InputError(f"{where}: a message of role {role!r} holds only text; media belong to {_list(_MEDIA_ROLES)}")
    place = f"{where}.{kind}"
    if kind in _URL_PARTS:
        return MediaPart(_URL_PARTS[kind], _url(value, place), place)
    if kind == "file":
        return MediaPart("file", _file_data(value, place), place)
    return MediaPart(_OBJECT_PARTS[kind], _object(value, kind, place), place)


def _url(value: object, where: str) -> str:
    if isinstance(value, Mapping):
        # "low" asks for fewer pixels, which this cannot promise per picture; the other two change nothing here.
        if value.get("detail") not in (None, "auto", "high"):
            raise InputError(f"{where}.detail must be 'auto' or 'high'; to spend fewer tokens set max_pixels")
        _only(value, {"url", "detail"}, where)
        value = value.get("url")
    if not isinstance(value, str):
        raise InputError(f"{where} must be a data URL, or an object with one under 'url'")
    return value


def _file_data(value: object, where: str) -> str:
    if not isinstance(value, Mapping):
        raise InputError(f"{where} must be an object with a data URL under 'file_data'")
    _only(value, {"file_data", "filename"}, where)
    data = value.get("file_data")
    if not isinstance(data, str) or not data[:5].lower() == "data:":
        raise InputError(f"{where}.file_data must be a data URL of a PDF, picture or video")
    return data


def _object(value: object, kind: str, where: str) -> object:
    allowed: tuple[type, ...] = (str, Path, bytes, bytearray, memoryview)
    if kind == "image":
        allowed += (PIL.Image.Image, Image)
    elif kind == "video":
        allowed += (Video,)
    else:
        allowed += (PdfPages,)
    if not isinstance(value, allowed):
        names = _list(dict.fromkeys(type_.__name__ for type_ in allowed))
        raise InputError(f"{where} is of type {type(value).__name__}; allowed are {names}")
    return value


def _only(value: Mapping[str, Any], allowed: set[str], where: str) -> None:
    if unknown := sorted(key for key, entry in value.items() if key not in allowed and entry is not None):
        raise InputError(f"{where} has the unknown key {unknown[0]!r}; allowed are {_list(sorted(allowed))}")


def _refuse_control_tokens(value: object, where: str, find_control_token: FindControlToken) -> None:
    """Looks through strings, keys and everything nested in them."""
    if isinstance(value, str):
        if token := find_control_token(value):
            raise InputError(
                f"{where} holds the control token {token}, which text may not contain; write it another way"
            )
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            _refuse_control_tokens(key, where, find_control_token)
            _refuse_control_tokens(entry, f"{where}.{key}", find_control_token)
    elif isinstance(value, list | tuple):
        for i, entry in enumerate(value):
            _refuse_control_tokens(entry, f"{where}[{i}]", find_control_token)


def _list(names: Any) -> str:
    return ", ".join(map(repr, names))
