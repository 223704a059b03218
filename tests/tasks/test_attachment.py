from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from qwen3vl.errors import MediaError
from qwen3vl.tasks.attachment import Attachment


def test_kinds(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "still.png")
    frames[0].save(tmp_path / "still.gif")
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "paper.txt").write_bytes(b"%PDF-1.7\n")  # a name proves nothing
    for name, kind in (("still.png", "image"), ("still.gif", "image"), ("moving.gif", "video"), ("paper.txt", "pdf")):
        attachment = Attachment.from_file(tmp_path / name)
        assert attachment.kind == kind
        assert attachment.part == {"type": kind, kind: tmp_path / name}


def test_what_cannot_be_added(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("just text")
    (tmp_path / "nothing.png").touch()
    for name, words in (("notes.png", "no known format"), ("nothing.png", "empty"), ("gone.png", "No such file")):
        with pytest.raises(MediaError, match=rf"{name}.*{words}"):
            Attachment.from_file(tmp_path / name)
    with pytest.raises(MediaError, match="cannot be read"):
        Attachment.from_file(tmp_path)
