"""One database: connecting, reading, writing, and its errors as sentences. All that differs between SQLite and
PostgreSQL is here.

SQLite runs with a write-ahead log, so that readers and the one writer do not wait for each other. A commit is in the
operating system's hands when it returns: it survives the end of the process, and a power cut may take the last of them,
never the file.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from qwen3vl.errors import InputError, StoreError

LOCK_SECONDS = 5.0  # that a change waits for another program's
_LOCKS = {"schema": 0x71776E01, "media": 0x71776E02}  # names of PostgreSQL's advisory locks are numbers

_SENTENCES = {
    "database is locked": f"the database was locked by another program for {LOCK_SECONDS:g} seconds; try again",
    "database or disk is full": "the disk that holds the database is full; the change was not kept",
    "file is not a database": "the file is not a SQLite database",
    "unable to open database file": "the database file cannot be opened; look at its folder and permissions",
    "readonly database": "the database file may not be written by this user",
    "lock timeout": f"the database was locked by another program for {LOCK_SECONDS:g} seconds; try again",
    "No space left": "the disk that holds the database is full; the change was not kept",
}


class Database:
    """Sessions of one database. Safe to use from many threads."""

    def __init__(self, url: str) -> None:
        """Raises `InputError` for a URL that cannot be used."""
        self.url = _check_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = _sqlite_engine(self.url) if self.is_sqlite else _postgresql_engine(self.url)
        self._reads = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        # SQLite has one writer. Threads of this process queue here, where waking is at once; SQLite itself would sleep
        # and look again.
        self._writer = threading.Lock() if self.is_sqlite else nullcontext()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database. Raises `StoreError`."""
        with _sentences(self.url), Session(self._engine.execution_options(**self._reads)) as session:
            yield session

    @contextmanager
    def writing(self, lock: str | None = None) -> Iterator[Session]:
        """A session whose changes are kept all, or none if the block raises. `lock` ("schema" or "media") keeps out
        every other block with the same one, of other processes too. Raises `StoreError`.
        """
        engine = self._engine.execution_options(sqlite_begin="IMMEDIATE")
        with self._writer, _sentences(self.url), Session(engine) as session:
            if lock is not None and not self.is_sqlite:
                session.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": _LOCKS[lock]})
            yield session
            session.commit()

    def close(self) -> None:
        self._engine.dispose()


def _check_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InputError(
            "the database URL must look like sqlite:///folder/file.db or postgresql://user@host/name"
        ) from error
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise InputError(f"the database must be sqlite or postgresql, got {backend!r}")
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if not parsed.database or parsed.database == ":memory:":
        raise InputError("the SQLite database must be a file, as in sqlite:///folder/file.db")
    return parsed


def _sqlite_engine(url: URL) -> Engine:
    file = Path(url.database or "")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Conversations are their owner's alone; the log beside it takes over the mode.
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"the database {file} cannot be opened: {error.strerror}") from error
    engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS})

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer says so at once: one that has read first could not wait for another, only fail.
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")

    return engine


def _write_ahead(connection: Any) -> None:
    """Turns the write-ahead log on. SQLite does not wait here where two open a new database at once: it says at once
    that the file is locked.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _postgresql_engine(url: URL) -> Engine:
    options = f"-c lock_timeout={LOCK_SECONDS:g}s -c client_encoding=utf8"
    try:
        return create_engine(url, pool_pre_ping=True, connect_args={"options": options})
    except ImportError as error:
        raise InputError("PostgreSQL needs its driver: pip install 'qwen3vl[postgres]'") from error


@contextmanager
def _sentences(url: URL) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise StoreError("what the change refers to is no longer there; the change was not kept") from error
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error)
        known = next((sentence for sign, sentence in _SENTENCES.items() if sign in said), f"the database said: {said}")
        raise StoreError(f"{known} ({url.render_as_string(hide_password=True)})") from error
