"""One conversation as a file to keep or to hand on: Markdown, JSON, or one HTML page that needs nothing else.

Markdown and HTML hold the shown branch; JSON holds all branches. The HTML has its pictures inside, runs nothing and
loads nothing, whatever the messages say.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Literal, get_args

from markdown_it import MarkdownIt

from qwen3vl.errors import InputError
from qwen3vl.store.database import Store
from qwen3vl.store.records import Conversation, Media, Message, Part

ExportFormat = Literal["markdown", "json", "html"]
FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)

EMBEDDED_BYTES = 64 * 2**20  # of all media together in one page; what is more is named only

_STYLE = (Path(__file__).parent / "export.css").read_text(encoding="utf-8")
_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
_SHOWN_AS = {"image": "img", "video": "video"}
# No raw HTML, and no pictures: their addresses would be asked for when the page is opened.
_markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")


@dataclass(frozen=True)
class ExportedFile:
    name: str
    media_type: str
    data: bytes


def export(
    store: Store,
    conversation: Conversation,
    format: ExportFormat,
    *,
    as_json: Callable[[Message], Mapping[str, Any]] = asdict,
) -> ExportedFile:
    """`as_json`: a message as JSON has it. Raises `InputError` for an unknown format."""
    if format == "json":
        return _file(conversation, "json", "application/json", _json(store, conversation, as_json))
    branch = [] if conversation.active is None else store.messages.path(conversation.active)
    if format == "markdown":
        return _file(conversation, "md", "text/markdown", _as_markdown(conversation, branch))
    if format == "html":
        return _file(conversation, "html", "text/html", _as_html(store, conversation, branch))
    raise InputError(f"a conversation is exported as {', '.join(FORMATS)}, not as {format!r}")


def _file(conversation: Conversation, ending: str, media_type: str, text: str) -> ExportedFile:
    kept = "".join(sign if sign.isalnum() else " " for sign in conversation.title)
    name = " ".join(kept.split())[:60].strip() or "conversation"
    return ExportedFile(f"{name}.{ending}", f"{media_type}; charset=utf-8", text.encode())


def _json(store: Store, conversation: Conversation, as_json: Callable[[Message], Mapping[str, Any]]) -> str:
    messages = store.messages.tree(conversation.id)
    hashes = dict.fromkeys(part["media"] for message in messages for part in message.content if "media" in part)
    media = [asdict(found) for sha256 in hashes if (found := store.media.get(sha256)) is not None]
    tree = {
        "conversation": {key: value for key, value in asdict(conversation).items() if key != "owner"},
        "messages": [as_json(message) for message in messages],
        "media": media,
    }
    return json.dumps(tree, ensure_ascii=False, indent=2) + "\n"


def _as_markdown(conversation: Conversation, branch: Sequence[Message]) -> str:
    blocks = [f"# {_inline(conversation.title)}", _about(conversation)]
    for message in branch:
        blocks.append(f"## {_speaker(message)}")
        blocks += [f"- {part['type']}: {_inline(part['name'] or part['media'])}" for part in _media_parts(message)]
        if message.thinking:
            blocks.append("\n".join(f"> {line}".rstrip() for line in message.thinking.splitlines()))
        if message.text:
            blocks.append(message.text)
        if note := _note(message):
            blocks.append(f"*{_inline(note)}*")
    return "\n\n".join(blocks) + "\n"


def _inline(text: str) -> str:
    """Text on one line, in which Markdown finds nothing to format."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|" else sign for sign in " ".join(text.split()))


def _as_html(store: Store, conversation: Conversation, branch: Sequence[Message]) -> str:
    embed = _Embedding(store)
    title = escape(conversation.title)
    return (
        f'<!doctype html>\n<html><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{_STYLE}</style></head>\n"
        f"<body><main><h1>{title}</h1><p>{escape(_about(conversation))}</p>\n"
        f"{''.join(_article(message, embed) for message in branch)}</main></body></html>\n"
    )


def _article(message: Message, embed: Callable[[Part], str]) -> str:
    thinking = f"<details><summary>Thinking</summary>{_html(message.thinking)}</details>" if message.thinking else ""
    note = f'<p class="note">{escape(text)}</p>' if (text := _note(message)) else ""
    # A question is what somebody typed; only an answer is Markdown.
    text = _html(message.text) if message.role == "assistant" else f'<p class="typed">{escape(message.text)}</p>'
    figures = "".join(map(embed, _media_parts(message)))
    return f'<article class="{message.role}"><h2>{_speaker(message)}</h2>{figures}{thinking}{text}{note}</article>\n'


def _html(text: str) -> str:
    return str(_markdown.render(text))


class _Embedding:
    """Puts media into the page, up to `EMBEDDED_BYTES`."""

    def __init__(self, store: Store) -> None:
        self._store, self._left = store, EMBEDDED_BYTES

    def __call__(self, part: Part) -> str:
        media = self._store.media.get(part["media"])
        name = escape(part["name"] or part["type"])
        element = _SHOWN_AS.get(part["type"])
        if media is None or element is None or not self._takes(media):
            size = f", {media.size:,} bytes" if media else ""
            return f"<figure><figcaption>{name} ({part['type']}{size}; not in this file)</figcaption></figure>"
        data = base64.b64encode(self._store.media.path(media.sha256).read_bytes()).decode()
        if media.media_type == "image/gif":
            element = "img"
        source = f'src="data:{media.media_type};base64,{data}"'
        shown = f'<img {source} alt="{name}">' if element == "img" else f"<video {source} controls></video>"
        return f"<figure>{shown}<figcaption>{name}</figcaption></figure>"

    def _takes(self, media: Media) -> bool:
        if media.size > self._left or not self._store.media.path(media.sha256).is_file():
            return False
        self._left -= media.size
        return True


def _media_parts(message: Message) -> Iterator[Part]:
    return (part for part in message.content if "media" in part)


def _speaker(message: Message) -> str:
    return "Answer" if message.role == "assistant" else "Question"


def _note(message: Message) -> str:
    """How an answer ended, unless it just ended."""
    if message.state == "failed":
        return f"failed: {message.error}"
    return "" if message.state == "done" else message.state


def _about(conversation: Conversation) -> str:
    day = datetime.fromtimestamp(conversation.created, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{day}, {conversation.model}" if conversation.model else day
