"""Brings a model from Hugging Face or ModelScope to this machine, completely or not at all.

Models lie in a cache folder of this package, one folder for each hub, model and revision, with a record of what has
been checked. A model that is here is used without a network; with one, files that changed on the hub are fetched again.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock
from huggingface_hub import try_to_load_from_cache

from qwen3vl.checkpoints.fetch import fetch, open_client
from qwen3vl.checkpoints.hubs import HubUnreachableError, Listing, Source, known_source, list_files
from qwen3vl.checkpoints.progress import Progress
from qwen3vl.errors import DownloadError

_RECORD, _LOCK = ".download.json", ".download.lock"


def download(
    repo_id: str,
    *,
    source: Source = "huggingface",
    revision: str | None = None,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """The folder with the model, downloaded as far as it is not here already.

    Only the files that a run needs are fetched. An interrupted download goes on where it stopped, and every file must
    have the hash that the hub publishes. Raises `DownloadError` when the model does not exist, is closed to this user,
    does not fit on the disk or arrives damaged, and when the hub cannot be reached and the model is not here.
    """
    known_source(source)
    if len(parts := repo_id.split("/")) != 2 or not all(part.strip(".") for part in parts):
        raise DownloadError(f"{repo_id!r} is not a hub id; one looks like Qwen/Qwen3-VL-4B-Instruct")
    name = repo_id if revision is None else f"{repo_id}@{revision}"
    folder = (cache_dir or default_cache()) / source / name.replace("/", "--")
    try:
        listing = list_files(repo_id, source, revision)
    except HubUnreachableError:
        if (here := downloaded(name, source=source, cache_dir=cache_dir)) is not None:
            return here
        raise
    if (theirs := _in_huggingface_cache(repo_id, listing)) is not None:
        return theirs
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / _LOCK):
            _complete(folder, listing, progress)
    except OSError as error:
        raise DownloadError(f"{repo_id} cannot be written to {folder}: {error}") from error
    return folder


def downloaded(repo_id: str, *, source: Source = "huggingface", cache_dir: Path | None = None) -> Path | None:
    """The folder of a model that was downloaded completely, or None. Asks no hub."""
    folder = (cache_dir or default_cache()) / source / repo_id.replace("/", "--")
    record = _Record.read(folder)
    return folder if record.is_complete and all((folder / file).is_file() for file in record.checked) else None


def default_cache() -> Path:
    """Where models are kept when nobody says otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "qwen3vl"


@dataclass
class _Record:
    """What of a folder has been checked: the published hash by file name."""

    checked: dict[str, str] = field(default_factory=dict)
    is_complete: bool = False

    @classmethod
    def read(cls, folder: Path) -> _Record:
        """An unreadable record counts as none: the files are then fetched again."""
        try:
            raw = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
            return cls(dict(raw["checked"]), bool(raw["is_complete"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def write(self, folder: Path) -> None:
        raw = {"checked": self.checked, "is_complete": self.is_complete}
        (folder / _RECORD).write_text(json.dumps(raw, indent=2), encoding="utf-8")


def _complete(folder: Path, listing: Listing, progress: Progress | None) -> None:
    record = _Record.read(folder)

    def is_here(name: str, size: int, digest: str) -> bool:
        path = folder / name
        return record.checked.get(name) == digest and path.is_file() and path.stat().st_size == size

    missing = [file for file in listing.files if not is_here(file.name, file.size, file.digest)]
    total = sum(file.size for file in listing.files)
    done = total - sum(file.size for file in missing)
    _check_room(folder, total - done)
    record.is_complete = False
    with open_client(listing.headers) as client:
        for file in missing:

            def on_bytes(here: int, before: int = done) -> None:
                if progress is not None:
                    progress(before + here, total)

            fetch(client, file, folder / file.name, on_bytes)
            done += file.size
            record.checked[file.name] = file.digest
            record.write(folder)
    record.checked = {file.name: file.digest for file in listing.files}
    record.is_complete = True
    record.write(folder)
    # Files of an older version must not be mistaken for this one's.
    for path in folder.iterdir():
        if path.name not in record.checked and path.name not in (_RECORD, _LOCK):
            path.unlink()


def _check_room(folder: Path, needed: int) -> None:
    arrived = sum(path.stat().st_size for path in folder.glob("*.part"))
    free = shutil.disk_usage(folder).free
    if needed - arrived > free:
        raise DownloadError(
            f"the download needs {(needed - arrived) / 1e9:.1f} GB more, but {folder} has {free / 1e9:.1f} GB left"
        )


def _in_huggingface_cache(repo_id: str, listing: Listing) -> Path | None:
    """The folder of the hub's own cache, where other programs may have put the same commit of this model."""
    if listing.commit is None:
        return None
    folders = set()
    for file in listing.files:
        path = try_to_load_from_cache(repo_id, file.name, revision=listing.commit)
        if not isinstance(path, str) or Path(path).stat().st_size != file.size:
            return None
        folders.add(Path(path).parent)
    return folders.pop()
