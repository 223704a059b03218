"""The ledger's rows are gathered, and none is missing for who asks, or at the end."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from qwen3vl.server import serving
from qwen3vl.server.serving import Books
from qwen3vl.store import Store
from qwen3vl.store.ledger import Ledger
from qwen3vl.store.records import UsageRow


class Counting:
    """A ledger that notes how many rows each transaction had."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self.sizes = ledger, list[int]()

    def add(self, *rows: UsageRow) -> None:
        self.sizes.append(len(rows))
        self._ledger.add(*rows)

    def rows(self, **chosen: Any) -> list[UsageRow]:
        return self._ledger.rows(**chosen)


def row(number: int) -> UsageRow:
    return UsageRow(None, "/v1/chat/completions", "m", "chat", "full", "ok", prompt_tokens=number)


def test_rows_are_gathered_and_none_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_GATHER_SECONDS", 60)
    with Store.open(f"sqlite:///{tmp_path}/store.db", tmp_path / "media") as store:
        ledger = Counting(store.ledger)
        books = Books(ledger)  # type: ignore[arg-type]  # does the same
        for number in range(40):
            books.add(row(number))
        started = time.monotonic()
        found = asyncio.run(books.read(lambda each: each.rows()))
        assert time.monotonic() - started < 30  # who asks does not wait for others
        assert [each.prompt_tokens for each in found] == list(reversed(range(40)))
        assert len(ledger.sizes) <= 3
        for number in range(5):
            books.add(row(number))
        books.close()
        assert len(store.ledger.rows()) == 45
