"""The tables. A change here needs a step in `migrations`, which `tests/store/test_migrations.py` holds against this."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, Index, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_NAMES = {  # so that a migration can name what it changes, on every database
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy's own form
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
        float: Float(53),
    }


class SchemaVersion(Base):
    """One row: the version of these tables."""

    __tablename__ = "schema_version"
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)


class ConversationRow(Base):
    __tablename__ = "conversations"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(Text)
    searchable: Mapped[str] = mapped_column(Text)  # the title as `text.fold` has it
    created: Mapped[float]
    updated: Mapped[float]
    model: Mapped[str | None] = mapped_column(Text)
    task: Mapped[str] = mapped_column(String(64))
    params: Mapped[dict[str, Any]]
    active: Mapped[int | None]  # of `messages`; no foreign key, since each table would then need the other first

    __table_args__ = (Index(None, "owner", "updated", "id"),)


class MessageRow(Base):
    __tablename__ = "messages"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    conversation: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), index=True)
    parent: Mapped[int | None] = mapped_column(ForeignKey("messages.id"), index=True)
    role: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), index=True)
    finish_reason: Mapped[str | None] = mapped_column(String(16))
    created: Mapped[float]
    # Before what may be long: a search then reads no further.
    searchable: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    thinking: Mapped[str] = mapped_column(Text)
    content: Mapped[list[Any]]
    request: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]
    usage: Mapped[dict[str, Any] | None]
    error: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(String(64))

    __table_args__ = ({"sqlite_autoincrement": True},)  # an id that was deleted does not come again


class PieceRow(Base):
    """The next piece of an answer that is being written: adding to its row would copy all of it each time."""

    __tablename__ = "pieces"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    message: Mapped[int] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), index=True)
    text: Mapped[str] = mapped_column(Text)
    thinking: Mapped[str] = mapped_column(Text)


class MediaRow(Base):
    __tablename__ = "media"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    media_type: Mapped[str] = mapped_column(String(128))
    size: Mapped[int]
    width: Mapped[int | None]
    height: Mapped[int | None]
    duration: Mapped[float | None]
    pages: Mapped[int | None]
    name: Mapped[str] = mapped_column(Text)
    created: Mapped[float]
    seen: Mapped[float]  # when the same bytes came last


class MessageMediaRow(Base):
    """Which messages refer to which media."""

    __tablename__ = "message_media"
    message: Mapped[int] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("media.sha256"), primary_key=True, index=True)


class MediaOwnerRow(Base):
    """Who has brought which media here, and may therefore see them."""

    __tablename__ = "media_owners"
    sha256: Mapped[str] = mapped_column(ForeignKey("media.sha256", ondelete="CASCADE"), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), primary_key=True)


class FileRow(Base):
    __tablename__ = "files"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), index=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("media.sha256"), index=True)
    name: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(String(64))
    created: Mapped[float]


class KeyRow(Base):
    __tablename__ = "keys"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    hash: Mapped[str] = mapped_column(String(128), unique=True)
    name: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[Any]]
    rate: Mapped[int | None]
    created: Mapped[float]
    revoked: Mapped[float | None]


class LedgerEntry(Base):
    __tablename__ = "ledger"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    created: Mapped[float] = mapped_column(index=True)
    key: Mapped[str | None] = mapped_column(String(64), index=True)  # kept when the key is gone
    endpoint: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    task: Mapped[str] = mapped_column(String(64))
    mode: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(64))
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    cached_tokens: Mapped[int]
    visual_tokens: Mapped[int]
    queue_seconds: Mapped[float]
    first_token_seconds: Mapped[float]
    total_seconds: Mapped[float]
    energy_joules: Mapped[float | None]


class VideoIndexRow(Base):
    """A long video that is described segment by segment. `id` stands for the owner, the video and the settings."""

    __tablename__ = "video_indexes"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), index=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("media.sha256"), index=True)
    name: Mapped[str] = mapped_column(Text)
    settings: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16))
    error: Mapped[str] = mapped_column(Text)
    chapters: Mapped[list[Any] | None]
    created: Mapped[float]


class VideoSegmentRow(Base):
    """`summary` and `events` are null until the segment has been described."""

    __tablename__ = "video_segments"
    video_index: Mapped[str] = mapped_column(ForeignKey("video_indexes.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    start: Mapped[float]
    end: Mapped[float]
    summary: Mapped[str | None] = mapped_column(Text)
    events: Mapped[list[Any] | None]


class PageTextRow(Base):
    """What a model has read on a page of a document, which need not be among the media."""

    __tablename__ = "page_texts"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    page: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)  # from 1
    model: Mapped[str] = mapped_column(Text, primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    seen: Mapped[float]  # when it was last asked for
