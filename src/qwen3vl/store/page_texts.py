"""What models have read on pages that hold no text of their own: by the hash of the document, each page once.

Kept as long as the document is among the media; of one that is not, for a while after it was last asked about.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from sqlalchemy import delete, select, update

from qwen3vl.store.sessions import Database
from qwen3vl.store.tables import MediaRow, PageTextRow
from qwen3vl.store.text import storable


class PageTexts:
    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, sha256: str, model: str) -> Mapping[int, str]:
        """What that model has read in the document, by page from 1."""
        chosen = (PageTextRow.sha256 == sha256, PageTextRow.model == storable(model))
        with self._database.writing() as session:
            session.execute(update(PageTextRow).where(*chosen).values(seen=time.time()))
            return {row.page: row.text for row in session.scalars(select(PageTextRow).where(*chosen))}

    def keep(self, sha256: str, page: int, model: str, text: str) -> None:
        """In the place of what the same model may have read there before."""
        with self._database.writing(lock="media") as session:
            row = PageTextRow(sha256=sha256, page=page, model=storable(model), text=storable(text), seen=time.time())
            session.merge(row)

    def sweep(self, grace: float = 3600.0) -> None:
        """Forgets documents that are not among the media and were last asked about more than `grace` seconds ago."""
        kept = select(MediaRow.sha256).where(MediaRow.sha256 == PageTextRow.sha256).exists()
        with self._database.writing() as session:
            session.execute(delete(PageTextRow).where(~kept, PageTextRow.seen < time.time() - grace))
