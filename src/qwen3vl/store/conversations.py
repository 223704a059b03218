"""Conversations: made, named, searched, listed, deleted. What they hold is in `messages`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, and_, delete, or_, select

from qwen3vl.errors import InputError
from qwen3vl.store.records import Conversation, Page
from qwen3vl.store.sessions import Database
from qwen3vl.store.tables import ConversationRow, MessageRow
from qwen3vl.store.text import check_storable, clean_title, fold

MAX_PAGE = 200
MAX_QUERY = 200  # characters


class Changes(TypedDict, total=False):
    """What of a conversation may be changed."""

    title: str
    model: str | None
    task: str
    params: Mapping[str, Any]


class Conversations:
    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        owner: str = "",
        *,
        title: str = "",
        model: str | None = None,
        task: str = "chat",
        params: Mapping[str, Any] | None = None,
    ) -> Conversation:
        """Raises `InputError` for a title that is too long and for text that cannot be kept."""
        now = time.time()
        row = ConversationRow(id=uuid.uuid4().hex, owner=owner, created=now, updated=now, active=None)
        _apply(row, {"title": title, "model": model, "task": task, "params": params or {}})
        with self._database.writing() as session:
            session.add(row)
            return _record(row)

    def get(self, conversation: str, owner: str) -> Conversation | None:
        """None also for somebody else's. Raises `InputError` for what can be no id."""
        check_storable(conversation, "the conversation's id")
        with self._database.reading() as session:
            row = session.get(ConversationRow, conversation)
            return None if row is None or row.owner != owner else _record(row)

    def update(self, conversation: str, **changes: Unpack[Changes]) -> Conversation | None:
        """The conversation as it is now; None if there is none. Raises `InputError` like `create`."""
        with self._database.writing() as session:
            row = session.get(ConversationRow, conversation)
            if row is None:
                return None
            _apply(row, changes)
            return _record(row)

    def activate(self, conversation: str, message: int) -> Conversation:
        """Shows the branch that `message` is on, down to its newest message. Raises `InputError` if it is elsewhere."""
        with self._database.writing() as session:
            row = session.get(ConversationRow, conversation)
            nodes = select(MessageRow.id, MessageRow.parent).where(MessageRow.conversation == conversation)
            newest_child: dict[int, int] = {}
            known = set()
            for node, parent in session.execute(nodes.order_by(MessageRow.id)):
                known.add(node)
                if parent is not None:
                    newest_child[parent] = node
            if row is None or message not in known:
                raise InputError(f"message {message} is not one of this conversation")
            while message in newest_child:
                message = newest_child[message]
            row.active = message
            return _record(row)

    def delete(self, conversation: str) -> bool:
        """Deletes it with all its messages; media that nothing else refers to go with the next sweep."""
        with self._database.writing() as session:
            chosen = ConversationRow.id == conversation
            if session.scalar(select(ConversationRow.id).where(chosen)) is None:
                return False
            session.execute(delete(ConversationRow).where(chosen))
            return True

    def list(self, owner: str, *, query: str = "", limit: int = 50, after: str | None = None) -> Page:
        """The owner's conversations, the one with the newest message first, beginning behind the conversation `after`.

        `query`: words that must all occur, each in the title or in some message, in upper or lower case and also within
        longer words, since Chinese has no blanks between them. Raises `InputError` for a limit, query or `after` that
        cannot be used.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InputError(f"limit must be from 1 to {MAX_PAGE}, got {limit}")
        if len(query) > MAX_QUERY:
            raise InputError(f"a search may have {MAX_QUERY} characters at most, this one has {len(query)}")
        check_storable(query, "the search")
        chosen = [ConversationRow.owner == owner, *map(_mentions, fold(query).split())]
        with self._database.reading() as session:
            if after is not None:
                last = session.get(ConversationRow, after)
                if last is None or last.owner != owner:
                    raise InputError(f"there is no conversation {after!r} to go on after")
                older = ConversationRow.updated < last.updated
                chosen.append(or_(older, and_(ConversationRow.updated == last.updated, ConversationRow.id < last.id)))
            newest_first = (ConversationRow.updated.desc(), ConversationRow.id.desc())
            rows = session.scalars(select(ConversationRow).where(*chosen).order_by(*newest_first).limit(limit + 1))
            found = [_record(row) for row in rows]
        return Page(found[:limit], has_more=len(found) > limit)


def _mentions(word: str) -> ColumnElement[bool]:
    in_message = select(MessageRow.id).where(
        MessageRow.conversation == ConversationRow.id, MessageRow.searchable.contains(word, autoescape=True)
    )
    return or_(ConversationRow.searchable.contains(word, autoescape=True), in_message.exists())


def _apply(row: ConversationRow, changes: Changes) -> None:
    if "title" in changes:
        row.title = clean_title(changes["title"])
        row.searchable = fold(row.title)
    if "model" in changes:
        check_storable(changes["model"], "model")
        row.model = changes["model"]
    if "task" in changes:
        check_storable(changes["task"], "task")
        row.task = changes["task"]
    if "params" in changes:
        check_storable(changes["params"], "params")
        row.params = dict(changes["params"])


def _record(row: ConversationRow) -> Conversation:
    return Conversation(
        id=row.id,
        owner=row.owner,
        title=row.title,
        created=row.created,
        updated=row.updated,
        model=row.model,
        task=row.task,
        params=row.params,
        active=row.active,
    )
