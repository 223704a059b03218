"""Messages: the nodes of a conversation's tree, and answers while they are written.

A second question or answer under the same parent is a branch. An answer that is being written grows by pieces, each
kept when `append` returns, and becomes one text at its end.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from qwen3vl.errors import InputError, StoreError
from qwen3vl.store.records import Message, Part, Role, State
from qwen3vl.store.sessions import Database
from qwen3vl.store.tables import ConversationRow, MediaRow, MessageMediaRow, MessageRow, PieceRow
from qwen3vl.store.text import check_storable, fold, storable

_NOT_YET = ("request", "result", "usage", "finish_reason", "error", "error_code")


class Messages:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add_question(
        self, conversation: str, parent: int | None, content: Sequence[Part], request: Mapping[str, Any] | None = None
    ) -> Message:
        """A question under an answer, or at the root; it becomes the end of the shown branch. `request` is what the
        question was made from, where it was.

        Raises `InputError` for a parent that is no finished answer of this conversation, for content that is empty, for
        media that are not in the store, and for text that cannot be kept.
        """
        check_storable([content, request], "the message")
        text = "\n".join(part["text"] for part in content if part["type"] == "text")
        media = {part["media"] for part in content if "media" in part}
        if not media and not text.strip():
            raise InputError("a message needs text, or a picture, video or document")
        with self._database.writing() as session:
            if parent is not None:
                above = _member(session, conversation, parent)
                if above.role != "assistant":
                    raise InputError(f"message {parent} is a question; a question follows an answer, or nothing")
                if above.state == "running":
                    raise InputError(f"message {parent} is still being written; stop it or wait for its end")
            known = set(session.scalars(select(MediaRow.sha256).where(MediaRow.sha256.in_(media))))
            if missing := sorted(media - known):
                raise InputError(f"there is no media {missing[0]!r} in the store")
            said = {"content": list(content), "text": text, "searchable": fold(text)}
            row = _row(conversation, parent, "user", "done", **said, request=request and dict(request))
            _insert(session, row)
            session.add_all(MessageMediaRow(message=row.id, sha256=sha256) for sha256 in media)
            return _record(row)

    def add_answer(self, conversation: str, parent: int, request: Mapping[str, Any]) -> Message:
        """An answer under a question, still empty and running; it becomes the end of the shown branch.

        `request` is what it was asked for with. Raises `InputError` for a parent that is no question of this
        conversation.
        """
        check_storable(request, "the request")
        with self._database.writing() as session:
            if _member(session, conversation, parent).role != "user":
                raise InputError(f"message {parent} is an answer; an answer follows a question")
            row = _row(conversation, parent, "assistant", "running", request=dict(request))
            _insert(session, row)
            return _record(row)

    def append(self, message: int, text: str, thinking: str = "") -> None:
        """The next piece of an answer that is running. Raises `StoreError` if it is gone."""
        with self._database.writing() as session:
            session.add(PieceRow(message=message, text=storable(text), thinking=storable(thinking)))

    def finish(
        self,
        message: int,
        state: State,
        text: str,
        thinking: str = "",
        *,
        result: Mapping[str, Any] | None = None,
        usage: Mapping[str, Any] | None = None,
        finish_reason: str | None = None,
        error: str | None = None,
        error_code: str | None = None,
    ) -> Message:
        """Ends an answer with its whole text. Raises `StoreError` if it is gone."""
        with self._database.writing() as session:
            row = session.get(MessageRow, message)
            if row is None:
                raise StoreError(f"message {message} is no longer there")
            _end(session, row, state, storable(text), storable(thinking))
            row.result, row.usage = storable(result), storable(usage)
            row.finish_reason, row.error, row.error_code = finish_reason, storable(error), error_code
            return _record(row)

    def interrupt_running(self) -> int:
        """Ends every answer that is still running with what it has; returns how many there were.

        For the start of a server, the only one on this database: whoever wrote them is gone.
        """
        with self._database.writing() as session:
            rows = session.scalars(select(MessageRow).where(MessageRow.state == "running")).all()
            pieces = _pieces(session, rows)
            for row in rows:
                _end(session, row, "interrupted", *pieces[row.id])
            return len(rows)

    def get(self, message: int) -> Message | None:
        with self._database.reading() as session:
            row = session.get(MessageRow, message)
            return None if row is None else _records(session, [row])[0]

    def tree(self, conversation: str) -> list[Message]:
        """All messages of a conversation, oldest first, so that a parent comes before its children."""
        with self._database.reading() as session:
            chosen = select(MessageRow).where(MessageRow.conversation == conversation).order_by(MessageRow.id)
            return _records(session, session.scalars(chosen).all())

    def path(self, message: int) -> list[Message]:
        """From the root of its tree to `message`. Empty if there is no such message."""
        with self._database.reading() as session:
            up = select(MessageRow.id, MessageRow.parent).where(MessageRow.id == message).cte(recursive=True)
            up = up.union_all(select(MessageRow.id, MessageRow.parent).join(up, MessageRow.id == up.c.parent))
            chosen = select(MessageRow).join(up, MessageRow.id == up.c.id).order_by(MessageRow.id)
            return _records(session, session.scalars(chosen).all())


def _member(session: Session, conversation: str, message: int) -> MessageRow:
    row = session.get(MessageRow, message)
    if row is None or row.conversation != conversation:
        raise InputError(f"message {message} is not one of this conversation")
    return row


def _row(conversation: str, parent: int | None, role: Role, state: State, **given: Any) -> MessageRow:
    empty: dict[str, Any] = {"content": [], "text": "", "thinking": "", "searchable": ""}
    columns = {**empty, **dict.fromkeys(_NOT_YET), **given}
    return MessageRow(conversation=conversation, parent=parent, role=role, state=state, created=time.time(), **columns)


def _insert(session: Session, row: MessageRow) -> None:
    above = session.get(ConversationRow, row.conversation)
    if above is None:
        raise InputError(f"there is no conversation {row.conversation!r}")
    session.add(row)
    session.flush()  # gives the row its id
    above.active, above.updated = row.id, row.created


def _end(session: Session, row: MessageRow, state: State, text: str, thinking: str) -> None:
    row.state, row.text, row.thinking, row.searchable = state, text, thinking, fold(text)
    session.execute(delete(PieceRow).where(PieceRow.message == row.id))


def _pieces(session: Session, rows: Iterable[MessageRow]) -> dict[int, tuple[str, str]]:
    """Text and thinking of the rows that are running, so far."""
    running = [row.id for row in rows if row.state == "running"]
    texts: dict[int, list[str]] = {id_: [] for id_ in running}
    thoughts: dict[int, list[str]] = {id_: [] for id_ in running}
    if running:
        for piece in session.scalars(select(PieceRow).where(PieceRow.message.in_(running)).order_by(PieceRow.id)):
            texts[piece.message].append(piece.text)
            thoughts[piece.message].append(piece.thinking)
    return {id_: ("".join(texts[id_]), "".join(thoughts[id_])) for id_ in running}


def _records(session: Session, rows: Sequence[MessageRow]) -> list[Message]:
    pieces = _pieces(session, rows)
    return [_record(row, *pieces.get(row.id, (row.text, row.thinking))) for row in rows]


def _record(row: MessageRow, text: str | None = None, thinking: str | None = None) -> Message:
    return Message(
        id=row.id,
        conversation=row.conversation,
        parent=row.parent,
        role=row.role,  # type: ignore[arg-type]  # written from a Role
        state=row.state,  # type: ignore[arg-type]  # written from a State
        content=row.content,
        text=row.text if text is None else text,
        thinking=row.thinking if thinking is None else thinking,
        request=row.request,
        result=row.result,
        usage=row.usage,
        finish_reason=row.finish_reason,
        error=row.error,
        error_code=row.error_code,
        created=row.created,
    )
