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


def _video_indexes(connection: Connection) -> None:
    for statement in (
        "CREATE TABLE video_indexes (id VARCHAR(32) NOT NULL, owner VARCHAR(64) NOT NULL, sha256 VARCHAR(64) NOT NULL, "
        "name TEXT NOT NULL, settings JSON NOT NULL, state VARCHAR(16) NOT NULL, error TEXT NOT NULL, chapters JSON, "
        "created FLOAT NOT NULL, CONSTRAINT pk_video_indexes PRIMARY KEY (id), "
        "CONSTRAINT fk_video_indexes_sha256 FOREIGN KEY(sha256) REFERENCES media (sha256))",
        "CREATE INDEX ix_video_indexes_owner ON video_indexes (owner)",
        "CREATE INDEX ix_video_indexes_sha256 ON video_indexes (sha256)",
        "CREATE TABLE video_segments (video_index VARCHAR(32) NOT NULL, number INTEGER NOT NULL, start FLOAT NOT NULL, "
        '"end" FLOAT NOT NULL, summary TEXT, events JSON, '
        "CONSTRAINT pk_video_segments PRIMARY KEY (video_index, number), "
        "CONSTRAINT fk_video_segments_video_index FOREIGN KEY(video_index) REFERENCES video_indexes (id) "
        "ON DELETE CASCADE)",
    ):
        connection.exec_driver_sql(statement)


def _page_texts(connection: Connection) -> None:
    connection.exec_driver_sql(
        "CREATE TABLE page_texts (sha256 VARCHAR(64) NOT NULL, page INTEGER NOT NULL, model TEXT NOT NULL, "
        "text TEXT NOT NULL, seen FLOAT NOT NULL, CONSTRAINT pk_page_texts PRIMARY KEY (sha256, page, model))"
    )


def _media_owners(connection: Connection) -> None:
    for statement in (
        "CREATE TABLE media_owners (sha256 VARCHAR(64) NOT NULL, owner VARCHAR(64) NOT NULL, "
        "CONSTRAINT pk_media_owners PRIMARY KEY (sha256, owner), "
        "CONSTRAINT fk_media_owners_sha256 FOREIGN KEY(sha256) REFERENCES media (sha256) ON DELETE CASCADE)",
        "INSERT INTO media_owners (sha256, owner) "
        "SELECT message_media.sha256, conversations.owner FROM message_media "
        "JOIN messages ON messages.id = message_media.message "
        "JOIN conversations ON conversations.id = messages.conversation "
        "UNION SELECT sha256, owner FROM files UNION SELECT sha256, owner FROM video_indexes",
    ):
        connection.exec_driver_sql(statement)


def _error_codes(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE messages ADD COLUMN error_code VARCHAR(64)")


# STEPS[n - 1] makes version n + 1 of version n. A step is plain SQL for both databases and never changes again.
STEPS: Sequence[Step] = (_video_indexes, _page_texts, _media_owners, _error_codes)


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
