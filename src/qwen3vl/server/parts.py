"""Media that a request only names, by URL or by the id of an uploaded file, brought in before the engine sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qwen3vl.errors import ContextLengthError, InputError, MediaError
from qwen3vl.media.sniff import HEAD_BYTES, check_kind, media_kind
from qwen3vl.server.access import current_caller
from qwen3vl.store.records import StoredFile

if TYPE_CHECKING:
    from qwen3vl.server.services import Services

_MOST_URLS = 64  # of one request
_AT_ONCE = 4
_KINDS = {"image_url": "image", "video_url": "video"}
_NAMED = (*_KINDS, "file")


async def bring_in(messages: Sequence[Any], services: Services) -> list[Any]:
    """`messages` with the bytes in the place of URLs and file ids. What has another form than these is left as it is,
    for the prompt to judge.

    Raises `MediaError` and `InputError` that name the place.
    """
    work = _Work(services)
    return await work.replace(list(messages))


def places_of(messages: Sequence[Any]) -> dict[str, str]:
    """Where media stand in `messages`, by the places that they have once they were brought in."""
    return {
        f"messages[{m}].content[{p}].{kind}": f"messages[{m}].content[{p}].{part['type']}"
        for m, message in enumerate(messages)
        for p, part in enumerate(_parts(message))
        if isinstance(part, Mapping) and part.get("type") in _NAMED
        for kind in ("image", "video", "pdf")
    }


class _Work:
    """One request. The same URL or file is read once, however often it is named."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._read: dict[str, asyncio.Task[bytes]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._bytes_left = int(max(services.settings.server.max_body, services.settings.server.max_file))

    async def replace(self, messages: list[Any]) -> list[Any]:
        found = [
            (m, p, f"messages[{m}].content[{p}].{part['type']}", task)  # type: ignore[index]  # it has been read
            for m, message in enumerate(messages)
            for p, part in enumerate(_parts(message))
            if (task := self._begin(part)) is not None
        ]
        try:
            for m, p, where, task in found:
                part = messages[m]["content"][p]
                try:
                    data = await task
                    kind = _KINDS.get(part["type"]) or media_kind(data[:HEAD_BYTES])
                    check_kind(data[:HEAD_BYTES], kind)  # type: ignore[arg-type]  # image, video or what the bytes are
                except (MediaError, ContextLengthError, InputError) as error:
                    raise type(error)(f"{where}: {error}") from error
                content = list(messages[m]["content"])
                content[p] = {"type": kind, kind: data}
                messages[m] = {**messages[m], "content": content}
        finally:
            for task in self._read.values():
                task.cancel()
            await asyncio.gather(*self._read.values(), return_exceptions=True)
        return messages

    def _begin(self, part: object) -> asyncio.Task[bytes] | None:
        """Begins to read what a part names; None for one that brings its media along."""
        if (url := _url(part)) is not None and self._services.fetcher is not None:
            return self._once(url, self._fetch)
        if (file := file_id_of(part)) is not None:
            return self._once(file, self._open)
        return None

    def _once(self, name: str, read: Callable[[str], Coroutine[Any, Any, bytes]]) -> asyncio.Task[bytes]:
        if name not in self._read:
            if len(self._read) == _MOST_URLS:
                raise InputError(f"a request may name {_MOST_URLS} URLs and files at most")
            self._read[name] = asyncio.create_task(read(name))
        return self._read[name]

    async def _fetch(self, url: str) -> bytes:
        assert self._services.fetcher is not None
        async with self._slots:
            return self._counted(await self._services.fetcher.fetch(url))

    async def _open(self, file: str) -> bytes:
        store, stored = self._services.store, await find_file(file, self._services)
        async with self._slots:
            return self._counted(await asyncio.to_thread(store.media.path(stored.sha256).read_bytes))

    def _counted(self, data: bytes) -> bytes:
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise MediaError("the files that this request names are too large together")
        return data


async def find_file(file: str, services: Services) -> StoredFile:
    """The caller's uploaded file of that id. Raises `InputError` if there is none."""
    stored = await asyncio.to_thread(services.store.files.get, file, current_caller().owner)
    if stored is None:
        raise InputError(f"there is no file {file!r}")
    return stored


def _parts(message: object) -> Sequence[object]:
    content = message.get("content") if isinstance(message, Mapping) else None
    return content if isinstance(content, list) else ()


def _url(part: object) -> str | None:
    """The http or https URL of a part in one of the two forms that OpenAI's API has."""
    if not isinstance(part, Mapping) or part.get("type") not in _KINDS:
        return None
    value = part.get(part["type"])
    if isinstance(value, Mapping):
        if {key for key, entry in value.items() if entry is not None} - {"url", "detail"}:
            return None
        if value.get("detail") not in (None, "auto", "high"):
            return None
        value = value.get("url")
    is_url = isinstance(value, str) and value[:8].lower().startswith(("http://", "https://"))
    return value if is_url else None


def file_id_of(part: object) -> str | None:
    """The id of an uploaded file, in a part that holds nothing else."""
    if not isinstance(part, Mapping) or part.get("type") != "file" or not isinstance(part.get("file"), Mapping):
        return None
    given = {key: value for key, value in part["file"].items() if value is not None}
    name = given.get("file_id")
    return name if set(given) <= {"file_id", "filename"} and isinstance(name, str) else None
