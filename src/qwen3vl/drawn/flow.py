"""Running text with links and bold words in it, broken into lines. Knows nothing of how it is drawn."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

_CHARACTER = re.compile(r".[，。！？]*")


class Piece(NamedTuple):
    """What a line break does not divide: a word, a Chinese character, or all of a link. `tag`: "", "a" or "b"."""

    text: str
    tag: str = ""


class Placed(NamedTuple):
    """A piece with the pixels from the left end of its line."""

    x: int
    piece: Piece


def pieces(text: str, *, chinese: bool) -> list[Piece]:
    """The words of a text, or its Chinese characters, each with the punctuation after it."""
    return [Piece(part) for part in (_CHARACTER.findall(text) if chinese else text.split(" "))]


def with_tag(rng: random.Random, parts: list[Piece], tag: str, text: str) -> list[Piece]:
    """`parts` with one more in it, neither first nor last."""
    at = rng.randint(1, max(1, len(parts) - 1))
    return [*parts[:at], Piece(text, tag), *parts[at:]]


def lines(parts: Sequence[Piece], width: int, measure: Callable[[Piece], int], space: int) -> list[list[Placed]]:
    """The pieces of each line. One that is wider than `width` has a line of its own."""
    made: list[list[Placed]] = [[]]
    x = 0
    for piece in parts:
        length = measure(piece)
        if made[-1] and x + length > width:
            made.append([])
            x = 0
        made[-1].append(Placed(x, piece))
        x += length + space
    return made
