"""Chooses the fragments of the vocabulary from drawn conversations, and writes `tokenizer.json`.

    python -m training.fragments training/tokenizer.json --samples 8000

A fragment is a piece of wording or of an answer's format: it is common over all questions and answers, holds no free
digit and does not start inside a word. The words that pictures show are drawn from tens of thousands, so none of them
is common.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path

from qwen3vl.drawn.sample import Sample
from qwen3vl.drawn.words import characters
from training.mixture import draw_sample
from training.vocabulary import Vocabulary, is_safe

COMMON_SHARE = 0.002  # of all turns; a word of 14,000 is in a twentieth of that
LONGEST = 12  # pieces in one round of joining
ROUNDS = 30
VIDEO_SHARE = 0.15
RARE_CHARACTER = 5  # in all samples; a character beyond ASCII that is rarer stays a few bytes

_PIECES = re.compile(r"[A-Za-z]+(?:_[0-9][a-z]|_[a-z]+|(?<=[hH])[1-6](?![0-9]))*|[0-9]|\s+|.", re.DOTALL)
_START = re.compile(r"[^a-z0-9]")


def choose_fragments(texts: Sequence[str], count: int) -> list[str]:
    """Up to `count` fragments that shorten `texts` most, the longest first."""
    runs: Counter[tuple[str, ...]] = Counter()
    common = _common_pieces(texts)
    for text in texts:
        runs.update(_runs(text, common))
    chosen: dict[str, int] = {}  # each with the times it is used
    for _ in range(ROUNDS):
        best = _best(runs, chosen, -(-2 * count // ROUNDS))
        if not best:
            break
        runs = _joined(runs, [*chosen, *best])
        used = Counter({token: 0 for token in (*chosen, *best)})
        for run, times in runs.items():
            used.update({token: times * run.count(token) for token in set(run) if token in used})
        saved = {token: (len(token) - 1) * times for token, times in used.items() if times}
        chosen = dict(sorted(saved.items(), key=lambda item: -item[1])[:count])
    return sorted(chosen, key=lambda token: (-len(token), token))


def choose_characters(texts: Iterable[str], known: str) -> list[str]:
    """`known` and whatever else beyond ASCII is not rare in `texts`, the signs of Chinese writing above all."""
    counted = Counter(character for text in texts for character in text if not character.isascii())
    frequent = sorted(character for character, times in counted.items() if times >= RARE_CHARACTER)
    others = [character for character in frequent if character not in known and is_safe(character)]
    return [*known, *others]


def _common_pieces(texts: Sequence[str]) -> set[str]:
    counted: Counter[str] = Counter()
    for text in texts:
        counted.update(set(_PIECES.findall(text)))
    least = max(2.0, COMMON_SHARE * len(texts))
    return {piece for piece, times in counted.items() if times >= least and piece.isascii() and not piece.isdigit()}


def _runs(text: str, common: set[str]) -> Iterator[tuple[str, ...]]:
    """The stretches of common pieces in a text."""
    run: list[str] = []
    for piece in _PIECES.findall(text):
        if piece in common:
            run.append(piece)
        elif run:
            yield tuple(run)
            run = []
    if run:
        yield tuple(run)


def _best(runs: Counter[tuple[str, ...]], chosen: Container[str], count: int) -> list[str]:
    """The joins that save most tokens, none of them a part of another: those have to be counted anew."""
    saved: Counter[str] = Counter()
    for run, times in runs.items():
        costs = [1 if token in chosen else len(token) for token in run]
        for first in range(len(run)):
            for last in range(first + 1, min(len(run), first + LONGEST) + 1):
                text = "".join(run[first:last])
                if _START.match(text):
                    saved[text] += (sum(costs[first:last]) - 1) * times
    best: list[str] = []
    for text, tokens in saved.most_common():
        if tokens == 0 or len(best) == count:
            break
        if len(text) > 1 and text not in chosen and not any(text in other or other in text for other in best):
            best.append(text)
    return best


def _joined(runs: Counter[tuple[str, ...]], fragments: Sequence[str]) -> Counter[tuple[str, ...]]:
    """The runs with `fragments` as one token each, found as an encoder does: from left to right, the longest first."""
    pattern = re.compile("|".join(map(re.escape, sorted(fragments, key=len, reverse=True))))
    joined: Counter[tuple[str, ...]] = Counter()
    for run, times in runs.items():
        text, tokens, at = "".join(run), [], 0
        for match in pattern.finditer(text):
            tokens += [*_PIECES.findall(text[at : match.start()]), match.group()]
            at = match.end()
        joined[(*tokens, *_PIECES.findall(text[at:]))] += times
    return joined


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--samples", type=int, default=8000)
    parser.add_argument("--fragments", type=int, default=480)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    texts = [text for _ in range(arguments.samples) for text in _texts(_draw(rng))]
    vocabulary = Vocabulary(choose_characters(texts, characters()), choose_fragments(texts, arguments.fragments))
    vocabulary.save(arguments.out)
    before, after = sum(map(len, texts)), sum(len(vocabulary.encode(text)) for text in texts)
    print(f"{arguments.out}: {vocabulary.size} tokens, {vocabulary.rows} rows; {before} characters are {after} tokens")


def _draw(rng: random.Random) -> Sample:
    return draw_sample(rng, "train", "video" if rng.random() < VIDEO_SHARE else "picture")[0]


def _texts(sample: Sample) -> list[str]:
    return [*(text for turn in sample.turns for text in (turn.question, turn.answer)), sample.system or ""]


if __name__ == "__main__":
    main()
