"""How people ask: the wordings of each question in English and Chinese, for training and held out.

The wordings stand in `wordings/train` and `wordings/held_out`, one table a question with a list of patterns in each
language. A pattern such as `"{How many|Count the} [things]{?|}"` offers alternatives in braces and names slots in
brackets. Knows nothing about answers.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from itertools import product

from qwen3vl.drawn.sample import Language, Split

_ALTERNATIVES = re.compile(r"\{([^{}]*)\}")
_SLOT = re.compile(r"\[([a-z_]+)\]")
_RAISED_SLOT = re.compile(r"\[[A-Z_]+\]")

POLITE: Mapping[tuple[Language, Split], tuple[str, ...]] = {
    ("en", "train"): ("Hi! {}", "{} Thanks!", "{} Thank you.", "Now: {}", "Question: {}", "Help me: {}"),
    ("en", "held_out"): ("Hey there. {}", "Next task. {}", "{} Thank you very much."),
    ("zh", "train"): ("请问，{}", "你好！{}", "{}谢谢！", "帮我看看：{}", "问题：{}"),
    ("zh", "held_out"): ("您好。{}", "下一个任务：{}", "{}非常感谢。"),
}


@cache
def _tables(split: Split) -> dict[str, dict[Language, tuple[str, ...]]]:
    tables: dict[str, dict[Language, tuple[str, ...]]] = {}
    folder = resources.files("qwen3vl.drawn").joinpath("wordings", split)
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        for key, languages in tomllib.loads(file.read_text(encoding="utf-8")).items():
            assert key not in tables, f"the question {key} is worded twice"
            tables[key] = {language: tuple(patterns) for language, patterns in languages.items()}
    return tables


def questions() -> tuple[str, ...]:
    """The keys of all worded questions."""
    return tuple(_tables("train"))


def patterns(key: str, language: Language, split: Split) -> tuple[str, ...]:
    return _tables(split)[key][language]


def expansions(pattern: str) -> Iterator[str]:
    """Every text that a pattern can become, its slots left as they are."""
    pieces = re.split(r"\{([^{}]*)\}", pattern)
    options = [piece.split("|") if i % 2 else [piece] for i, piece in enumerate(pieces)]
    return map("".join, product(*options))


def _one(rng: random.Random, key: str, language: Language, split: Split) -> str:
    return _ALTERNATIVES.sub(lambda match: rng.choice(match[1].split("|")), rng.choice(patterns(key, language, split)))


def fill(rng: random.Random, key: str, language: Language, split: Split, slots: Mapping[str, str]) -> str:
    """One wording with its slots filled, as it stands."""
    return _SLOT.sub(lambda match: slots[match[1]], _one(rng, key, language, split))


def phrase(rng: random.Random, key: str, language: Language, split: Split, slots: Mapping[str, str]) -> str:
    """One wording of a question with its slots filled, politely, tersely or carelessly, as people write."""
    text = _manner(rng, _one(rng, key, language, split), language, split)
    return _SLOT.sub(lambda match: slots[match[1]], text)


def _manner(rng: random.Random, text: str, language: Language, split: Split) -> str:
    luck = rng.random()
    if luck < 0.72:
        return text
    if luck < 0.84:
        if text.endswith(".") and not text.startswith(("I ", "I'")):
            return f"Please {text[0].lower()}{text[1:]}"
        if text.endswith("。"):
            return f"请{text.removeprefix('请')}"
        return rng.choice(POLITE[language, split]).format(text)
    text = text.rstrip("?.!。？！")
    if luck < 0.9:
        return text
    if luck < 0.97:
        return text.lower()
    return _RAISED_SLOT.sub(lambda match: match[0].lower(), text.upper())
