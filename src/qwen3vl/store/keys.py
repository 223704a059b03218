"""API keys, by the hash of their secret. Who makes secrets and checks scopes is the server."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable

from sqlalchemy import select

from qwen3vl.errors import InputError
from qwen3vl.store.records import Key
from qwen3vl.store.sessions import Database
from qwen3vl.store.tables import KeyRow
from qwen3vl.store.text import check_storable


class Keys:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, hash: str, *, name: str, scopes: Iterable[str], rate: int | None = None) -> Key:
        """`rate` is requests a minute, None for no limit. Raises `InputError` for a hash that is there already."""
        check_storable(name, "the name of the key")
        row = KeyRow(
            id=uuid.uuid4().hex[:16],
            hash=hash,
            name=name,
            scopes=sorted(set(scopes)),
            rate=rate,
            created=time.time(),
            revoked=None,
        )
        with self._database.writing() as session:
            if session.scalar(select(KeyRow.id).where(KeyRow.hash == hash)) is not None:
                raise InputError("there is a key with this hash already")
            session.add(row)
            return _record(row)

    def find(self, hash: str) -> Key | None:
        """The key with that hash, also one that was revoked."""
        with self._database.reading() as session:
            row = session.scalars(select(KeyRow).where(KeyRow.hash == hash)).one_or_none()
            return None if row is None else _record(row)

    def list(self) -> list[Key]:
        """Oldest first, the revoked ones too."""
        with self._database.reading() as session:
            return [_record(row) for row in session.scalars(select(KeyRow).order_by(KeyRow.created, KeyRow.id))]

    def revoke(self, key: str) -> Key | None:
        """The key as it is now, revoked; its first revocation counts. None if there is none."""
        with self._database.writing() as session:
            row = session.get(KeyRow, key)
            if row is None:
                return None
            row.revoked = row.revoked or time.time()
            return _record(row)


def _record(row: KeyRow) -> Key:
    return Key(row.id, row.name, tuple(row.scopes), row.rate, row.created, row.revoked)
