"""What the auxiliary head of each patch is asked: which glyphs and things have their centre in it.

The head exists during training only. It teaches the vision tower to read before the decoder can ask it to, which makes
the first minutes worth more. A Chinese character is told by two numbers, its row and its column in a table of all of
them, so that 1,280 characters need 80 classes.
"""

from __future__ import annotations

import zlib
from functools import cache

from qwen3vl.drawn.sample import Mark
from qwen3vl.drawn.words import characters

_ASCII, _SIDE, _THINGS = 95, 40, 33
_FIRST_ROW, _FIRST_COLUMN, _FIRST_THING = _ASCII, _ASCII + _SIDE, _ASCII + 2 * _SIDE
NUM_HINTS = _FIRST_THING + _THINGS


@cache
def hint_classes(what: str) -> tuple[int, ...]:
    """The classes of a mark: one for an ASCII glyph or a thing, by its name's hash, two for a Chinese character."""
    if len(what) == 1 and what.isascii():
        return (ord(what) - 32,)
    index = _character_index().get(what)
    if index is not None:
        return _FIRST_ROW + index // _SIDE, _FIRST_COLUMN + index % _SIDE
    return (_FIRST_THING + zlib.crc32(what.encode()) % _THINGS,)


@cache
def _character_index() -> dict[str, int]:
    known = characters()
    assert len(known) <= _SIDE**2
    return {character: i for i, character in enumerate(known)}


def inside(mark: Mark, width: int, height: int) -> bool:
    """Whether a mark is in the picture: text may run over its edge."""
    return 0 <= mark.x < width and 0 <= mark.y < height
