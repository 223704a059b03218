"""Structured output: a grammar that an answer must follow, and which tokens it allows next.

llguidance does the parsing. Knows nothing of logits, batches or devices: a constraint says bits, which the sampler
applies.
"""

from __future__ import annotations

import copy
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from qwen3vl.errors import InputError
from qwen3vl.prompt.tokenizer import Tokenizer

GrammarKind = Literal["json_schema", "regex", "lark"]
Bits = NDArray[np.int32]  # [ceil(vocabulary / 32)], least significant bit first; 1: allowed

MAX_SOURCE = 64 * 1024  # characters of a grammar
MAX_COUNT = 10_000  # in a regular expression: at ten times as much a token takes 50 ms
_COUNT = re.compile(r"(?:\{|,)\s*(\d{4,})\s*(?=[,}])")
_STACK = 256 * 2**20  # bytes: rules that refer to each other in a long chain are followed recursively, without a limit
_KEPT = 64  # compiled grammars, for those who ask the same thing again
# Between two JSON tokens: a blank, or a new line with its indentation. Models that may write any number of blanks
# sometimes do nothing else.
_JSON_BLANKS = r"(\x20|\x0A[\x20\x09]{0,24})?"
_THOUGHT_OPEN, _THOUGHT_CLOSE = "<think>", b"</think>"
_stack_size = threading.Lock()
_MOST_BLANKS = 4  # tokens of blanks between a thought and what the grammar asks for


@dataclass(frozen=True)
class Grammar:
    """What an answer must be: JSON of a schema (`source` is the schema as JSON), a match of a regular expression, or a
    sentence of a grammar in llguidance's dialect of Lark. Where the prompt opens a thought, it holds after `</think>`.

    Raises `InputError` for an unknown kind, and for a source that is empty or too long; whether it compiles is known
    when a request is prepared.
    """

    kind: GrammarKind
    source: str

    def __post_init__(self) -> None:
        if self.kind not in get_args(GrammarKind):
            raise InputError(f"a grammar is one of {', '.join(map(repr, get_args(GrammarKind)))}, not {self.kind!r}")
        if not isinstance(self.source, str) or not self.source.strip():
            raise InputError(f"a grammar of kind {self.kind!r} needs a source, as text")
        if len(self.source) > MAX_SOURCE:
            raise InputError(f"a grammar of {len(self.source):,} characters is too long; {MAX_SOURCE:,} are allowed")

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any]) -> Grammar:
        return cls("json_schema", json.dumps(schema, ensure_ascii=False))


class GrammarError(InputError):
    """A grammar that cannot be compiled, or that became too complex for what the answer would have to be."""


