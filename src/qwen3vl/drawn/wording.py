"""How people ask: the wordings of each question in English and Chinese, for training and held out.

The wordings stand in `wordings/train` and `wordings/held_out`, one table a question with a list of patterns in each
language. A pattern such as `"{How many|Count {the|all}} [things]{?|}"` offers alternatives in braces and names slots in
brackets; what fills the slot `after`, which no pattern names, is said at the very end. Patterns of training may also

- include an alternative of `pieces.toml`: `$pic`;
- name a frame of `frames.toml`: `"know: how many [things] there are"` becomes `"Could you tell me how many ...?"`, a
  frame's `*` being the place of the pattern;
- stand behind or before one of the sentences of their file's table `[context]`: `"Here is my form. * It is urgent."`

A text that is held out is never drawn for training. Knows nothing about answers.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import chain, product
from typing import TypeAlias, TypeVar

from qwen3vl.drawn.manner import around, careless, polite
from qwen3vl.drawn.sample import Language, Split

_TOKENS = re.compile(r"[{}|]|\$[a-z_]+|[^{}|$]+")
_SLOT = re.compile(r"\[([a-z_]+)\]")
_FRAMED = re.compile(r"(do|know|get): (.*)")
_SIGNS = str.maketrans("", "", " \n\"'`.,:;?!…-–—_/\\()<>=+*#“”‘’「」（）。，、；：？！～~·")

PIECES, FRAMES, CONTEXT = "pieces.toml", "frames.toml", "context"
COURTESIES = frozenset({"greet", "chat_thanks", "chat_bye"})  # politeness themselves: none is put around them
CONTEXT_SHARE = 0.1  # how many questions come with a sentence around them
POLITE_SHARE = 0.1

T = TypeVar("T")
Text: TypeAlias = "tuple[str | Choice, ...]"


@dataclass(frozen=True)
class Choice:
    """A place in a text where one of several texts stands."""

    options: tuple[Text, ...]


@dataclass(frozen=True)
class Wording:
    """A pattern, read, and what it may stand in."""

    text: Text
    frames: tuple[Text, ...]
    contexts: tuple[Text, ...]


def _parsed(pattern: str, pieces: Mapping[str, Choice]) -> Text:
    open_braces: list[list[list[str | Choice]]] = [[[]]]  # of each, its alternatives so far
    for token in _TOKENS.findall(pattern):
        if token == "{":
            open_braces.append([[]])
        elif token == "|":
            assert len(open_braces) > 1, f"an alternative outside braces in {pattern!r}"
            open_braces[-1].append([])
        elif token == "}":
            options = open_braces.pop()
            open_braces[-1][-1].append(Choice(tuple(map(tuple, options))))
        else:
            open_braces[-1][-1].append(pieces[token[1:]] if token[0] == "$" else token)
    assert len(open_braces) == 1, f"an open brace in {pattern!r}"
    return tuple(open_braces[0][0])


def _one(rng: random.Random, options: Sequence[T]) -> T:
    """As `rng.choice`, in a third of the time: training words a million questions a minute."""
    return options[int(rng.random() * len(options))]


def _spoken(rng: random.Random, text: Text) -> str:
    """The text with one alternative of each choice."""
    return "".join([part if isinstance(part, str) else _spoken(rng, _one(rng, part.options)) for part in text])


def _all(text: Text) -> Iterator[str]:
    parts = [[part] if isinstance(part, str) else list(chain(*map(_all, part.options))) for part in text]
    return map("".join, product(*parts))


def expansions(pattern: str) -> Iterator[str]:
    """Every text that a pattern without pieces can become, its slots left as they are."""
    return _all(_parsed(pattern, {}))


@cache
def _files(split: Split) -> dict[str, dict[str, dict[Language, list[str]]]]:
    """The tables of each file."""
    folder = resources.files("qwen3vl.drawn").joinpath("wordings", split)
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return {file.name: tomllib.loads(file.read_text(encoding="utf-8")) for file in files}


def _questions(split: Split) -> Iterator[tuple[str, str]]:
    """File and key of each question."""
    for file, tables in _files(split).items():
        if file not in (PIECES, FRAMES):
            yield from ((file, key) for key in tables if key != CONTEXT)


@cache
def _book(split: Split, language: Language) -> dict[str, tuple[Wording, ...]]:
    """The wordings of each question."""
    files, pieces, book = _files(split), dict[str, Choice](), dict[str, tuple[Wording, ...]]()

    def parse(patterns: Sequence[str]) -> tuple[Text, ...]:
        return tuple(_parsed(pattern, pieces) for pattern in patterns)

    for name, listed in files.get(PIECES, {}).items():  # a piece may include those before it
        pieces[name] = Choice(parse(listed[language]))
    frames = {name: parse(listed[language]) for name, listed in files.get(FRAMES, {}).items()}
    for file, key in _questions(split):
        assert key not in book, f"the question {key} is worded twice"
        contexts = parse(files[file][CONTEXT][language]) if CONTEXT in files[file] else ()
        found = [(pattern, _FRAMED.fullmatch(pattern)) for pattern in files[file][key][language]]
        book[key] = tuple(
            Wording(_parsed(framed[2], pieces), frames[framed[1]], contexts)
            if framed
            else Wording(_parsed(pattern, pieces), (), contexts)
            for pattern, framed in found
        )
    return book


def questions() -> tuple[str, ...]:
    """The keys of all worded questions."""
    return tuple(key for _, key in _questions("train"))


def patterns(key: str, language: Language, split: Split) -> tuple[str, ...]:
    """The patterns of a question as they are written."""
    file = next(file for file, found in _questions(split) if found == key)
    return tuple(_files(split)[file][key][language])


def core(text: str) -> str:
    """What is left of a wording without what makes no other one of it: capitals, signs, spaces, and a "please"."""
    bare = text.lower().translate(_SIGNS)
    for courtesy in ("please", "请问", "请"):
        bare = bare.replace(courtesy, "")
    return bare


@cache
def _held_out(language: Language) -> frozenset[str]:
    listed = chain(*(patterns(key, language, "held_out") for key in questions()))
    return frozenset(core(text) for pattern in listed for text in expansions(pattern))


def is_held_out(text: str, language: Language) -> bool:
    """Whether `text`, its slots open, is a wording that is never trained."""
    return core(text) in _held_out(language)


def unfilled(rng: random.Random, key: str, language: Language, split: Split) -> str:
    """One wording with its slots open, as it stands."""
    text, _ = _drawn(rng, key, language, split)
    return text


def _drawn(rng: random.Random, key: str, language: Language, split: Split) -> tuple[str, Wording]:
    while True:
        chosen = _one(rng, _book(split, language)[key])
        text = _spoken(rng, chosen.text)
        if chosen.frames:
            text = _spoken(rng, _one(rng, chosen.frames)).replace("*", text, 1)
            text = text[0].upper() + text[1:]
        if split == "held_out" or not is_held_out(text, language):
            return text, chosen


def fill(rng: random.Random, key: str, language: Language, split: Split, slots: Mapping[str, str]) -> str:
    """One wording with its slots filled, as it stands."""
    return _SLOT.sub(lambda match: slots[match[1]], unfilled(rng, key, language, split))


def phrase(rng: random.Random, key: str, language: Language, split: Split, slots: Mapping[str, str]) -> str:
    """One wording of a question with its slots filled, politely, tersely or carelessly, as people write."""
    text, chosen = _drawn(rng, key, language, split)
    if chosen.contexts and rng.random() < CONTEXT_SHARE:
        text = around(_spoken(rng, _one(rng, chosen.contexts)), text, language)
    if key not in COURTESIES and rng.random() < POLITE_SHARE:
        text = polite(rng, text, language, split)
    text = careless(rng, text, language)
    return _SLOT.sub(lambda match: slots[match[1]], text) + slots.get("after", "")
