"""Which field of a request an engine's error is about, by the name that the client knows.

Sentences about messages and options begin with the place as the engine knows it: `messages[0].content[2].image: ...`,
`max_pixels must be ...`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields

from qwen3vl.engine.grammar import GrammarError
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.errors import ContextLengthError, InputError

_PLACE = re.compile(r"([a-z_]+)((?:\[\d+\]|\.[A-Za-z_]\w*)*)(?=[: ])")
OPTION_PLACES = {each.name: f"options.{each.name}" for each in fields(GenerationOptions)} | {"grammar": "params.schema"}
"""Of the engine's options, in a question of a conversation."""
_PARTS = ("messages", "input", "content", "params", "tools", "video")


def place_in(sentence: str, known: Collection[str] = _PARTS) -> str | None:
    """The place that `sentence` begins with, if it is in one of `known`."""
    found = _PLACE.match(sentence)
    return found[0] if found is not None and found[1] in known else None


@contextmanager
def about(param: str) -> Iterator[None]:
    """For work on one field: errors that name no place of their own are about that."""
    try:
        yield
    except InputError as error:
        raise type(error)(str(error), param=error.param or param) from error


def renamed(error: InputError, body: Collection[str], names: Mapping[str, str]) -> InputError:
    """`error` as one about a body with these fields. `names`: what the engine's places are called there."""
    known = {*body, *(_head(name) for name in names)}
    sentence = str(error)
    param = error.param or place_in(sentence, known)
    if param is None and isinstance(error, GrammarError):
        param = "grammar"
    if param is None and isinstance(error, ContextLengthError):
        param = "messages"
    if param is None:
        return error
    new = _renamed(param, names)
    if sentence.startswith(param):
        sentence = new + sentence[len(param) :]
    return type(error)(sentence, param=new if _head(new) in body else None)


def _renamed(place: str, names: Mapping[str, str]) -> str:
    """With the longest of `names` that it begins with replaced. A bare name does not stand for its entries."""
    for old in sorted(names, key=len, reverse=True):
        rest = place.removeprefix(old)
        if place == old or (rest != place and (rest[0] == "." or (rest[0] == "[" and "[" in old))):
            return names[old] + rest
    return place


def _head(place: str) -> str:
    return re.split(r"[.\[]", place, maxsplit=1)[0]


def question_places(last: int, within: Mapping[str, str]) -> dict[str, str]:
    """Of a question that is the message number `last`, in a request that asks it. `within`: what its own places are
    called there.
    """
    question = f"messages[{last}]"
    return {
        **OPTION_PLACES,
        "messages": "content",
        f"{question}.content": "content",
        **{f"{question}.{old}": new for old, new in within.items()},
    }
