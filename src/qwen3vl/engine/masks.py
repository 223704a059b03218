"""Which tokens the grammars of a step allow, worked out in a thread of its own while the network computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Items
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from qwen3vl.engine.grammar import Bits, Constraint, GrammarError
from qwen3vl.engine.sequence import Sequence

Allowed = dict[int, Bits]  # by row
Errors = dict[int, GrammarError]


@dataclass(frozen=True)
class Pending:
    """What is being worked out: nothing, for a step without grammars."""

    work: Future[tuple[Allowed, Errors]] | None = field(default=None)

    def wait(self) -> tuple[Allowed, Errors]:
        return self.work.result() if self.work else ({}, {})


class MaskWriter:
    """One thread, started with the first grammar. llguidance computes outside the interpreter's lock."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="qwen3vl-grammar")

    def begin(self, drafted: Iterable[tuple[Sequence, Items[int]]]) -> Pending:
        """Begins with the rows that are under a grammar: one for each sequence, and one for each token of a draft
        behind it. The constraints must not be used until `wait` has returned.
        """
        rows: list[tuple[int, Constraint, Items[int]]] = []
        first = 0
        for sequence, draft in drafted:
            if sequence.constraint is not None and (draft or sequence.constraint.active):
                rows.append((first, sequence.constraint, draft))
            first += 1 + len(draft)
        return Pending(self._pool.submit(_write, rows)) if rows else Pending()

    def close(self) -> None:
        self._pool.shutdown(wait=True)


def _write(rows: list[tuple[int, Constraint, Items[int]]]) -> tuple[Allowed, Errors]:
    allowed: Allowed = {}
    errors: Errors = {}
    for first, constraint, draft in rows:
        for row, each in enumerate(_along(constraint, draft), first):
            try:
                if each.active:
                    allowed[row] = each.allowed()
            except GrammarError as error:
                errors[row] = error
                break
    return allowed, errors


def _along(constraint: Constraint, draft: Items[int]) -> Iterator[Constraint]:
    """The constraint now and after each token of the draft, up to one that cannot be or that ends the answer: what
    stands behind that is never looked at.
    """
    yield constraint
    ahead = constraint.copy() if draft else constraint
    for token_id in draft:
        try:
            ahead.take(token_id)
        except GrammarError:
            return
        if ahead.finished:
            return
        yield ahead
