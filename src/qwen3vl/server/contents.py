"""What a person sends with a question, checked and kept: text as it is, media in the store, named by their hash."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qwen3vl.errors import InputError, MediaError
from qwen3vl.media.describe import describe
from qwen3vl.media.sniff import MediaKind
from qwen3vl.media.source import read_source
from qwen3vl.prompt.messages import MediaPart, parse_messages
from qwen3vl.server.access import current_caller
from qwen3vl.server.parts import bring_in, file_id_of, find_file, places_of
from qwen3vl.server.places import renamed
from qwen3vl.store.database import Store
from qwen3vl.store.records import Media, Part

if TYPE_CHECKING:
    from qwen3vl.server.services import Services

_KINDS = ("image", "video", "pdf")


async def take_in(content: str | Sequence[Mapping[str, Any]], services: Services) -> list[Part]:
    """`content` in the store's form: OpenAI's parts (`text`, `image_url`, `video_url`, `file`), and media that the
    store has already, as `{"type": "image", "media": sha256}`.

    Raises `InputError` and `MediaError` that name the part, before anything of a part that cannot be read is kept.
    """
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    content = [await _uploaded(part, i, services) for i, part in enumerate(content)]
    try:
        own = [_is_own(part) for part in content]
        # In the place of those that are here already a text stands, so that errors count the parts as the client does.
        others = [{"type": "text", "text": "-"} if is_own else part for part, is_own in zip(content, own, strict=True)]
        [message] = await bring_in([{"role": "user", "content": others}], services)
        [parsed] = parse_messages([message], lambda text: None)  # control tokens are the model's to judge
        return [
            await asyncio.to_thread(_known, part, i, services.store)
            if own[i]
            else await asyncio.to_thread(_keep, parsed.content[i], name_of(part), services.store)
            for i, part in enumerate(content)
        ]
    except InputError as error:
        raise renamed(error, ["content"], {**_places(content), "messages[0].content": "content"}) from error


def _places(content: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    named = places_of([{"content": content}])
    return {old: new.replace("messages[0].", "", 1) for old, new in named.items()}


def keep(store: Store, data: bytes, kind: MediaKind | None = None, name: str = "") -> Media:
    """Keeps a picture, video or PDF with its description, for who calls. Raises `MediaError` and `StoreError`."""
    found = describe(data, kind)
    return store.media.add(
        data,
        kind=found.kind,
        media_type=found.media_type,
        width=found.width,
        height=found.height,
        duration=found.seconds,
        pages=found.pages,
        name=name,
        owner=current_caller().owner,
    )


async def _uploaded(part: Mapping[str, Any], i: int, services: Services) -> Mapping[str, Any]:
    """An uploaded file is in the store already, so its bytes are not read; other parts as they are."""
    if (file := file_id_of(part)) is None:
        return part
    try:
        stored = await find_file(file, services)
    except InputError as error:
        raise InputError(f"content[{i}].file.file_id: {error}") from error
    media = await asyncio.to_thread(services.store.media.get, stored.sha256)
    assert media is not None, "a file refers to its media"
    return {"type": media.kind, "media": media.sha256, "name": stored.name}


def _is_own(part: Mapping[str, Any]) -> bool:
    return "media" in part


def _known(part: Mapping[str, Any], i: int, store: Store) -> Part:
    where, sha256, name = f"content[{i}]", part["media"], part.get("name", "")
    if set(part) - {"type", "media", "name"} or not isinstance(sha256, str) or not isinstance(name, str):
        raise InputError(f"{where} must have a type, the hash of its media, and at most a name")
    known = len(sha256) == 64 and sha256.isalnum()
    media = store.media.get(sha256, current_caller().owner) if known else None
    if media is None:
        raise InputError(f"{where}.media: there is no media {sha256!r} in the store")
    kind = part.get("type")
    if kind not in _KINDS or (kind != media.kind and media.media_type != "image/gif"):
        raise InputError(f"{where}.type is {kind!r}, but {sha256} is of type {media.kind!r}")
    return {"type": kind, "media": sha256, "name": name or media.name}


def _keep(part: str | MediaPart, name: str, store: Store) -> Part:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    try:
        data = read_source(part.source, allow_files=False)
        assert isinstance(data, bytes), "JSON holds no picture objects"
        kind = None if part.kind == "file" else part.kind
        media = keep(store, data, kind, name)
    except MediaError as error:
        raise MediaError(f"{part.where}: {error}") from error
    return {"type": kind or media.kind, "media": media.sha256, "name": name or media.name}


def name_of(part: Mapping[str, Any]) -> str:
    """What the client calls a file."""
    file = part.get("file")
    name = file.get("filename") if isinstance(file, Mapping) else None
    return name.replace("\\", "/").rpartition("/")[2][:255] if isinstance(name, str) else ""
