"""Fetches one file over HTTP: resumes where it was cut off, and lets nothing pass whose hash differs from the published
one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from qwen3vl.checkpoints.hubs import RemoteFile
from qwen3vl.errors import DownloadError

_TIMEOUT = httpx.Timeout(30.0, read=60.0)
_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)  # between attempts that brought no new byte
_RETRIED_STATUS = {408, 429, 500, 502, 503, 504}


class _Interrupted(Exception):
    """Worth another attempt."""


def open_client(headers: Mapping[str, str]) -> httpx.Client:
    """A client for the files of one listing. Its connections are reused from file to file."""
    # Ranges count encoded bytes, so a compressed answer could not be resumed.
    identity = {"accept-encoding": "identity"}
    return httpx.Client(headers={**headers, **identity}, follow_redirects=True, timeout=_TIMEOUT)


def fetch(client: httpx.Client, file: RemoteFile, target: Path, on_bytes: Callable[[int], None]) -> None:
    """Writes `file` to `target`. `on_bytes` gets the number of its bytes that are here, now and then.

    What has arrived lies in a `.part` file beside the target until it is whole, and the next call goes on from there.
    Raises `DownloadError` when the server refuses, when the connection breaks several times in a row without a new
    byte, and when the content does not have the published size and hash; in the last case the content is deleted.
    """
    # The hash in the name keeps a newer version of the file from being glued to the beginning of an older one.
    part = target.with_name(f"{target.name}.{file.digest.partition(':')[2][:12]}.part")
    idle = 0
    while (before := _size(part)) < file.size or not part.exists():
        try:
            _attempt(client, file, part, on_bytes)
            break  # the server says that this is all
        except (_Interrupted, httpx.TransportError) as error:
            idle = 0 if _size(part) > before else idle + 1
            if idle > len(_PAUSES_SECONDS):
                raise DownloadError(
                    f"{file.name} broke off after {_size(part)} of {file.size} bytes ({error}); "
                    "what has arrived is kept, so try again to go on from there"
                ) from error
            time.sleep(_PAUSES_SECONDS[idle - 1] if idle else 0.0)
    if _size(part) != file.size or _digest(part, file.digest) != file.digest:
        size = _size(part)
        part.unlink()
        raise DownloadError(
            f"{file.name} arrived damaged ({size} bytes, {file.size} expected, or another hash than published) "
            "and was deleted; try again"
        )
    part.replace(target)


def _attempt(client: httpx.Client, file: RemoteFile, part: Path, on_bytes: Callable[[int], None]) -> None:
    here = _size(part)
    wanted = {"range": f"bytes={here}-"} if here else {}
    with client.stream("GET", file.url, headers=wanted) as answer:
        if answer.status_code in _RETRIED_STATUS:
            raise _Interrupted(f"HTTP {answer.status_code}")
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # its file ends before what is here: the size will tell
        if answer.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            reason = "you have no access to it" if answer.status_code in (401, 403) else answer.reason_phrase
            raise DownloadError(f"{file.name} cannot be downloaded: HTTP {answer.status_code}, {reason}")
        # A server that knows no ranges answers 200 and starts again from the first byte.
        if answer.status_code == httpx.codes.OK:
            here = 0
        with part.open("r+b" if here else "wb") as out:
            out.seek(here)
            for chunk in answer.iter_bytes():  # as they come, so that a break loses none
                out.write(chunk)
                here += len(chunk)
                if here > file.size:
                    return
                on_bytes(here)


def _digest(path: Path, like: str) -> str:
    """The hash of a file, of the kind that `like` begins with. Git hashes a header with the length first."""
    with path.open("rb") as content:
        if like.startswith("sha256:"):
            return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
        header = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        return f"git:{hashlib.file_digest(content, lambda: header).hexdigest()}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
