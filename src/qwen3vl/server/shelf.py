"""The models that a server may load: the one it began with, the folders of its settings, the catalogue, and hub ids.

A name that comes over the network never becomes a path: it is looked up here, or fetched from a hub.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qwen3vl.checkpoints.catalogue import CATALOGUE, ReleasedModel, ShippedModel, find
from qwen3vl.checkpoints.download import download, downloaded
from qwen3vl.checkpoints.locate import locate
from qwen3vl.checkpoints.progress import Progress
from qwen3vl.settings import ModelSettings

if TYPE_CHECKING:
    from qwen3vl.engine.engine import Engine

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


class Shelf:
    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        folder = Path(settings.name).expanduser()
        self.default = folder.resolve().name if folder.is_dir() else settings.name
        """What requests may call the model that the settings name."""

    @property
    def has_budget(self) -> bool:
        """Whether memory is bounded by a number, which is then meant for one model and not for two."""
        return self._settings.memory is not None

    def names(self) -> list[str]:
        """Those of the folders, then the catalogue."""
        return list(dict.fromkeys([*self._folders(), *CATALOGUE]))

    def knows(self, name: str) -> bool:
        known = name == self.default or name in self._folders() or find(name) is not None
        return known or bool(_HUB_ID.fullmatch(name))

    def is_here(self, name: str) -> bool:
        """Whether `name` can be loaded without a download."""
        if name in self._folders() or (name == self.default and Path(self._settings.name).expanduser().is_dir()):
            return True
        known = find(name)
        if isinstance(known, ShippedModel):
            return True
        hub_id = known.hub_id if isinstance(known, ReleasedModel) else name
        return downloaded(hub_id, source=self._settings.source) is not None

    def fetch(self, name: str, progress: Progress) -> Path:
        """The folder of `name`, downloaded first if need be. Raises `CheckpointError` and `DownloadError`."""
        if name == self.default:
            return locate(self._settings.name, source=self._settings.source, progress=progress)
        if (folder := self._folders().get(name)) is not None:
            return folder
        known = find(name)
        if isinstance(known, ShippedModel):
            return known.folder
        return download(known.hub_id if known else name, source=self._settings.source, progress=progress)

    def load(self, name: str, folder: Path, progress: Progress) -> Engine:
        """Loads as the settings say. Raises what `Engine.load` raises."""
        from qwen3vl.engine.engine import Engine

        settings = self._settings
        engine = Engine.load(
            folder,
            device=settings.device,
            dtype=settings.dtype,
            quantization=settings.quantization,
            kv_cache=settings.kv_cache,
            memory=settings.memory,
            max_context=settings.max_context,
            speculation=settings.speculation,
            progress=progress,
        )
        engine.info = replace(engine.info, name=name)
        return engine

    def _folders(self) -> dict[str, Path]:
        """Sub-folders with a config.json, by name; of two with one name the first counts."""
        found: dict[str, Path] = {}
        for parent in self._settings.folders:
            parent = parent.expanduser()
            for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
                if (folder / "config.json").is_file():
                    found.setdefault(folder.name, folder)
        return found
