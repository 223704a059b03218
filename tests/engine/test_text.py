"""Stop strings in text that comes in pieces: the reader never sees one, nor its beginning, and loses nothing else."""

from __future__ import annotations

import pytest

from qwen3vl.engine.text import OutputText
from qwen3vl.prompt.tokenizer import Tokenizer
from support.tiny import SHIPPED


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_folder(SHIPPED / "moe")


def read(tokenizer: Tokenizer, text: str, *stop: str) -> tuple[list[str], bool]:
    output = OutputText(tokenizer, stop)
    pieces = []
    for token in tokenizer.encode(text):
        pieces.append(output.add(token))
        if output.stopped:
            return pieces, True
    pieces.append(output.finish())
    return pieces, output.stopped


@pytest.mark.parametrize(
    ("text", "stop", "seen"),
    [
        ("one two three", ("two",), "one "),
        ("aababc and", ("abc",), "aab"),
        ("ends with ab", ("abc",), "ends with ab"),
        ("first", ("zzz", "rs", "irs"), "f"),
        ("日本 ok", ("本",), "日"),
        ("nothing to stop", (), "nothing to stop"),
    ],
)
def test_text_before_the_first_stop_string(tokenizer: Tokenizer, text: str, stop: tuple[str, ...], seen: str) -> None:
    pieces, stopped = read(tokenizer, text, *stop)
    assert "".join(pieces) == seen
    assert stopped == (seen != text)


def test_only_what_may_begin_a_stop_string_is_held_back(tokenizer: Tokenizer) -> None:
    output = OutputText(tokenizer, ("xyz",))
    sent = [output.add(token) for token in tokenizer.encode("q x xy!")]
    assert sent == ["q", " ", "", "x ", "", "", "xy!"]


def test_a_character_is_sent_whole(tokenizer: Tokenizer) -> None:
    pieces, _ = read(tokenizer, "é日😀")
    assert [piece for piece in pieces if piece] == ["é", "日", "😀"]
