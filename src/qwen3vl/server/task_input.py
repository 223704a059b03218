"""What a task is asked about: OpenAI's content parts, decoded once, and measured for the task that reads the answer."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qwen3vl.errors import InputError
from qwen3vl.media.image import decode_image
from qwen3vl.media.pdf_text import PdfPage, read_pages
from qwen3vl.media.sniff import HEAD_BYTES, media_kind
from qwen3vl.media.source import read_source
from qwen3vl.media.types import Image
from qwen3vl.media.video import read_header
from qwen3vl.prompt.messages import FindControlToken, MediaPart, parse_messages
from qwen3vl.server.contents import name_of
from qwen3vl.server.parts import bring_in, file_id_of, find_file, places_of
from qwen3vl.server.places import renamed
from qwen3vl.tasks.results import MediaInfo

if TYPE_CHECKING:
    from qwen3vl.server.services import Services


@dataclass(frozen=True)
class GivenFile:
    """A picture, video or document: its bytes, the part of a message that it makes, and of a document the pages."""

    data: bytes
    part: dict[str, Any]
    name: str
    pages: Sequence[PdfPage] = ()

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass
class TaskInput:
    """`content`: the media as parts of a message; `media`: the same measured, a document page by page; `files`: what
    they are of; `places`: where each of them stands in the input.
    """

    content: list[dict[str, Any]] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    media: list[MediaInfo] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    files: list[GivenFile] = field(default_factory=list)


async def read_input(
    parts: Sequence[Mapping[str, Any]],
    services: Services,
    find_control_token: FindControlToken,
    names: Sequence[str] | None = None,
) -> TaskInput:
    """`names`: what the files are called, where the parts do not say it. Raises `InputError` and `MediaError` that name
    the part.
    """
    if not parts:
        return TaskInput()
    named = {old: new.replace("messages[0].content", "input") for old, new in places_of([{"content": parts}]).items()}
    try:
        messages = await bring_in([{"role": "user", "content": list(parts)}], services)
        message = parse_messages(messages, find_control_token)[0]
        called = names or [await _called(part, services) for part in parts]
        return await asyncio.to_thread(_read, message.content, called, named)
    except InputError as error:
        raise renamed(error, ["input"], {**named, "messages[0].content": "input"}) from error


async def _called(part: Mapping[str, Any], services: Services) -> str:
    file = file_id_of(part)
    return name_of(part) if file is None else (await find_file(file, services)).name


def _read(content: str | Sequence[str | MediaPart], names: Sequence[str], named: Mapping[str, str]) -> TaskInput:
    found = TaskInput()
    for part, name in zip(content, names, strict=True):
        if isinstance(part, str):
            found.texts.append(part)
            continue
        try:
            _add(part, name, found)
        except InputError as error:
            raise type(error)(f"{part.where}: {error}") from error
        found.places.append(named.get(part.where, part.where).replace("messages[0].content", "input"))
    return found


def _add(part: MediaPart, name: str, found: TaskInput) -> None:
    data = read_source(part.source, allow_files=False)
    assert not isinstance(data, Image), "JSON holds no pictures"
    kind = media_kind(data[:HEAD_BYTES]) if part.kind == "file" else part.kind
    content: object = data
    pages: Sequence[PdfPage] = ()
    number = len(found.files)
    if kind == "image":
        content = picture = decode_image(data)
        found.media.append(MediaInfo("image", picture.width, picture.height, name=name, file=number))
    elif kind == "video":
        header = read_header(data)
        found.media.append(MediaInfo("video", header.width, header.height, header.seconds, name=name, file=number))
    else:
        pages = read_pages(data)
        found.media += [
            MediaInfo("document", p.width, p.height, page=n, name=name, file=number) for n, p in enumerate(pages, 1)
        ]
    found.content.append({"type": kind, kind: content})
    found.files.append(GivenFile(data, found.content[-1], name, pages))
