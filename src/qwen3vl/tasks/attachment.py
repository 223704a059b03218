"""A file that a person adds to a question, as the part of a message that holds it. Looks at its first bytes only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from qwen3vl.errors import MediaError
from qwen3vl.media.sniff import GIF, HEAD_BYTES, FileFormat, MediaKind, file_format


@dataclass(frozen=True)
class Attachment:
    path: Path
    format: FileFormat

    @classmethod
    def from_file(cls, path: Path) -> Attachment:
        """Raises `MediaError`, with the file's name, for what is not there or is no picture, video or PDF."""
        try:
            with path.open("rb") as file:
                return cls(path, file_format(file.read(HEAD_BYTES)))
        except OSError as error:
            raise MediaError(f"{path} cannot be read: {error.strerror}") from error
        except MediaError as error:
            raise MediaError(f"{path.name}: {error}") from error

    @property
    def kind(self) -> MediaKind:
        """A GIF that moves counts as a video: a person who adds one means what happens in it."""
        return "video" if self.format == GIF and self._moves() else self.format.kinds[0]

    @property
    def part(self) -> dict[str, Any]:
        """The message part, for an engine that may read files."""
        return {"type": self.kind, self.kind: self.path}

    def _moves(self) -> bool:
        try:
            with Image.open(self.path) as image:
                return bool(getattr(image, "is_animated", False))
        except OSError:
            return False  # a broken picture: whoever decodes it says so
