"""The usage ledger: a row a request, never changed, and sums of them."""

from __future__ import annotations

import time
from dataclasses import asdict, fields
from typing import Any, Literal

from sqlalchemy import ColumnElement, func, select

from qwen3vl.store.records import UsageRow, UsageTotal
from qwen3vl.store.sessions import Database
from qwen3vl.store.tables import LedgerEntry
from qwen3vl.store.text import storable

Grouping = Literal["key", "model", "task", "mode", "status", "endpoint"]


class Ledger:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, *rows: UsageRow) -> None:
        with self._database.writing() as session:
            session.add_all(
                LedgerEntry(**storable({**asdict(row), "created": row.created or time.time()})) for row in rows
            )

    def rows(
        self, *, key: str | None = None, since: float | None = None, until: float | None = None, limit: int = 100
    ) -> list[UsageRow]:
        """The newest rows first, of one key or of all, from `since` up to but not including `until`."""
        names = [field.name for field in fields(UsageRow)]
        chosen = select(LedgerEntry).where(*_chosen(key, since, until))
        with self._database.reading() as session:
            entries = session.scalars(chosen.order_by(LedgerEntry.created.desc(), LedgerEntry.id.desc()).limit(limit))
            return [UsageRow(**{name: getattr(entry, name) for name in names}) for entry in entries]

    def totals(
        self, by: Grouping = "model", *, key: str | None = None, since: float | None = None, until: float | None = None
    ) -> list[UsageTotal]:
        """Sums of the same rows, one for each value of the column `by`, in its order."""
        group = func.coalesce(getattr(LedgerEntry, by), "")
        sums: list[ColumnElement[Any]] = [
            func.coalesce(func.sum(column), 0)
            for column in (
                *(LedgerEntry.prompt_tokens, LedgerEntry.completion_tokens, LedgerEntry.cached_tokens),
                *(LedgerEntry.visual_tokens, LedgerEntry.total_seconds),
            )
        ]
        sums.append(func.sum(LedgerEntry.energy_joules))  # no sum, and not 0, where no row tells
        chosen = select(group, func.count(), *sums).where(*_chosen(key, since, until)).group_by(group).order_by(group)
        with self._database.reading() as session:
            return [UsageTotal(*row) for row in session.execute(chosen)]


def _chosen(key: str | None, since: float | None, until: float | None) -> list[ColumnElement[bool]]:
    chosen = []
    if key is not None:
        chosen.append(LedgerEntry.key == key)
    if since is not None:
        chosen.append(LedgerEntry.created >= since)
    if until is not None:
        chosen.append(LedgerEntry.created < until)
    return chosen
