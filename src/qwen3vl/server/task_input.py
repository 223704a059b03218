"""What a task is asked about: OpenAI's content parts, decoded once, and measured for the task that reads the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qwen3vl.errors import InputError
from qwen3vl.media.image import decode_image
from qwen3vl.media.pdf import read_pages
from qwen3vl.media.sniff import HEAD_BYTES, media_kind
from qwen3vl.media.source import read_source
from qwen3vl.media.types import Image
from qwen3vl.media.video import read_header
from qwen3vl.prompt.messages import FindControlToken, MediaPart, parse_messages
from qwen3vl.server.parts import bring_in
from qwen3vl.tasks.results import MediaInfo

if TYPE_CHECKING:
    from qwen3vl.server.services import Services


@dataclass
class TaskInput:
    """`content`: the media as parts of a message; `media`: the same measured, a document page by page."""

    content: list[dict[str, Any]] = field(default_factory=list)
    media: list[MediaInfo] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    pages_text: list[str] = field(default_factory=list)


async def read_input(
    parts: Sequence[Mapping[str, Any]], services: Services, find_control_token: FindControlToken
) -> TaskInput:
    """Raises `InputError` and `MediaError` that name the part."""
    if not parts:
        return TaskInput()
    try:
        messages = await bring_in([{"role": "user", "content": list(parts)}], services)
        message = parse_messages(messages, find_control_token)[0]
        return await asyncio.to_thread(_read, message.content)
    except InputError as error:
        raise type(error)(str(error).replace("messages[0].content", "input")) from error


def _read(content: str | Sequence[str | MediaPart]) -> TaskInput:
    found = TaskInput()
    for part in content:
        if isinstance(part, str):
            found.texts.append(part)
            continue
        try:
            _add(part, found)
        except InputError as error:
            raise type(error)(f"{part.where}: {error}") from error
    return found


def _add(part: MediaPart, found: TaskInput) -> None:
    data = read_source(part.source, allow_files=False)
    assert not isinstance(data, Image), "JSON holds no pictures"
    kind = media_kind(data[:HEAD_BYTES]) if part.kind == "file" else part.kind
    if kind == "image":
        picture = decode_image(data)
        found.media.append(MediaInfo("image", picture.width, picture.height))
        found.content.append({"type": "image", "image": picture})
        return
    if kind == "video":
        header = read_header(data)
        found.media.append(MediaInfo("video", header.width, header.height, header.seconds))
    else:
        pages = read_pages(data)
        first = sum(medium.kind == "document" for medium in found.media) + 1
        found.media += [MediaInfo("document", p.width, p.height, page=n) for n, p in enumerate(pages, first)]
        found.pages_text += [page.text for page in pages]
    found.content.append({"type": kind, kind: data})
