"""Faults that pydantic finds in what a client sent, as one sentence that says what was wrong and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

from qwen3vl.errors import InputError

Loc = Sequence[str | int]

_LONGEST_SHOWN = 60  # characters of a value that is quoted
_PYTHON = {"True": "true", "False": "false", "None": "null"}

_MUST_BE: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    **dict.fromkeys(("string_type", "string_sub_type"), lambda ctx: "text"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), lambda ctx: "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), lambda ctx: "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), lambda ctx: "true or false"),
    **dict.fromkeys(("list_type", "tuple_type"), lambda ctx: "a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type", "mapping_type"), lambda ctx: "an object"),
    "literal_error": lambda ctx: re.sub("True|False|None", lambda name: _PYTHON[name[0]], ctx["expected"]),
    "finite_number": lambda ctx: "a finite number",
    "greater_than_equal": lambda ctx: f"at least {ctx['ge']:g}",
    "greater_than": lambda ctx: f"above {ctx['gt']:g}",
    "less_than_equal": lambda ctx: f"at most {ctx['le']:g}",
    "less_than": lambda ctx: f"below {ctx['lt']:g}",
    "string_too_short": lambda ctx: f"text of at least {_number(ctx['min_length'], 'character')}",
    "string_too_long": lambda ctx: f"text of at most {_number(ctx['max_length'], 'character')}",
    "too_short": lambda ctx: f"a list of at least {_number(ctx['min_length'], 'entry')}",
    "too_long": lambda ctx: f"a list of at most {_number(ctx['max_length'], 'entry')}",
    "string_pattern_mismatch": lambda ctx: f"of the form {ctx['pattern']}",
    "string_unicode": lambda ctx: "text without halves of characters",
}


def describe_fault(
    faults: Sequence[Mapping[str, Any]], sent: object, kind: Any = None, within: Loc = ()
) -> tuple[str, str | None]:
    """A sentence about the first of pydantic's `faults` in `sent`, and the place of the field, as `tools[0].type`; None
    for what was sent as a whole. `kind`: the type that it should have had, for the names of its fields. `within`: where
    in the request it stands.
    """
    head = _path(faults[0], sent)
    # The alternatives of a union have a fault each; the one that fits furthest is meant.
    first = max(
        (fault for fault in faults if _path(fault, sent)[: len(head)] == head), key=lambda f: len(_path(f, sent))
    )
    path = _path(first, sent)
    place = place_of([*within, *path]) or None
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError) and cause.param is not None:
        inner = place_of([*within, *path, cause.param])
        return (str(cause) if not path else f"{inner!r}: {cause}"), inner
    if cause is not None:
        return (str(cause) if place is None else f"{place!r}: {cause}"), place
    if first["type"] == "missing":
        return f"{place!r} is required", place
    if first["type"] == "extra_forbidden":
        return unknown_field(str(path[-1]), names_in(kind, path[:-1]), place_of([*within, *path[:-1]])), place
    here = [fault for fault in faults if _path(fault, sent) == path]
    words = [_MUST_BE[fault["type"]](fault.get("ctx", {})) for fault in here if fault["type"] in _MUST_BE]
    if not words:
        return f"{place!r}: {first['msg'][:1].lower()}{first['msg'][1:]}", place
    return f"{place!r} must be {' or '.join(dict.fromkeys(words))}{_got(first.get('input'))}", place


def unknown_field(name: str, known: Iterable[str], place: str = "") -> str:
    """A sentence about a field that is not one of `known`."""
    names = sorted(known)
    nearest = get_close_matches(name, names, n=1)
    within = f" in {place!r}" if place else ""
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(names)}" if names else "there is none"
    return f"unknown field {name!r}{within}; {hint}"


def place_of(path: Loc) -> str:
    """`["tools", 0, "type"]` as `tools[0].type`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def names_in(kind: Any, path: Loc) -> list[str]:
    """The fields of the model that stands at `path` in a value of type `kind`, by the names that clients use."""
    fields = _fields(kind)
    for part in path:
        if isinstance(part, str):
            fields = _fields(fields.get(part))
    return list(fields)


def _fields(kind: Any) -> dict[str, Any]:
    """Names and types of a model's fields, or of those of the models that a type is made of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    return {name: type_ for part in get_args(kind) for name, type_ in _fields(part).items()}


def _path(fault: Mapping[str, Any], sent: object) -> list[str | int]:
    """Where it is, without the names that pydantic gives to the alternatives of a union, which nobody has sent."""
    path: list[str | int] = []
    for number, part in enumerate(fault["loc"]):
        if isinstance(part, int) and isinstance(sent, list | tuple):
            sent = sent[part] if part < len(sent) else None
        elif isinstance(part, str) and isinstance(sent, Mapping) and part in sent:
            sent = sent[part]
        elif fault["type"] != "missing" or number < len(fault["loc"]) - 1:
            continue
        path.append(part)
    return path


def _got(value: object) -> str:
    if isinstance(value, Mapping):
        return ", got an object"
    if isinstance(value, list | tuple):
        return ", got a list"
    shown = _PYTHON.get(str(value), repr(value))
    return f", got {shown}" if len(shown) <= _LONGEST_SHOWN else ""


def _number(count: int, name: str) -> str:
    plural = {"entry": "entries"}.get(name, f"{name}s")
    return f"{count:,} {name if count == 1 else plural}"
