"""Brings a database to the tables of this version of the program: made new if it is empty, else changed step by step.

Only forward. All steps of one opening are one transaction: a database is of the old version or of the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, inspect, select

from qwen3vl.errors import StoreError
from qwen3vl.store.sessions import Database
from qwen3vl.store.tables import Base, SchemaVersion

Step = Callable[[Connection], None]

# STEPS[n - 1] makes version n + 1 of version n. A step is plain SQL for both databases and never changes again.
STEPS: Sequence[Step] = ()


def migrate(database: Database, steps: Sequence[Step] = STEPS) -> None:
    """Raises `StoreError` for a database of a later version of the program."""
    newest = len(steps) + 1
    with database.writing(lock="schema") as session:
        connection = session.connection()
        if not inspect(connection).has_table(SchemaVersion.__tablename__):
            Base.metadata.create_all(connection)
            session.add(SchemaVersion(version=newest))
            return
        stored = session.scalars(select(SchemaVersion)).one()
        if stored.version > newest:
            raise StoreError(
                f"the database is of version {stored.version}, and this program knows up to {newest}; "
                "use the newer program that made it"
            )
        for step in steps[stored.version - 1 :]:
            step(connection)
        stored.version = newest
