"""Messages as the page shows them: the shown branch with what stands beside it, and an answer with its typed result.

Knows the store and the tasks; nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qwen3vl.store import Store
from qwen3vl.store.records import Conversation, Message
from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.results import MediaInfo, TaskResult
from qwen3vl.webui.costs import Measured, measured_all
from qwen3vl.webui.markdown import highlighted, to_html

_KINDS = {"image": "image", "video": "video", "pdf": "document"}


@dataclass(frozen=True)
class Picture:
    """Something that places in an answer refer to by number: a picture, a video, or one page of a document."""

    kind: str  # "image", "video" or "document"
    media: str
    media_type: str
    name: str
    width: int
    height: int
    seconds: float | None = None
    page: int | None = None  # within its file, from 1


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
    names = ("id", "conversation", "parent", "role", "state", "text", "thinking", "request", "usage", "error")
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


def read_result(answer: Message, pictures: Sequence[Picture]) -> TaskResult:
    """The result that is kept with an answer, or what its task finds in the text that there is."""
    if answer.result is not None:
        return TaskResult.model_validate(answer.result)
    request = answer.request or {}
    task = TASKS.get(request.get("task", "chat"), TASKS["chat"])
    given = {"question": "-"} if task.name == "chat" else request.get("params", {})
    media = [MediaInfo(p.kind, p.width, p.height, p.seconds, p.page, p.name) for p in pictures]  # type: ignore[arg-type]
    result = task.reader(task.params.model_validate(given), media).finish(answer.text)
    # Half an answer lacks what it lacks because it is half.
    warnings = result.warnings if answer.state == "done" else []
    return result.model_copy(update={"thinking": answer.thinking, "warnings": warnings})


def pictures_of(store: Store, answer: Message) -> list[Picture]:
    """The files of the question, or else of the last question before it that had any; documents page by page."""
    parts: list[Mapping[str, Any]] = []
    for message in reversed(store.messages.path(answer.id)):
        parts = [part for part in message.content if "media" in part]
        if parts:
            break
    measured = measured_all([(store.media.path(part["media"]), part["type"]) for part in parts])
    return [picture for part, each in zip(parts, measured, strict=True) for picture in _pictures(store, part, each)]


def _pictures(store: Store, part: Mapping[str, Any], measured: Measured | str) -> list[Picture]:
    kept = store.media.get(part["media"])
    if isinstance(measured, str) or kept is None:  # its bytes are gone: it still counts as one
        return [Picture(_KINDS[part["type"]], part["media"], "", part["name"], 1000, 1000)]
    pages = part["type"] == "pdf"
    return [
        Picture(
            _KINDS[part["type"]],
            part["media"],
            kept.media_type,
            part["name"],
            width,
            height,
            measured.seconds,
            number if pages else None,
        )
        for number, (width, height) in enumerate(measured.sizes, 1)
    ]
