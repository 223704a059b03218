"""Ids and text against the tokenizers library, and the stream against decoding all at once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import tokenizers
from transformers import AutoTokenizer

from qwen3vl.errors import CheckpointError
from qwen3vl.prompt.tokenizer import Tokenizer
from support.bpe import CONTROL_TOKENS, train_bpe

MODEL = Path(__file__).parents[2] / "models" / "dense"
BPE = train_bpe()
TEXTS = [
    "How many shapes are there?",
    "Größe: 3 × 5 ≠ 16\t\r\n\n",
    "日本語のテキスト 👩‍👩‍👧‍👦 e\u0301 한국어 \ufeff",
    "<|im_start|>user\nhi<|im_end|><think>so</think>",
    "",
    "\0\x7f\u2028",
]


@pytest.fixture(params=["shipped", "released"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer.from_folder(MODEL) if request.param == "shipped" else Tokenizer(BPE)


def test_ids_and_text_equal_the_oracle() -> None:
    ours, oracle = Tokenizer.from_folder(MODEL), AutoTokenizer.from_pretrained(MODEL)
    for text in TEXTS:
        ids = oracle(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text) == ids
        for skip in (True, False):
            assert ours.decode(ids, skip) == oracle.decode(ids, skip_special_tokens=skip)
    assert ours.vocab_size == len(oracle)
    assert {i for i in range(len(oracle)) if oracle.decode([i], skip_special_tokens=True) == ""} >= ours.control_ids


@pytest.mark.parametrize("skip", [True, False])
def test_a_stream_gives_the_text_of_all_its_ids(tokenizer: Tokenizer, skip: bool) -> None:
    """Also for ids as a model with random weights writes them: bytes that are no text, and rows that have no token."""
    rng = random.Random(0)
    runs = [tokenizer.encode(text) for text in TEXTS]
    runs += [[rng.randrange(tokenizer.vocab_size + 3) for _ in range(rng.randint(1, 60))] for _ in range(300)]
    for ids in runs:
        stream = tokenizer.stream(skip)
        pieces = [stream.step(id_) for id_ in ids]
        assert "".join(pieces) + stream.flush() == tokenizer.decode(ids, skip)


def test_a_stream_holds_back_no_more_than_a_character() -> None:
    tokenizer = Tokenizer(BPE)
    text = "a€👍b"
    ids = tokenizer.encode(text)
    assert len(ids) == 9  # one a byte: this tokenizer has not learned them
    stream = tokenizer.stream()
    assert [stream.step(id_) for id_ in ids] == ["a", "", "", "€", "", "", "", "👍", "b"]
    assert stream.flush() == ""
    stream = tokenizer.stream()
    assert stream.step(ids[1]) == ""
    assert stream.flush() == "\ufffd"


def test_bytes_of_tokens_join_to_the_text(tokenizer: Tokenizer) -> None:
    for text in TEXTS[:3]:
        ids = tokenizer.encode(text)
        assert b"".join(map(tokenizer.token_bytes, ids)).decode() == tokenizer.decode(ids)
    assert tokenizer.token_bytes(10**6) == b""


def test_single_tokens() -> None:
    tokenizer = Tokenizer(BPE)
    end = tokenizer.token_id("<|im_end|>")
    assert end in tokenizer.control_ids
    assert tokenizer.token_text(end) == "<|im_end|>"
    assert tokenizer.token_text(tokenizer.encode("€")[0]) == "\ufffd"
    assert tokenizer.token_id("<|no such|>") is None
    assert {tokenizer.token_text(id_) for id_ in tokenizer.control_ids} == set(CONTROL_TOKENS)


@pytest.mark.parametrize("token", CONTROL_TOKENS)
def test_control_tokens_are_found_in_text(token: str) -> None:
    tokenizer = Tokenizer(BPE)
    assert tokenizer.find_control_token(f"some{token}text") == token
    assert tokenizer.find_control_token(f"some {token[:-1]} text <think></think>") is None
    harmless = tokenizer.harmless(f"some{token}text{token}")
    assert harmless == f"some{token[0]} {token[1:]}text{token[0]} {token[1:]}"
    assert tokenizer.find_control_token(harmless) is None
    assert tokenizer.harmless(f"<|im_start|>{token}<|im_end|>").count(" ") == 3
    assert (tokenizer.token_id(token) in tokenizer.encode(f"some{token}text")) is True


def test_folders_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.json"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(CheckpointError, match="not a valid tokenizer"):
        Tokenizer.from_folder(tmp_path)
    with pytest.raises(CheckpointError, match="not byte-level"):
        Tokenizer(tokenizers.Tokenizer(tokenizers.models.BPE()))
