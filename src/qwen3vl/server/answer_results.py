"""The typed result of an answer in a conversation, and the pictures that its places are in.

An answer that a task has asked for has its result with it. Any other is read as the task `chat` reads it, also while it
is being written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from qwen3vl.errors import MediaError
from qwen3vl.media.image import decode_image
from qwen3vl.media.pdf_text import read_pages
from qwen3vl.media.video import read_header
from qwen3vl.store.database import Store
from qwen3vl.store.records import Message
from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.results import MediaInfo, TaskResult

_KINDS = {"image": "image", "video": "video", "pdf": "document"}


@dataclass(frozen=True)
class Measured:
    """A file as it is: sizes of its pictures (of a video the one of its frames), and how long it runs."""

    sizes: tuple[tuple[int, int], ...]  # width, height in pixels
    seconds: float | None = None
    frames: int = 1


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


@lru_cache(maxsize=512)
def measure(path: Path, kind: str) -> Measured:
    """A file whose bytes never change. Raises `MediaError`."""
    if kind == "video":
        header = read_header(path)
        return Measured(((header.width, header.height),), header.seconds, header.frames)
    data = path.read_bytes()
    if kind == "pdf":
        return Measured(tuple((page.width, page.height) for page in read_pages(data)))
    picture = decode_image(data)
    return Measured(((picture.width, picture.height),))


def measured_all(files: Sequence[tuple[Path, str]]) -> list[Measured | str]:
    """Each file, or what is wrong with it."""
    found: list[Measured | str] = []
    for path, kind in files:
        try:
            found.append(measure(path, kind))
        except (MediaError, OSError) as error:
            found.append(str(error))
    return found
