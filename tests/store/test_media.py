"""Media are kept once, whole, and as long as something refers to them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from qwen3vl.errors import InputError, StoreError
from qwen3vl.store import Store
from support.stores import add_media


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def add(store: Store, data: bytes | Path, name: str = "clip.mp4") -> str:
    return store.media.add(data, kind="video", media_type="video/mp4", duration=1.5, name=name).sha256


def test_kept_once_under_their_hash(store: Store, tmp_path: Path) -> None:
    sha256 = add(store, b"some bytes")
    file = tmp_path / "media" / sha256[:2] / sha256
    assert store.media.path(sha256) == file
    assert file.read_bytes() == b"some bytes"
    written = file.stat()
    source = tmp_path / "upload.bin"
    source.write_bytes(b"some bytes")
    assert add(store, source, name="again.mp4") == sha256
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    media = store.media.get(sha256)
    assert media is not None
    assert (media.name, media.kind, media.size, media.duration, media.width) == ("clip.mp4", "video", 10, 1.5, None)
    assert files_in(tmp_path / "media") == {sha256}
    assert store.media.get("0" * 64) is None


def test_private_to_this_user(store: Store, tmp_path: Path) -> None:
    sha256 = add(store, b"some bytes")
    assert store.media.path(sha256).stat().st_mode & 0o777 == 0o600
    for database in (tmp_path / "data").glob("store.db*"):
        assert database.stat().st_mode & 0o777 == 0o600


def test_a_sweep_takes_what_nothing_refers_to(store: Store, tmp_path: Path) -> None:
    asked, deleted, uploaded, alone = (add_media(store, data) for data in (b"asked", b"deleted", b"uploaded", b"alone"))
    conversations = [store.conversations.create() for _ in range(2)]
    for conversation, sha256 in zip(conversations, (asked, deleted), strict=True):
        store.messages.add_question(conversation.id, None, [{"type": "image", "media": sha256, "name": ""}])
    file = store.files.add(uploaded, name="u.png", purpose="vision")
    assert store.media.sweep(grace=60).files == 0
    swept = store.media.sweep(grace=-60)
    assert (swept.files, swept.bytes) == (1, 5)
    assert files_in(tmp_path / "media") == {asked, deleted, uploaded}
    assert store.media.get(alone) is None
    store.conversations.delete(conversations[1].id)
    assert store.files.delete(file.id, "")
    assert store.media.sweep(grace=-60).files == 2
    assert files_in(tmp_path / "media") == {asked}
    assert add_media(store, b"deleted") == deleted
    assert store.media.path(deleted).read_bytes() == b"deleted"


def test_a_sweep_takes_what_a_crash_left_over(store: Store, tmp_path: Path) -> None:
    """Files without a row: half-written ones, and those that were renamed but not committed."""
    kept = add_media(store)
    folder = tmp_path / "media"
    store.conversations.create()
    (folder / "incoming" / "half").write_bytes(b"hal")
    (folder / "ab").mkdir(exist_ok=True)
    (folder / "ab" / ("ab" * 32)).write_bytes(b"lost")
    assert store.media.sweep(grace=60).files == 0  # somebody may be writing them now
    os.utime(folder / "incoming" / "half", (0, 0))
    os.utime(folder / "ab" / ("ab" * 32), (0, 0))
    assert store.media.sweep(grace=60).files == 2
    assert files_in(folder) == {kept}


def test_bytes_that_vanished_come_back_with_the_next_upload(store: Store) -> None:
    sha256 = add(store, b"some bytes")
    store.media.path(sha256).unlink()
    assert add(store, b"some bytes") == sha256
    assert store.media.path(sha256).read_bytes() == b"some bytes"


@pytest.mark.parametrize("call", ["fsync", "open"])
def test_a_full_disk_is_an_error_that_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StoreError, match="No space left on device"):
            add(store, b"some bytes")
    assert files_in(tmp_path / "media") == set()
    sha256 = add(store, b"some bytes")
    assert store.media.path(sha256).read_bytes() == b"some bytes"


def test_uploaded_files(store: Store) -> None:
    sha256 = add_media(store)
    first = store.files.add(sha256, name="b.png", purpose="vision", owner="me")
    second = store.files.add(sha256, name="c.png", purpose="user_data", owner="me")
    assert first.id.startswith("file-")
    assert (first.size, first.sha256) == (len(b"a picture"), sha256)
    assert store.files.get(first.id, "me") == first
    assert store.files.get(first.id, "you") is None
    assert store.files.list("me") == [second, first]
    assert store.files.list("me", purpose="vision") == [first]
    assert store.files.list("you") == []
    assert not store.files.delete(first.id, "you")
    assert store.files.delete(first.id, "me")
    assert not store.files.delete(first.id, "me")
    with pytest.raises(InputError, match="no media"):
        store.files.add("0" * 64, name="x", purpose="vision")
