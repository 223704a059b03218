"""Which tokens the grammars of a step allow, worked out in a thread of its own while the network computes."""

from __future__ import annotations

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

    def begin(self, sequences: Items[Sequence]) -> Pending:
        """Begins with the rows, one for each of `sequences`, that are under a grammar now. Their constraints must not
        be used until `wait` has returned.
        """
        active = {
            row: sequence.constraint
            for row, sequence in enumerate(sequences)
            if sequence.constraint is not None and sequence.constraint.active
        }
        return Pending(self._pool.submit(_write, active)) if active else Pending()

    def close(self) -> None:
        self._pool.shutdown(wait=True)


def _write(active: dict[int, Constraint]) -> tuple[Allowed, Errors]:
    allowed: Allowed = {}
    errors: Errors = {}
    for row, constraint in active.items():
        try:
            allowed[row] = constraint.allowed()
        except GrammarError as error:
            errors[row] = error
    return allowed, errors
