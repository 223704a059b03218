"""How long the store takes, on SQLite in a temporary folder: searching among many conversations, listing, writing.

python benchmarks/store.py [--conversations 1000] [--messages 10] [--words 120]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import insert

from qwen3vl.store import Store
from qwen3vl.store.sessions import Database
from qwen3vl.store.tables import MessageRow
from qwen3vl.store.text import fold

SYLLABLES = [consonant + vowel for consonant in "bcdfgklmnprst" for vowel in "aeiou"]
HANZI = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方学法所"
)


def fill(url: str, media: Path, conversations: int, messages: int, words: int) -> int:
    """Half of them English, half Chinese. Returns the characters of all messages."""
    draw = random.Random(0)
    characters = 0
    with Store.open(url, media) as store:
        database = Database(url)
        for number in range(conversations):
            chinese = number % 2 == 1
            one = store.conversations.create(title=f"{sentence(draw, 5, chinese)} {number}")
            rows = []
            for i in range(messages):
                text = sentence(draw, words, chinese)
                characters += len(text)
                rows.append(
                    {
                        **{
                            "conversation": one.id,
                            "parent": None,
                            "created": float(i),
                            "state": "done",
                            "thinking": "",
                        },
                        **{"role": "user", "text": text, "searchable": fold(text)},
                        "content": [{"type": "text", "text": text}],
                    }
                )
            with database.writing() as session:
                session.execute(insert(MessageRow), rows)
        database.close()
    return characters


def sentence(draw: random.Random, words: int, chinese: bool) -> str:
    if chinese:
        return "".join(draw.choices(HANZI, k=words * 3))
    return " ".join("".join(draw.choices(SYLLABLES, k=draw.randint(1, 4))) for _ in range(words)).capitalize()


def milliseconds(work: Callable[[], object], times: int = 20) -> str:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1000)
    return f"{statistics.median(taken):8.2f} ms   (longest of {times}: {max(taken):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--conversations", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=10, help="of each conversation")
    parser.add_argument("--words", type=int, default=120, help="of each message")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url, media = f"sqlite:///{folder}/store.db", Path(folder) / "media"
        characters = fill(url, media, given.conversations, given.messages, given.words)
        print(f"{given.conversations} conversations of {given.messages} messages, {characters / 1e6:.1f} M characters")
        with Store.open(url, media) as store:
            for name, query in (
                ("a word that is nowhere", "xyzzy"),
                ("a rare part of a word", "babebibobu"),
                ("a common part of a word", "mi"),
                ("parts of two words", "gami nulo"),
                ("two Chinese characters", "学法"),
                ("nothing: the newest 50", ""),
            ):
                print(f"{name:28}{milliseconds(lambda query=query: store.conversations.list('', query=query))}")  # type: ignore[misc]
            one = store.conversations.list("").items[0]
            print(f"{'one conversation':28}{milliseconds(lambda: store.messages.tree(one.id))}")
            question = store.messages.tree(one.id)[0].id
            answer = store.messages.add_answer(one.id, question, {})
            print(f"{'a piece of an answer':28}{milliseconds(lambda: store.messages.append(answer.id, 'word '), 200)}")
            whole = "word " * 10_000
            print(f"{'the end of an answer':28}{milliseconds(lambda: store.messages.finish(answer.id, 'done', whole))}")


if __name__ == "__main__":
    main()
