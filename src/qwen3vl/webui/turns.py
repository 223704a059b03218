"""Messages as the page shows them: the shown branch with what stands beside it, and an answer with its typed result.

Knows the store and the tasks; nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from qwen3vl.server.answer_results import pictures_of, read_result
from qwen3vl.store import Store
from qwen3vl.store.records import Conversation, Message
from qwen3vl.webui.markdown import highlighted, to_html


def conversation_view(store: Store, conversation: Conversation) -> dict[str, Any]:
    """The shown branch from its first question on, and of each message its alternatives."""
    tree = store.messages.tree(conversation.id)
    by_id = {message.id: message for message in tree}
    children: dict[int | None, list[int]] = {}
    for message in tree:
        children.setdefault(message.parent, []).append(message.id)
    branch: list[Message] = []
    at = conversation.active
    while at is not None and at in by_id:
        branch.append(by_id[at])
        at = by_id[at].parent
    turns = [{**turn(message, store), "siblings": children[message.parent]} for message in reversed(branch)]
    return {"id": conversation.id, "title": conversation.title, "turns": turns}


def turn(message: Message, store: Store) -> dict[str, Any]:
    """One message, its text as HTML too."""
    names = (
        "id",
        "conversation",
        "parent",
        "role",
        "state",
        "text",
        "thinking",
        "request",
        "usage",
        "error",
        "error_code",
    )
    shown = {name: getattr(message, name) for name in (*names, "finish_reason", "created")}
    if message.role == "user":
        return {**shown, "files": [file_view(part, store) for part in message.content if "media" in part]}
    said = message.text if message.result is None else message.result["text"]  # a task may find the words in JSON
    return {**shown, "text": said, "html": to_html(said), "thinking_html": to_html(message.thinking)}


def file_view(part: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """A file of a question."""
    found = store.media.get(part["media"])
    known = {} if found is None else asdict(found)
    facts = {name: known.get(name) for name in ("media_type", "size", "width", "height", "duration", "pages")}
    return {"type": part["type"], "media": part["media"], "name": part["name"], **facts}


def result_view(store: Store, answer: Message) -> dict[str, Any]:
    """What was found in an answer, and the pictures that it is about. Of one that is being written: so far."""
    pictures = pictures_of(store, answer)
    result = read_result(answer, pictures)
    return {
        "id": answer.id,
        "state": answer.state,
        "result": result.model_dump(mode="json"),
        "colours": [highlighted(block.source, block.language) for block in result.code],
        "pictures": [asdict(picture) for picture in pictures],
        "exports": {key: export.filename for key, export in result.exports().items()},
    }
