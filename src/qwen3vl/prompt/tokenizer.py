"""Text to token ids and back, whole or as a stream. Knows nothing of chats or pictures."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from pathlib import Path

import tokenizers
from tokenizers.decoders import ByteLevel

from qwen3vl.errors import CheckpointError, InputError


class Tokenizer:
    """A checkpoint's byte-level BPE tokenizer. Safe to share between threads.

    `control_ids` are the tokens that structure a prompt (turns, pictures) and carry no text of their own.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        if not isinstance(backend.decoder, ByteLevel):
            raise CheckpointError("the tokenizer is not byte-level; Qwen3-VL's is")
        self._backend = backend
        added = backend.get_added_tokens_decoder()
        self.control_ids = frozenset(id_ for id_, token in added.items() if token.special)
        # The longest first, so that a token that starts with another one is named in full.
        names = sorted((added[id_].content for id_ in self.control_ids), key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, names)) or r"(?!)")
        self._alphabet = _byte_alphabet()

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """Reads `folder/tokenizer.json`. Raises `CheckpointError`."""
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise CheckpointError(f"{folder} has no tokenizer.json")
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise CheckpointError(f"{path} is not a valid tokenizer: {error}") from error
        return cls(backend)

    @property
    def vocab_size(self) -> int:
        """Tokens that have a name. The embedding may have more rows: those are padding and decode to nothing."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; names of control tokens in it become those tokens. Raises `InputError` for half a
        surrogate pair, which JSON can spell and which is no character.
        """
        try:
            return list(self._backend.encode(text, add_special_tokens=False).ids)
        except TypeError as error:
            raise InputError(
                "the text holds half of a surrogate pair (such as \\ud800), which is no character"
            ) from error

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """Text of `ids`; bytes that are not UTF-8 become U+FFFD."""
        return str(self._backend.decode(list(ids), skip_special_tokens=skip_special))

    def stream(self, skip_special: bool = True) -> TokenStream:
        """A decoder for ids that arrive one by one."""
        return TokenStream(self, skip_special)

    def token_id(self, token: str) -> int | None:
        """The id of the token of this name, if there is one."""
        return self._backend.token_to_id(token)

    def token_text(self, id_: int) -> str:
        """The token alone as text, control tokens by name; part of a character shows as U+FFFD."""
        return self.token_bytes(id_).decode("utf-8", errors="replace")

    def token_bytes(self, id_: int) -> bytes:
        """What the token adds to the text, in bytes: the bytes of an answer's tokens, joined, are its text in UTF-8."""
        token = self._backend.id_to_token(id_)
        if token is None:
            return b""
        try:
            return bytes(self._alphabet[character] for character in token)
        except KeyError:  # an added token is stored as it reads, with blanks and all
            return token.encode()

    def find_control_token(self, text: str) -> str | None:
        """The first control token that `text` would become part of a prompt with, by name."""
        found = self._control.search(text)
        return found.group() if found else None

    def harmless(self, text: str) -> str:
        """`text` with a space in each control token: for what nobody can be asked to write another way."""
        while found := self._control.search(text):
            text = text.replace(found.group(), f"{found.group()[:1]} {found.group()[1:]}")
        return text


class TokenStream:
    """Turns token ids into text piece by piece and holds back a character until its last byte is there.

    The pieces and the flush, joined, equal `Tokenizer.decode` of all ids.
    """

    def __init__(self, tokenizer: Tokenizer, skip_special: bool) -> None:
        self._tokenizer = tokenizer
        self._skipped = tokenizer.control_ids if skip_special else frozenset()
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def step(self, id_: int) -> str:
        """The text that has become certain with this token; may be empty."""
        return "" if id_ in self._skipped else self._utf8.decode(self._tokenizer.token_bytes(id_))

    def flush(self) -> str:
        """What is left at the end: empty, or U+FFFD for a character that was never finished."""
        return self._utf8.decode(b"", final=True)


def _byte_alphabet() -> dict[str, int]:
    """How byte-level BPE writes the 256 bytes: printable ones as they are, the others as characters from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(hidden)}
