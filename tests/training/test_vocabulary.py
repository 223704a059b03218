"""The fast encoder and `tokenizer.json` are one tokenizer, and nothing that is encoded is lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend

from qwen3vl.prompt.tokenizer import Tokenizer
from support.tiny_training import vocabulary
from training.vocabulary import (
    CONTROL_TOKENS,
    FIRST_BYTE,
    IMAGE_PAD,
    ROLES,
    SPECIAL_TOKENS,
    TURN_END,
    Vocabulary,
    is_safe,
)

TEXTS = [
    "",
    "What color is it?",
    "What is the color",
    "Whatever: What i",
    " is the is the  bbb",
    "红色的，请。龙",
    "naïve £5 × 3 – “quoted” \U0001f600",
    "<|im_start|>user\n<think>a</think><tool_call>{}<|im_end|>\n<|not_special|>",
    '{"bbox_2d": [1, 2]}\t\r\n\x00\x7f',
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("vocabulary")
    vocabulary().save(path / "tokenizer.json")
    return path


def _random_texts() -> list[str]:
    rng, known = random.Random(3), vocabulary()
    pieces = [*SPECIAL_TOKENS, *known.fragments, *known.characters, *map(chr, range(32, 127)), "é", "龙", "\n", "😀"]
    return ["".join(rng.choices(pieces, k=rng.randint(1, 30))) for _ in range(400)]


def test_encodes_as_the_tokenizers_library(folder: Path) -> None:
    backend, known = Backend.from_file(str(folder / "tokenizer.json")), vocabulary()
    for text in [*TEXTS, *_random_texts()]:
        assert known.encode(text) == backend.encode(text, add_special_tokens=False).ids, text


def test_the_product_reads_it_back(folder: Path) -> None:
    tokenizer, known = Tokenizer.from_folder(folder), vocabulary()
    assert tokenizer.vocab_size == known.size
    assert tokenizer.control_ids == frozenset(range(len(CONTROL_TOKENS)))
    for text in [*TEXTS, *_random_texts()]:
        ids = known.encode(text)
        assert tokenizer.decode(ids, skip_special=False) == text
        stream = tokenizer.stream(skip_special=False)
        assert "".join(map(stream.step, ids)) + stream.flush() == text


def test_ids_follow_the_released_order() -> None:
    """Released ids less 151,643."""
    assert (TURN_END, IMAGE_PAD) == (151645 - 151643, 151655 - 151643)
    assert SPECIAL_TOKENS.index("<tool_call>") == 151657 - 151643
    assert SPECIAL_TOKENS.index("</think>") == 151668 - 151643
    assert vocabulary().encode("A") == [FIRST_BYTE + ord("A")]


def test_what_follows_a_role_starts_a_token() -> None:
    """A prompt ends with a role; the answer behind it must be the same tokens alone and in the whole conversation."""
    known = vocabulary()
    assert all(len(known.encode(role)) == 1 for role in ROLES)


def test_is_read_back_from_its_file(folder: Path) -> None:
    loaded, known = Vocabulary.load(folder / "tokenizer.json"), vocabulary()
    assert (loaded.characters, loaded.fragments, loaded.size) == (known.characters, known.fragments, known.size)
    assert known.rows % 64 == 0
    assert 0 <= known.rows - known.size < 64


@pytest.mark.parametrize(("token", "safe"), [("the", True), ("框", True), ("é", False), ("£5", False), ("，", True)])
def test_tokens_that_a_decoder_would_take_for_bytes_are_told(token: str, safe: bool) -> None:
    assert is_safe(token) == safe
