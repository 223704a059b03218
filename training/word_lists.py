"""Makes the two word lists that `qwen3vl.drawn` ships.

    python -m training.word_lists english.txt jieba_dict.txt src/qwen3vl/drawn/data

English: a list with one word a line (Debian's `wamerican-small`, made from SCOWL). Chinese: the dictionary of jieba
(lines of word, frequency, part of speech); its frequencies rank the characters of GB2312's first level. Kept are the
most frequent ones, those that the questions, answers and screens of `qwen3vl.drawn` themselves are written in, and
frequent words made of them. What is drawn is the list, so it is short, common and ASCII or Han only.
"""

from __future__ import annotations

import lzma
import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

CHARACTERS = 1280  # the most frequent ones
CHINESE_WORDS = 6000
LONGEST_ENGLISH = 11
NAMES = {"nr", "ns", "nt"}  # people, places, organisations
FIRST_LEVEL_ROWS = range(0xB0, 0xD8)  # GB2312 rows 16 to 55, the common characters

# Words that nobody wants to find in a demo picture, by stem.
UNWANTED = re.compile(
    r"^(nigg|fag|cunt|fuck|shit|whor|slut|rap(e[drs]?|ing|ist)|naz|bitch|piss|cock|dick|tits?$|porn|sex|kike|chink|lynch)"
)


def english_words(text: str) -> list[str]:
    words = {line for line in text.split() if re.fullmatch(rf"[a-z]{{2,{LONGEST_ENGLISH}}}", line)}
    return sorted(word for word in words if not UNWANTED.match(word))


def first_level() -> set[str]:
    """The 3,755 characters of GB2312 level 1."""
    codes = (bytes((row, cell)) for row in FIRST_LEVEL_ROWS for cell in range(0xA1, 0xFF))
    return {text for code in codes if (text := code.decode("gb2312", errors="ignore"))}


def written(package: Path) -> set[str]:
    """The Chinese characters in the package's own sources and wordings."""
    files = (*package.glob("*.py"), *package.glob("*/*.toml"))
    return {sign for file in files for sign in file.read_text(encoding="utf-8") if "\u4e00" <= sign <= "\u9fff"}


def chinese(text: str, needed: set[str]) -> tuple[str, list[str]]:
    """The characters, most frequent first, and the words of two to four of them."""
    rows = [line.split() for line in text.splitlines()]
    entries = [(word, int(count), kind[:2]) for word, count, kind in rows]
    allowed, frequency = first_level() | needed, Counter[str](dict.fromkeys(needed, 0))
    for word, count, _ in entries:
        for character in word:
            if character in allowed:
                frequency[character] += count
    ranked = [character for character, _ in frequency.most_common()]
    characters = "".join(c for i, c in enumerate(ranked) if i < CHARACTERS or c in needed)
    kept = sorted(
        (-count, word)
        for word, count, kind in entries
        if 2 <= len(word) <= 4 and kind not in NAMES and set(word) <= set(characters)
    )
    return characters, sorted(word for _, word in kept[:CHINESE_WORDS])


def main(english: Path, jieba: Path, out: Annotated[Path, typer.Argument(file_okay=False)]) -> None:
    characters, words = chinese(jieba.read_text(encoding="utf-8"), written(out.parent))
    lists = {"en": english_words(english.read_text(encoding="utf-8")), "zh": [characters, *words]}
    out.mkdir(parents=True, exist_ok=True)
    for name, lines in lists.items():
        path = out / f"words_{name}.txt.xz"
        path.write_bytes(lzma.compress("\n".join(lines).encode(), preset=9 | lzma.PRESET_EXTREME))
        print(f"{path}: {len(lines)} lines, {path.stat().st_size} bytes")


if __name__ == "__main__":
    typer.run(main)
