"""From what a person calls a model to the folder that holds it."""

from __future__ import annotations

import re
from pathlib import Path

from qwen3vl.checkpoints.catalogue import ShippedModel, find, lookup
from qwen3vl.checkpoints.download import download
from qwen3vl.checkpoints.hubs import Source
from qwen3vl.checkpoints.progress import Progress
from qwen3vl.errors import CheckpointError

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def locate(model: str | Path, *, source: Source = "huggingface", progress: Progress | None = None) -> Path:
    """The folder of `model`: a folder, a name of the catalogue or a hub id, in this order. Models that are not on this
    machine are downloaded from `source`; the tiny ones never need to be.

    Raises `CheckpointError` for a folder that does not exist and for a name that nobody knows, with the nearest known
    names, and `DownloadError` when a download fails.
    """
    folder = Path(model).expanduser()
    if str(model) and folder.is_dir():
        return folder
    if isinstance(model, Path):
        raise CheckpointError(f"{model} is not a folder")
    if find(model) is None and _HUB_ID.fullmatch(model):
        return download(model, source=source, progress=progress)
    known = lookup(model)
    return known.folder if isinstance(known, ShippedModel) else download(known.hub_id, source=source, progress=progress)
