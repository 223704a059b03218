"""Text that any database can keep, and the form in which it is searched."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from qwen3vl.errors import InputError

MAX_TITLE = 200  # characters
MAX_DEPTH = 64  # lists and objects in each other
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL keeps no NUL; half a surrogate pair is not Unicode text
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")  # controls, directions


def check_storable(value: object, where: str, depth: int = MAX_DEPTH) -> None:
    """Raises `InputError` for a text, anywhere in `value`, that holds NUL or half of a surrogate pair, for a number
    that JSON does not know, and for lists and objects that are nested too deeply.
    """
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise InputError(f"{where} holds a NUL or half a surrogate pair; send Unicode text")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{where} holds the number {value}, which JSON does not know")
    elif isinstance(value, Mapping | list | tuple):
        if depth == 0:
            raise InputError(f"{where} is nested more than {MAX_DEPTH} levels deep")
        entries = [*value, *value.values()] if isinstance(value, Mapping) else value
        for entry in entries:
            check_storable(entry, where, depth - 1)


def storable(value: Any) -> Any:
    """`value` with U+FFFD, or null for a number, in the place of what `check_storable` refuses: for what a model wrote,
    which nobody can send again.
    """
    if isinstance(value, str):
        return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, Mapping):
        return {storable(key): storable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [storable(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def fold(text: str) -> str:
    """What counts as the same when searching: letters of either case, and of full or half width."""
    return unicodedata.normalize("NFKC", text).casefold()


def clean_title(title: str) -> str:
    """A title on one line. Raises `InputError` for one that is too long."""
    check_storable(title, "the title")
    cleaned = " ".join(_UNSEEN.sub(" ", title).split())
    if len(cleaned) > MAX_TITLE:
        raise InputError(f"a title may have {MAX_TITLE} characters at most, this one has {len(cleaned)}")
    return cleaned