class GrammarCompiler:
    """Compiles grammars for one checkpoint's tokens, and keeps the latest. Safe to use from many threads."""

    def __init__(self, tokenizer: Tokenizer, rows: int, eos_token_ids: Sequence[int]) -> None:
        """`rows`: of the logits. Those past the tokenizer's last token are never allowed."""
        self._tokenizer, self._rows, self._eos = tokenizer, rows, list(eos_token_ids)
        self._lock = threading.Lock()
        self._compiled: OrderedDict[Grammar, LLMatcher] = OrderedDict()

    @property
    def words(self) -> int:
        """Length of `Bits`."""
        return -(-self._rows // 32)

    def compile(self, grammar: Grammar) -> None:
        """Makes sure that `constraint` will be quick. Raises `GrammarError` that says what is wrong with the source.

        The first grammar takes a second for a vocabulary of 150,000; each takes at most some tens of milliseconds more.
        """
        self._matcher(grammar)
        _ = self._blanks

    def constraint(self, grammar: Grammar, prompt_ids: Sequence[int]) -> Constraint:
        """What `grammar` means for one answer to a prompt."""
        thinking = self._tokenizer.decode(prompt_ids[-8:], skip_special=False).rstrip().endswith(_THOUGHT_OPEN)
        return Constraint(self._matcher(grammar).deep_copy(), self._tokenizer, self._blanks, thinking=thinking)

    def _matcher(self, grammar: Grammar) -> LLMatcher:
        with self._lock:
            if grammar in self._compiled:
                self._compiled.move_to_end(grammar)
                return self._compiled[grammar]
        matcher = self._compile(_source(grammar))
        if matcher.is_error():
            raise GrammarError(f"the {_NAMES[grammar.kind]} cannot be used: {_first_line(matcher.get_error())}")
        with self._lock:
            self._compiled[grammar] = matcher
            if len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        return matcher

    def _compile(self, source: str) -> LLMatcher:
        """In a thread with a deep stack. The first mask, which can take longest, is computed here and not in a step."""
        done: list[LLMatcher] = []

        def compile() -> None:
            matcher = LLMatcher(self._tokens, source, log_level=0)
            if not matcher.is_error():
                matcher.compute_bitmask()
            done.append(matcher)

        with _stack_size:
            before = threading.stack_size(_STACK)
            try:
                thread = threading.Thread(target=compile, name="qwen3vl-compile")
                thread.start()
            finally:
                threading.stack_size(before)
        thread.join()
        return done[0]

    @cached_property
    def _tokens(self) -> LLTokenizer:
        return LLTokenizer(
            TokenizerWrapper(_Vocabulary(self._tokenizer, self._rows, self._eos[0])), eos_token=self._eos
        )

    @cached_property
    def _blanks(self) -> Bits:
        """The tokens that are nothing but blanks."""
        allowed = np.zeros(self.words * 32, dtype=np.uint8)
        named = range(min(self._rows, self._tokenizer.vocab_size))
        allowed[[i for i in named if _is_blank(self._tokenizer.token_bytes(i))]] = 1
        return np.packbits(allowed, bitorder="little").view(np.int32)


class Constraint:
    """Where one answer stands in its grammar. Belongs to one sequence; one thread at a time."""

    def __init__(self, matcher: LLMatcher, tokenizer: Tokenizer, blanks: Bits, *, thinking: bool) -> None:
        self._matcher, self._tokenizer, self._blanks = matcher, tokenizer, blanks
        self._tail: bytes | None = b"" if thinking else None  # of the thought, while it goes on
        self._blanks_left = _MOST_BLANKS if thinking else 0

    @property
    def active(self) -> bool:
        """False while the answer thinks, where everything is allowed."""
        return self._tail is None

    @property
    def finished(self) -> bool:
        """Whether nothing more may follow."""
        return self.active and self._matcher.is_stopped()

    def allowed(self) -> Bits:
        """Which tokens may come next. Raises `GrammarError` when that cannot be said, or none can."""
        bits = np.zeros_like(self._blanks)
        self._matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
        self._check()
        if self._blanks_left:
            np.bitwise_or(bits, self._blanks, out=bits)
        if not bits.any():
            raise GrammarError("no token of this model can continue what the grammar asks for here")
        return bits

    def copy(self) -> Constraint:
        """One that stands where this one does, and goes on by itself."""
        other = copy.copy(self)
        other._matcher = self._matcher.deep_copy()
        return other

    def accepts(self, token_ids: Sequence[int]) -> int:
        """How many of the tokens, one after another, may come; where that is not known yet, all."""
        return self._matcher.validate_tokens(list(token_ids)) if self.active else len(token_ids)

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GrammarError(f"the grammar failed in this answer: {_first_line(self._matcher.get_error())}")
        if self._matcher.is_stopped() and not self._matcher.is_accepting():
            raise GrammarError("the grammar led into a dead end: no text can fulfil what it asks for here")

    def take(self, token_id: int) -> None:
        """Notes the token that was chosen. Raises `GrammarError` when it led into a dead end."""
        if self._tail is not None:
            self._think(self._tail, self._tokenizer.token_bytes(token_id))
        elif self._blanks_left and not self._matcher.validate_tokens([token_id]):
            self._blanks_left -= 1  # a blank that only stands between
        else:
            self._blanks_left = 0
            self._matcher.consume_token(token_id)
            if self._matcher.is_stopped() and self._matcher.stop_reason() != "EndOfSentence":
                self._check()

    def _think(self, tail: bytes, new: bytes) -> None:
        """The tag may be spelled in pieces; one whose end is not a token's end leaves the rest to the grammar."""
        before, tag, rest = (tail + new).partition(_THOUGHT_CLOSE)
        if not tag:
            self._tail = before[1 - len(_THOUGHT_CLOSE) :]
            return
        self._tail = None
        if begun := rest.decode("utf-8", errors="replace").lstrip():
            tokens = self._tokenizer.encode(begun)
            if self._matcher.try_consume_tokens(tokens) < len(tokens):
                raise GrammarError(f"the answer began with {begun!r} in the token that ended the thought")


class _Vocabulary:
    """The tokens as llguidance takes them: with the very bytes that this engine writes for them."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, rows: int, eos_token_id: int) -> None:
        named = min(rows, tokenizer.vocab_size)
        self.tokens = [tokenizer.token_bytes(i) for i in range(named)] + [b""] * (rows - named)
        self.special_token_ids = sorted(i for i in tokenizer.control_ids if i < rows)
        self.eos_token_id = eos_token_id
        self._tokenizer = tokenizer

    def __call__(self, text: str | bytes) -> list[int]:
        return self._tokenizer.encode(text if isinstance(text, str) else text.decode("utf-8", errors="replace"))


_NAMES: Mapping[GrammarKind, str] = {
    "json_schema": "JSON schema",
    "regex": "regular expression",
    "lark": "Lark grammar",
}


def _source(grammar: Grammar) -> str:
    """llguidance's own form. Raises `GrammarError` for what is no schema, and for counts that would hold up a batch."""
    if grammar.kind != "json_schema":
        _check_counts(grammar.source)
    if grammar.kind == "regex":
        return LLMatcher.grammar_from_regex(grammar.source)
    if grammar.kind == "lark":
        return LLMatcher.grammar_from_lark(grammar.source)
    try:
        schema = json.loads(grammar.source)
    except (ValueError, RecursionError) as error:
        raise GrammarError(f"the JSON schema is not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise GrammarError(f"a JSON schema is an object, not {type(schema).__name__}")
    for pattern in _patterns(schema):
        _check_counts(pattern)
    try:
        return LLMatcher.grammar_from_json_schema(schema, defaults={"whitespace_pattern": _JSON_BLANKS})
    except ValueError as error:
        raise GrammarError(f"the JSON schema cannot be used: {error}") from error


def _patterns(value: Any) -> Iterator[str]:
    """Every regular expression of a schema."""
    if isinstance(value, dict):
        if isinstance(pattern := value.get("pattern"), str):
            yield pattern
        if isinstance(named := value.get("patternProperties"), dict):
            yield from named
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _patterns(part)


def _check_counts(expression: str) -> None:
    for count in _COUNT.findall(expression):
        if len(count) > len(str(MAX_COUNT)) or int(count) > MAX_COUNT:
            raise GrammarError(f"a regular expression may count up to {MAX_COUNT:,}, not {count[:20]}")


def _is_blank(token: bytes) -> bool:
    return bool(token) and not token.strip(b" \t\r\n")


def _first_line(message: str) -> str:
    first = message.strip().partition("\n")[0]
    return "no text can fulfil it" if first.startswith("NoExtension") else first
