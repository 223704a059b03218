"""The store: one database and one folder of media, opened together."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from qwen3vl.store.conversations import Conversations
from qwen3vl.store.files import Files
from qwen3vl.store.indexes import VideoIndexes
from qwen3vl.store.keys import Keys
from qwen3vl.store.ledger import Ledger
from qwen3vl.store.media import MediaStore
from qwen3vl.store.messages import Messages
from qwen3vl.store.migrations import migrate
from qwen3vl.store.page_texts import PageTexts
from qwen3vl.store.sessions import Database


class Store:
    """Repositories with plain, synchronous calls of about a millisecond, safe from many threads; an event loop makes
    them in a thread. Each raises `StoreError` when the database or the disk fails.
    """

    def __init__(self, database: Database, media_dir: Path) -> None:
        self._database = database
        self.conversations = Conversations(database)
        self.messages = Messages(database)
        self.media = MediaStore(database, media_dir)
        self.files = Files(database)
        self.indexes = VideoIndexes(database)
        self.page_texts = PageTexts(database)
        self.keys = Keys(database)
        self.ledger = Ledger(database)

    @classmethod
    def open(cls, url: str, media_dir: Path) -> Store:
        """Opens `sqlite:///folder/file.db` or `postgresql://user@host/name`, made or brought up to date if needed.

        Raises `InputError` for a URL that cannot be used and `StoreError` for a database that cannot be opened.
        """
        database = Database(url)
        try:
            migrate(database)
            return cls(database, media_dir)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
