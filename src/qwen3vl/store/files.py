"""Uploaded files, as OpenAI's API knows them. Their bytes are in `media`."""

from __future__ import annotations

import time
import uuid

from sqlalchemy import delete, select

from qwen3vl.errors import InputError
from qwen3vl.store.records import StoredFile
from qwen3vl.store.sessions import Database
from qwen3vl.store.tables import FileRow, MediaRow
from qwen3vl.store.text import check_storable

_WITH_SIZE = select(FileRow, MediaRow.size).join(MediaRow, MediaRow.sha256 == FileRow.sha256)


class Files:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, sha256: str, *, name: str, purpose: str, owner: str = "") -> StoredFile:
        """A file whose bytes are in the media. Raises `InputError` if they are not, or if a text cannot be kept."""
        check_storable([name, purpose], "the name or purpose of the file")
        with self._database.writing() as session:
            media = session.get(MediaRow, sha256)
            if media is None:
                raise InputError(f"there is no media {sha256!r} in the store")
            row = FileRow(
                id=f"file-{uuid.uuid4().hex}",
                owner=owner,
                sha256=sha256,
                name=name,
                purpose=purpose,
                created=time.time(),
            )
            session.add(row)
            return _record(row, media.size)

    def get(self, file: str, owner: str) -> StoredFile | None:
        """None also for somebody else's. Raises `InputError` for what can be no id."""
        check_storable(file, "the file's id")
        with self._database.reading() as session:
            found = session.execute(_WITH_SIZE.where(FileRow.id == file, FileRow.owner == owner)).first()
            return None if found is None else _record(*found)

    def list(self, owner: str, purpose: str | None = None) -> list[StoredFile]:
        """Newest first."""
        chosen = _WITH_SIZE.where(FileRow.owner == owner).order_by(FileRow.created.desc(), FileRow.id)
        if purpose is not None:
            chosen = chosen.where(FileRow.purpose == purpose)
        with self._database.reading() as session:
            return [_record(row, size) for row, size in session.execute(chosen)]

    def delete(self, file: str, owner: str) -> bool:
        """False if there is none; the bytes go with the next sweep unless something else refers to them. Raises
        `InputError` for what can be no id.
        """
        check_storable(file, "the file's id")
        with self._database.writing() as session:
            chosen = (FileRow.id == file, FileRow.owner == owner)
            if session.scalar(select(FileRow.id).where(*chosen)) is None:
                return False
            session.execute(delete(FileRow).where(*chosen))
            return True


def _record(row: FileRow, size: int) -> StoredFile:
    return StoredFile(row.id, row.owner, row.sha256, row.name, row.purpose, size, row.created)
