"""A database of each earlier version opens, whole, with the tables that a new one has.

`versions/N.sql` is what SQLite's `.dump` wrote of a small database of version N. Whoever changes a table adds a step to
`migrations` and, for the version before, nothing: its file is here already.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Connection, inspect

from qwen3vl.errors import StoreError
from qwen3vl.store import Store
from qwen3vl.store.migrations import STEPS, migrate
from qwen3vl.store.sessions import Database

VERSIONS = sorted((Path(__file__).parent / "versions").glob("*.sql"), key=lambda path: int(path.stem))


def old_database(version: Path, folder: Path) -> Path:
    file = folder / "old.db"
    with sqlite3.connect(file) as connection:
        connection.executescript(version.read_text(encoding="utf-8"))
    connection.close()
    return file


def tables(url: str) -> dict[str, Any]:
    """All columns, keys and indices, as the database itself tells."""
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    look = inspect(engine)
    found = {
        table: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"]) for column in look.get_columns(table)
            },
            "primary key": look.get_pk_constraint(table)["constrained_columns"],
            "foreign keys": sorted(
                (key["constrained_columns"], key["referred_table"], key["options"].get("ondelete"))
                for key in look.get_foreign_keys(table)
            ),
            "indices": sorted((index["column_names"], index["unique"]) for index in look.get_indexes(table)),
        }
        for table in look.get_table_names()
    }
    engine.dispose()
    return found


def test_there_is_a_file_of_each_version() -> None:
    assert [int(path.stem) for path in VERSIONS] == list(range(1, len(STEPS) + 2))


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.stem)
def test_an_old_database_opens(version: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{old_database(version, tmp_path)}"
    new = f"sqlite:///{tmp_path}/new.db"
    Store.open(new, tmp_path / "media").close()
    with Store.open(url, tmp_path / "media") as store:
        assert tables(url) == tables(new)
        [conversation] = store.conversations.list("", query="标题 cat").items
        assert (conversation.model, conversation.params) == ("tiny-moe", {"system": "Be brief."})
        question, answer, running = store.messages.tree(conversation.id)
        assert (question.text, question.content[0]["name"]) == ("What is this?", "a.png")
        assert (answer.text, answer.thinking, answer.usage) == ("A 'cat'.", "hm", {"prompt_tokens": 7})
        assert (running.state, running.text, conversation.active) == ("running", "half an answer", running.id)
        [key], [file], [row] = store.keys.list(), store.files.list(""), store.ledger.rows()
        assert (key.name, file.size, row.prompt_tokens) == ("laptop", 9, 7)


def add_stars(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE conversations ADD COLUMN stars INTEGER NOT NULL DEFAULT 0")


def rename_stars(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE conversations RENAME COLUMN stars TO rank")


def columns(url: str) -> set[str]:
    return set(tables(url)["conversations"]["columns"])


def test_steps_are_taken_once_and_in_order(store: Store, url: str) -> None:
    made = store.conversations.create(title="kept")
    database = Database(url)
    migrate(database, [*STEPS, add_stars])
    assert "stars" in columns(url)
    for _ in range(2):
        migrate(database, [*STEPS, add_stars, rename_stars])
        assert "rank" in columns(url)
    database.close()
    assert store.conversations.get(made.id, "") == made


def test_a_step_that_fails_changes_nothing(store: Store, url: str) -> None:
    def fails(connection: Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE nothing ADD COLUMN a INTEGER")

    database, before = Database(url), tables(url)
    with pytest.raises(StoreError, match="nothing"):
        migrate(database, [*STEPS, add_stars, fails])
    assert tables(url) == before
    migrate(database, [*STEPS, add_stars])
    assert "stars" in columns(url)
    database.close()


def test_a_newer_database_is_left_alone(url: str, tmp_path: Path) -> None:
    database = Database(url)
    migrate(database, [*STEPS, add_stars, rename_stars])
    database.close()
    with pytest.raises(
        StoreError, match=rf"of version {len(STEPS) + 3}, and this program knows up to {len(STEPS) + 1}"
    ):
        Store.open(url, tmp_path / "media")


def test_two_that_open_a_new_database_at_once(url: str, tmp_path: Path) -> None:
    failures: list[BaseException] = []
    together = threading.Barrier(4)

    def open_it() -> None:
        together.wait()
        try:
            Store.open(url, tmp_path / "media").close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
