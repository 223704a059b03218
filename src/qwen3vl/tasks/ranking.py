"""Which of many texts have to do with a question: BM25 over words. Knows nothing of what the texts are."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_SATURATION = 1.5  # BM25's k1: how soon more of the same word stops to count
_LENGTH = 0.75  # BM25's b: how much a long text must have more of a word
UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # scripts written without spaces
_PIECE = re.compile(rf"[{UNSPACED}]+|[^\W_{UNSPACED}]+")


@dataclass(frozen=True)
class Ranked:
    number: int  # of the text, from 0
    score: float  # above 0


def rank(query: str, texts: Sequence[str]) -> list[Ranked]:
    """The texts that share a word with `query`, the best first; equal ones in their order."""
    wanted = set(terms(query))
    counts = [Counter(terms(text)) for text in texts]
    lengths = [sum(count.values()) for count in counts]
    average = sum(lengths) / len(lengths) if any(lengths) else 1.0
    scores = [0.0] * len(texts)
    for term in sorted(wanted):
        holding = [number for number, count in enumerate(counts) if term in count]
        rarity = math.log(1 + (len(texts) - len(holding) + 0.5) / (len(holding) + 0.5))
        for number in holding:
            often, length = counts[number][term], lengths[number] / average
            scores[number] += (
                rarity * often * (_SATURATION + 1) / (often + _SATURATION * (1 - _LENGTH + _LENGTH * length))
            )
    found = [Ranked(number, score) for number, score in enumerate(scores) if score > 0]
    return sorted(found, key=lambda ranked: (-ranked.score, ranked.number))


def terms(text: str) -> list[str]:
    """Words in either case and width as one; where words are not spaced, characters and pairs of neighbours."""
    found: list[str] = []
    for piece in _PIECE.findall(unicodedata.normalize("NFKC", text).casefold()):
        if re.match(rf"[{UNSPACED}]", piece):
            found += [*piece, *(piece[i : i + 2] for i in range(len(piece) - 1))]
        else:
            found.append(piece)
    return found
