"""The vocabulary of the small models: `tokenizer.json`, and an encoder of the same text that training can wait for.

It is byte-level BPE without merges: Qwen's special tokens, the 256 bytes, one token for each Chinese character that is
drawn, and fragments of questions and answers (`What is the `, `{"bbox_2d": [`), all of them "added tokens", which are
found from left to right, the longest first. Everything else, and so every word that a picture may show, is one token a
character: that is what lets a tiny model read words it has never seen. Knows nothing of pictures or conversations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

# As in the released tokenizer, in its order: the id of each is the released one less 151,643.
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)
END_OF_TEXT, TURN_START, TURN_END = (
    SPECIAL_TOKENS.index(f"<|{name}|>") for name in ("endoftext", "im_start", "im_end")
)
VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD = (
    SPECIAL_TOKENS.index(f"<|{name}|>") for name in ("vision_start", "vision_end", "image_pad", "video_pad")
)
# Those that structure a prompt and carry no text; the others are part of answers, and a decoder must not skip them.
CONTROL_TOKENS = SPECIAL_TOKENS[: SPECIAL_TOKENS.index("<tool_call>")]
FIRST_BYTE = len(SPECIAL_TOKENS)
ROLES = ("system\n", "user\n", "assistant\n")  # always one token: what follows starts a token of its own

_ROWS = 64  # the embedding's rows are a multiple of this, which matrix units like


class Vocabulary:
    """Text to token ids. Its `encode` is that of its `tokenizer_json`, at a tenth of the time."""

    def __init__(self, characters: Iterable[str], fragments: Iterable[str]) -> None:
        """`characters`: single ones that are a token each; `fragments`: longer texts that are. Order gives the ids."""
        self.characters = tuple(dict.fromkeys(characters))
        self.fragments = tuple(dict.fromkeys([*ROLES, *fragments]))
        assert all(len(character) == 1 and is_safe(character) for character in self.characters)
        assert all(len(fragment) > 1 and is_safe(fragment) for fragment in self.fragments)
        self._ids = {token: i for i, token in enumerate(SPECIAL_TOKENS)}
        self._ids |= {chr(byte): FIRST_BYTE + byte for byte in range(128)}
        added = (*self.characters, *self.fragments)
        self._ids |= {token: FIRST_BYTE + 256 + i for i, token in enumerate(added)}
        self._tokens = re.compile(_longest_first([*SPECIAL_TOKENS, *self.fragments]) + r"|[\s\S]")
        self.size = FIRST_BYTE + 256 + len(added)

    @property
    def rows(self) -> int:
        """Rows of the embedding: `size` and some that stay unused."""
        return -(-self.size // _ROWS) * _ROWS

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; names of special tokens in it become those tokens."""
        ids = []
        for token in self._tokens.findall(text):
            id_ = self._ids.get(token)
            if id_ is None:
                ids += [FIRST_BYTE + byte for byte in token.encode()]
            else:
                ids.append(id_)
        return ids

    def tokenizer_json(self) -> dict[str, Any]:
        """The content of `tokenizer.json`, for the tokenizers library."""
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

        names = {token: i for i, token in enumerate(SPECIAL_TOKENS)}
        names |= {character: FIRST_BYTE + byte for byte, character in enumerate(_byte_alphabet())}
        names |= {token: self._ids[token] for token in (*self.characters, *self.fragments)}
        assert len(names) == self.size
        tokenizer = Tokenizer(models.BPE(vocab=names, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in CONTROL_TOKENS])
        plain = (*SPECIAL_TOKENS[len(CONTROL_TOKENS) :], *self.characters, *self.fragments)
        tokenizer.add_tokens([AddedToken(token, normalized=False) for token in plain])
        content: dict[str, Any] = json.loads(tokenizer.to_str())
        return content

    def save(self, path: Path) -> None:
        """Writes `tokenizer.json`."""
        path.write_text(json.dumps(self.tokenizer_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Reads a `tokenizer.json` that `save` wrote."""
        added = json.loads(path.read_text(encoding="utf-8"))["added_tokens"]
        tokens = [token["content"] for token in added if token["id"] >= FIRST_BYTE + 256]
        return cls([token for token in tokens if len(token) == 1], [token for token in tokens if len(token) > 1])


def is_safe(token: str) -> bool:
    """Whether a decoder reads an added token back: characters that stand for bytes could become those bytes."""
    return token.isascii() or not set(token) & set(_byte_alphabet()[128:])


def _longest_first(tokens: Sequence[str]) -> str:
    """A pattern that finds the longest of `tokens` at a place: a tree of their beginnings, so that its cost does not
    grow with their number."""
    rests: dict[str, list[str]] = {}
    for token in sorted(filter(None, tokens)):
        rests.setdefault(token[0], []).append(token[1:])
    branches = "|".join(re.escape(first) + _longest_first(rest) for first, rest in rests.items())
    if not branches:
        return ""
    return f"(?:{branches}){'?' if '' in tokens else ''}"


def _byte_alphabet() -> list[str]:
    """The character as which byte-level BPE writes each of the 256 bytes: itself if it is printable."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    hidden = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(hidden)) for byte in range(256)]
