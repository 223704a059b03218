"""Media: bytes kept once under their SHA-256, for as long as a message, a file or an index refers to them.

A file is whole or not there: it is written beside, flushed to the disk, then renamed. The database says what exists;
a file without a row is what a crash left over, and goes with the next sweep.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path

from sqlalchemy import delete, select

from qwen3vl.errors import StoreError
from qwen3vl.store.records import Media
from qwen3vl.store.sessions import Database
from qwen3vl.store.tables import FileRow, MediaOwnerRow, MediaRow, MessageMediaRow, VideoIndexRow
from qwen3vl.store.text import storable

_INCOMING = "incoming"  # files that are not whole yet
_CHUNK = 2**20


@dataclass(frozen=True)
class Swept:
    """What a sweep took away."""

    files: int
    bytes: int


class MediaStore:
    def __init__(self, database: Database, folder: Path) -> None:
        """Raises `StoreError` if the folder cannot be made."""
        self._database, self._folder = database, folder
        with _sentences(folder):
            (folder / _INCOMING).mkdir(parents=True, exist_ok=True, mode=0o700)

    def add(
        self,
        data: bytes | Path,
        *,
        kind: str,
        media_type: str,
        width: int | None = None,
        height: int | None = None,
        duration: float | None = None,
        pages: int | None = None,
        name: str = "",
        owner: str = "",
    ) -> Media:
        """Keeps the bytes, or the file, unless they are there already; their first description stays. From then on
        `owner` may see them.

        Until something refers to them they last as long as `sweep` gives them. Raises `StoreError` for a disk
        that is full.
        """
        with _sentences(self._folder):
            with _opened(data) as source:
                sha256 = hashlib.file_digest(source, "sha256").hexdigest()
                size = source.seek(0, os.SEEK_END)
            now = time.time()
            with self._database.writing(lock="media") as session:
                row = session.get(MediaRow, sha256)
                if row is not None and self.path(sha256).is_file():
                    row.seen = now
                    session.merge(MediaOwnerRow(sha256=sha256, owner=owner))
                    return _record(row)
            # Written outside of a transaction, since others would have to wait for the disk.
            written = self._write(data, sha256)
            try:
                with self._database.writing(lock="media") as session:
                    self._move_in(written, sha256)
                    row = session.get(MediaRow, sha256)
                    if row is None:
                        row = MediaRow(
                            sha256=sha256,
                            kind=kind,
                            media_type=media_type,
                            size=size,
                            width=width,
                            height=height,
                            duration=duration,
                            pages=pages,
                            name=storable(name),
                            created=now,
                        )
                        session.add(row)
                    row.seen = now
                    session.flush()  # an owner refers to it
                    session.merge(MediaOwnerRow(sha256=sha256, owner=owner))
                    return _record(row)
            finally:
                written.unlink(missing_ok=True)

    def get(self, sha256: str, owner: str | None = None) -> Media | None:
        """None also for what `owner` has not brought here himself, if one is given."""
        with self._database.reading() as session:
            row = session.get(MediaRow, sha256)
            if row is None or (owner is not None and session.get(MediaOwnerRow, (sha256, owner)) is None):
                return None
            return _record(row)

    def path(self, sha256: str) -> Path:
        """Where the bytes of that hash are, if they are there."""
        return self._folder / sha256[:2] / sha256

    def sweep(self, grace: float = 3600.0) -> Swept:
        """Takes away media that nothing refers to and that came more than `grace` seconds ago, and what crashes left
        over. Raises `StoreError`.
        """
        before = time.time() - grace
        referred = (
            select(MessageMediaRow.sha256).where(MessageMediaRow.sha256 == MediaRow.sha256).exists()
            | select(FileRow.sha256).where(FileRow.sha256 == MediaRow.sha256).exists()
            | select(VideoIndexRow.sha256).where(VideoIndexRow.sha256 == MediaRow.sha256).exists()
        )
        with self._database.writing(lock="media") as session:
            session.execute(delete(MediaRow).where(~referred, MediaRow.seen < before))
        files = total = 0
        # After the rows, in a change of its own: a crash in between leaves files without rows, not rows without files.
        with _sentences(self._folder), self._database.writing(lock="media") as session:
            kept = set(session.scalars(select(MediaRow.sha256)))
            for file in self._folder.glob("*/*"):
                status = file.stat()
                if file.name not in kept and status.st_mtime < before:
                    file.unlink()
                    files, total = files + 1, total + status.st_size
        return Swept(files, total)

    def _write(self, data: bytes | Path, sha256: str) -> Path:
        """A new file with the bytes, on the disk and not only in its cache."""
        target = self._folder / _INCOMING / uuid.uuid4().hex
        digest = hashlib.sha256()
        try:
            with (
                _opened(data) as source,
                os.fdopen(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file,
            ):
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            if digest.hexdigest() != sha256:
                raise StoreError("the file changed while it was read; it was not kept")
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return target

    def _move_in(self, written: Path, sha256: str) -> None:
        target = self.path(sha256)
        target.parent.mkdir(exist_ok=True, mode=0o700)
        written.replace(target)
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _opened(data: bytes | Path) -> Iterator[BufferedReader | BytesIO]:
    with data.open("rb") if isinstance(data, Path) else BytesIO(data) as source:
        yield source


@contextmanager
def _sentences(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"media cannot be kept in {folder}: {error.strerror}") from error


def _record(row: MediaRow) -> Media:
    return Media(
        sha256=row.sha256,
        kind=row.kind,
        media_type=row.media_type,
        size=row.size,
        width=row.width,
        height=row.height,
        duration=row.duration,
        pages=row.pages,
        name=row.name,
        created=row.created,
    )
