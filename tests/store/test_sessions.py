"""The database under stress: many writers, locks, full disks, files that are no database. Each error is a sentence."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from qwen3vl.errors import InputError, StoreError
from qwen3vl.store import Store
from qwen3vl.store.sessions import Database
from qwen3vl.store.tables import KeyRow

WRITER = """
import sys
from pathlib import Path
from qwen3vl.store import Store
with Store.open(sys.argv[1], Path(sys.argv[2])) as store:
    for i in range(40):
        made = store.conversations.create()
        store.conversations.update(made.id, title=f"{sys.argv[3]} {i}")
"""


def in_threads(*works: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_threads_that_write_lose_nothing(store: Store) -> None:
    """Two answers grow and a third thread makes conversations and looks at it all."""
    one = store.conversations.create(title="shared")
    question = store.messages.add_question(one.id, None, [{"type": "text", "text": "?"}])
    answers = [store.messages.add_answer(one.id, question.id, {}) for _ in range(2)]

    def write(message: int) -> Callable[[], None]:
        def pieces() -> None:
            for i in range(60):
                store.messages.append(message, f"{message}.{i} ")

        return pieces

    def look() -> None:
        for i in range(30):
            store.conversations.create(title=f"new {i}")
            for message in store.messages.tree(one.id)[1:]:
                assert message.text == "".join(f"{message.id}.{j} " for j in range(message.text.count(" ")))

    in_threads(*(write(answer.id) for answer in answers), look)
    for message in store.messages.tree(one.id)[1:]:
        assert message.text == "".join(f"{message.id}.{i} " for i in range(60))
    assert len(store.conversations.list("", limit=200).items) == 31


def test_media_added_and_swept_at_once(store: Store) -> None:
    """Bytes that are added while others are swept are there afterwards."""
    one = store.conversations.create()

    def add() -> None:
        for i in range(25):
            sha256 = store.media.add(b"same bytes", kind="image", media_type="image/png").sha256
            if i % 5 == 4:
                part = {"type": "image", "media": sha256, "name": ""}
                made = store.conversations.create()
                store.messages.add_question(made.id, None, [part])
                assert store.media.path(sha256).read_bytes() == b"same bytes"
                store.conversations.delete(made.id)

    def sweep() -> None:
        for _ in range(15):
            store.media.sweep(grace=60)
            store.messages.tree(one.id)

    in_threads(add, add, sweep)


def test_two_programs_write(url: str, tmp_path: Path) -> None:
    with Store.open(url, tmp_path / "media") as store:
        command = [sys.executable, "-c", WRITER, url, str(tmp_path / "media"), "other"]
        with subprocess.Popen(command) as other:
            for i in range(40):
                made = store.conversations.create()
                store.conversations.update(made.id, title=f"this {i}")
            assert other.wait(timeout=60) == 0
        titles = {item.title for item in store.conversations.list("", limit=200).items}
    assert titles == {f"{who} {i}" for who in ("this", "other") for i in range(40)}


def test_a_change_that_reads_first_is_not_overtaken(url: str, tmp_path: Path) -> None:
    Store.open(url, tmp_path / "media").close()
    first, second = Database(url), Database(url)
    with first.writing() as session:
        session.add(KeyRow(id="k", hash="h", name="", scopes=[], created=0.0))

    def append(letter: str, database: Database, meanwhile: Callable[[], None]) -> None:
        with database.writing(lock="media") as session:
            row = session.get_one(KeyRow, "k")
            meanwhile()
            row.name += letter

    other = threading.Thread(target=append, args=("b", second, lambda: None))

    def wait_in_vain() -> None:
        other.start()
        other.join(0.3)

    append("a", first, wait_in_vain)
    other.join()
    with first.reading() as session:
        assert session.get_one(KeyRow, "k").name == "ab"
    first.close()
    second.close()


def test_a_locked_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen3vl.store.sessions.LOCK_SECONDS", 0.1)
    file = tmp_path / "store.db"
    with Store.open(f"sqlite:///{file}", tmp_path / "media") as store:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another program"):
            store.conversations.create(title="waits in vain")
        assert store.conversations.list("").items == []  # reading goes on
        other.execute("ROLLBACK")
        other.close()
        store.conversations.create(title="now")


def test_a_locked_postgresql(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen3vl.store.sessions.LOCK_SECONDS", 0.1)
    with Store.open(postgres_url, tmp_path / "media") as store:
        key = store.keys.add("k" * 64, name="k", scopes=[])
        other = Database(postgres_url)
        with other.writing() as session:
            session.connection().exec_driver_sql("LOCK TABLE keys")
            with pytest.raises(StoreError, match="locked by another program"):
                store.keys.revoke(key.id)
        other.close()


def test_a_full_disk(tmp_path: Path) -> None:
    """SQLite says the same for a file that may not grow as for a disk that is full."""
    file = tmp_path / "store.db"
    with Store.open(f"sqlite:///{file}", tmp_path / "media") as store:
        database = store.conversations._database
        with database.writing() as session:  # of the one connection in the pool
            pages = session.connection().exec_driver_sql("PRAGMA page_count").scalar()
            session.connection().exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="full"):
            store.conversations.create(params={"much": "x" * 100_000})
        assert store.conversations.list("").items == []
        with database.writing() as session:
            session.connection().exec_driver_sql("PRAGMA max_page_count = 1000000")
        store.conversations.create(params={"much": "x" * 100_000})


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("dear diary, " * 1000)
    with pytest.raises(StoreError, match="not a SQLite database"):
        Store.open(f"sqlite:///{tmp_path}/notes.db", tmp_path / "media")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open(f"sqlite:///{tmp_path}/folder.db", tmp_path / "media")
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open(f"sqlite:///{tmp_path}/notes.db/store.db", tmp_path / "media")
    with pytest.raises(StoreError, match="media cannot be kept"):
        Store.open(f"sqlite:///{tmp_path}/store.db", tmp_path / "notes.db")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("store.db", "must look like"),
        ("", "must look like"),
        ("mysql://root@host/name", "must be sqlite or postgresql"),
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
    ],
)
def test_urls_that_cannot_be_used(url: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        Store.open(url, tmp_path)


def test_no_password_in_errors(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError) as caught:
        Store.open("postgresql://me:secret123@127.0.0.1:1/name", tmp_path)
    assert "secret123" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
