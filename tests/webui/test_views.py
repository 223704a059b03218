from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from qwen3vl.errors import MediaError
from qwen3vl.tasks.attachment import Attachment
from qwen3vl.webui.views import MAX_PAGES_SHOWN, PAGE_SIDE, View, views_of


def cost(width: int, height: int) -> int:
    return width * 10_000 + height


def look(path: Path) -> list[View]:
    return views_of(Attachment.from_file(path), cost)


def test_a_photo_taken_sideways_has_the_size_that_one_sees(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.new("RGB", (60, 40)).save(tmp_path / "sideways.jpg", exif=exif)
    [view] = look(tmp_path / "sideways.jpg")
    assert (view.width, view.height, view.tokens) == (40, 60, 400_060)


def test_names_survive_in_addresses(tmp_path: Path) -> None:
    path = tmp_path / 'a "b" #1?.png'
    Image.new("RGB", (8, 8)).save(path)
    [view] = look(path)
    assert view.name == path.name
    assert view.url.startswith("gradio_api/file=/")
    assert not set('"#? ') & set(view.url)


def test_pages_of_a_document(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (300, 600), "white") for _ in range(MAX_PAGES_SHOWN + 2)]
    pages[0].save(tmp_path / "paper.pdf", save_all=True, append_images=pages[1:])
    views = look(tmp_path / "paper.pdf")
    assert [view.name for view in views] == [f"paper.pdf, {number}" for number in range(1, MAX_PAGES_SHOWN + 1)]
    shown = Image.open(io.BytesIO(base64.b64decode(views[0].url.removeprefix("data:image/jpeg;base64,"))))
    assert max(shown.size) == PAGE_SIDE
    assert views[0].width / views[0].height == pytest.approx(0.5, abs=0.01)


def test_what_moves_has_no_size(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "film.mp4").write_bytes(b"\x00\x00\x00\x18ftypisom")
    assert [look(tmp_path / name)[0].moves for name in ("moving.gif", "film.mp4")] == ["as image", "as video"]


@pytest.mark.parametrize("start", [b"\x89PNG\r\n\x1a\n", b"%PDF-1.7\n", b"GIF89a"])
def test_a_broken_file_is_named(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "broken").write_bytes(start + b"nothing more")
    with pytest.raises(MediaError, match=r"^broken: "):
        look(tmp_path / "broken")
