"""Text to draw: English and Chinese words, made-up words, codes, dates, prices.

Each word belongs to one split by its hash, so that a word drawn for "held_out" is never drawn for "train". The
characters of Chinese are shared (a character has to be learnt to be read); the words made of them are not.
"""

from __future__ import annotations

import lzma
import random
import string
import tomllib
import zlib
from functools import cache
from importlib import resources

from qwen3vl.drawn.sample import Split

HELD_OUT_SHARE = 8  # one word in eight
MADE_UP = 0.4
# fmt: off
ONSETS = (*"bcdfghjklmnprstvwz", "bl", "br", "ch", "cl", "cr", "dr", "fl", "fr", "gl", "gr", "kn", "pl", "pr", "qu",
          "sc", "sh", "sk", "sl", "sm", "sn", "sp", "st", "sw", "th", "tr", "wh")
VOWELS = (*"aeiouaeio", "ai", "ea", "ee", "ie", "oa", "oo", "ou", "y")
CODAS = (*"bdfgklmnprstx", "ck", "ct", "ft", "ld", "ll", "lt", "mp", "nd", "ng", "nk", "nt", "rd", "rk", "rm", "rn",
         "rt", "sh", "sk", "ss", "st", "th", "zz")
# fmt: on
CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
DOMAINS = ("com", "org", "net", "io", "cn", "de")


def split_of(word: str) -> Split:
    """Which split a word belongs to; case does not matter."""
    return "held_out" if zlib.crc32(word.lower().encode()) % HELD_OUT_SHARE == 0 else "train"


@cache
def _lines(name: str) -> tuple[str, ...]:
    packed = resources.files("qwen3vl.drawn").joinpath("data", name).read_bytes()
    return tuple(lzma.decompress(packed).decode().split("\n"))


@cache
def english(split: Split) -> tuple[str, ...]:
    return tuple(word for word in _lines("words_en.txt.xz") if split_of(word) == split)


@cache
def short_english(split: Split, longest: int) -> tuple[str, ...]:
    return tuple(word for word in english(split) if len(word) <= longest)


@cache
def chinese(split: Split) -> tuple[str, ...]:
    return tuple(word for word in _lines("words_zh.txt.xz")[1:] if split_of(word) == split)


@cache
def characters() -> str:
    """The Chinese characters that are drawn, most frequent first."""
    return _lines("words_zh.txt.xz")[0]


@cache
def pairs(group: str) -> tuple[tuple[str, str], ...]:
    """The words of one group of `data/vocabulary.toml`, each in English and Chinese; both splits use them."""
    text = resources.files("qwen3vl.drawn").joinpath("data", "vocabulary.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)[group].items())


class Words:
    """Draws text of one split from one random generator."""

    def __init__(self, rng: random.Random, split: Split) -> None:
        self.rng = rng
        self.split = split
        self._english = english(split)
        self._chinese = chinese(split)

    def word(self) -> str:
        """A lower-case English word, or, two times in five, one that looks like it but does not exist."""
        return self._made_up() if self.rng.random() < MADE_UP else self.rng.choice(self._english)

    def short(self, longest: int) -> str:
        """As `word`, of at most `longest` letters (three or more)."""
        if self.rng.random() < MADE_UP:
            return self._made_up(longest)
        return self.rng.choice(short_english(self.split, longest))

    def _made_up(self, longest: int = 10) -> str:
        while True:
            rng = self.rng
            parts = [rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(rng.choice((1, 2, 2, 3)))]
            word = "".join(parts) + (rng.choice(CODAS) if rng.random() < 0.6 else "")
            if 3 <= len(word) <= longest and split_of(word) == self.split:
                return word

    def cased(self) -> str:
        """A word as it stands in a text: lower case, Capitalised, UPPER, now and then a mIxed."""
        word, luck = self.word(), self.rng.random()
        if luck < 0.45:
            return word
        if luck < 0.83:
            return word.capitalize()
        if luck < 0.95:
            return word.upper()
        # An I among small letters is an l to the eye.
        return "".join(letter if letter == "i" else self.rng.choice((letter, letter.upper())) for letter in word)

    def token(self) -> str:
        """A cased word, or three times in ten a code, number, date, price or address."""
        return self.code() if self.rng.random() < 0.3 else self.cased()

    def phrase(self, low: int, high: int) -> str:
        """`low` to `high` words, the first with a capital: a title or a label."""
        return " ".join(self.word() for _ in range(self.rng.randint(low, high))).capitalize()

    def sentence(self, low: int, high: int) -> str:
        words = [self.word() for _ in range(self.rng.randint(low, high))]
        if len(words) > 4 and self.rng.random() < 0.3:
            words[self.rng.randint(1, len(words) - 3)] += ","
        return " ".join(words).capitalize() + self.rng.choice("...!?")

    def name(self) -> str:
        return f"{self.word().capitalize()} {self.word().capitalize()}"

    def zh(self, low: int = 2, high: int = 4) -> str:
        """`low` to `high` Chinese characters: words where they fit, else any characters side by side."""
        rng = self.rng
        length, text = rng.randint(low, high), ""
        while len(text) < length:
            rest = length - len(text)
            if rest >= 2 and rng.random() < 0.55:
                word = rng.choice(self._chinese)
            else:
                word = "".join(rng.choices(characters(), k=min(rest, 2)))
                if len(word) == 2 and split_of(word) != self.split:
                    continue
            text += word if len(word) <= rest else ""
        return text

    def zh_sentence(self, low: int, high: int) -> str:
        """Chinese text with a comma in long ones and a full stop."""
        length = self.rng.randint(low, high)
        if length < 9:
            return self.zh(length, length) + self.rng.choice("。！？")
        cut = self.rng.randint(3, length - 4)
        return f"{self.zh(cut, cut)}，{self.zh(length - cut, length - cut)}。"

    def number(self, digits: int = 4) -> str:
        return str(self.rng.randrange(10 ** self.rng.randint(1, digits)))

    def price(self, most: int = 999) -> str:
        return f"{self.rng.randint(0, most)}.{self.rng.randint(0, 99):02d}"

    def date(self) -> str:
        year, month, day = self.rng.randint(1990, 2035), self.rng.randint(1, 12), self.rng.randint(1, 28)
        return self.rng.choice(
            (f"{year}-{month:02d}-{day:02d}", f"{day}/{month}/{year}", f"{year}/{month:02d}/{day:02d}")
        )

    def clock(self) -> str:
        return f"{self.rng.randint(0, 23):02d}:{self.rng.randint(0, 59):02d}"

    def email(self) -> str:
        return f"{self.word()}@{self.word()}.{self.rng.choice(DOMAINS)}"

    def serial(self) -> str:
        """A short code of capitals and digits, such as K7-204."""
        rng = self.rng
        letters = "".join(rng.choices(CODE_LETTERS, k=rng.randint(1, 3)))
        return f"{letters}{rng.choice(('', '-', '-'))}{rng.randint(0, 9999)}"

    def code(self) -> str:
        rng, luck = self.rng, self.rng.random()
        if luck < 0.2:
            return self.serial()
        if luck < 0.3:
            return "".join(rng.choices(CODE_LETTERS + string.digits, k=rng.randint(4, 8)))
        if luck < 0.5:
            return self.number(6)
        if luck < 0.62:
            return self.date()
        if luck < 0.76:
            return rng.choice("$€£") + self.price()
        if luck < 0.84:
            return f"{rng.randint(1, 100)}%"
        if luck < 0.9:
            return self.clock()
        return self.email() if luck < 0.95 else f"www.{self.word()}.{rng.choice(DOMAINS)}"
