"""Fonts: splits apart, every character there, a clear error without them, and subsets that draw the same."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

from qwen3vl.drawn import fonts
from qwen3vl.drawn.words import characters
from qwen3vl.errors import FontError

HELD_OUT = {face.file for face in fonts.FACES if face.split == "held_out"}

DRAW = """
import hashlib, random
from qwen3vl.drawn import draw
total = hashlib.sha256()
for family in ("text", "screens", "documents"):
    for seed in range(20):
        for frame in draw(random.Random(seed), family, split="train").frames:
            total.update(frame.tobytes())
print(total.hexdigest())
"""


def test_fonts_of_the_splits_are_disjoint() -> None:
    assert not HELD_OUT & {face.file for face in fonts.FACES if face.split == "train"}
    for chinese in (False, True):
        for style in ("sans", "serif", "mono"):
            for bold in (False, True):
                found = fonts.faces("held_out", chinese=chinese, style=style, bold=bold)
                assert found
                assert {face.file for face in found} <= HELD_OUT


@pytest.mark.parametrize("face", fonts.FACES, ids=lambda face: face.file)
def test_a_face_has_every_character_that_it_draws(face: fonts.Face) -> None:
    path, index = fonts.locate(face)
    covered = TTFont(path, fontNumber=index, lazy=True).getBestCmap()
    needed = fonts.ASCII + fonts.LATIN_SIGNS + (fonts.CHINESE_SIGNS + characters() if face.chinese else "")
    assert not [c for c in needed if ord(c) not in covered]


def test_a_missing_font_names_its_package() -> None:
    lost = fonts.Face("Nowhere.ttf", "fonts-nowhere", "sans")
    with pytest.raises(FontError, match="fonts-nowhere"):
        fonts.locate(lost)


def test_width_is_where_the_pen_ends() -> None:
    font = fonts.font(fonts.FACES[0], 16)
    assert font.width("") == 0
    assert font.width("mm") == pytest.approx(2 * font.width("m"), abs=1)
    assert font.width("illi") < font.width("mmmm")


def test_what_leaves_no_ink_has_no_box() -> None:
    with pytest.raises(ValueError, match="no ink"):
        fonts.font(fonts.FACES[0], 16).ink(0, 0, "  ")


def drawn_with(folder: Path | None) -> str:
    environment = {**os.environ, fonts.FOLDER_VARIABLE: str(folder) if folder else ""}
    run = subprocess.run([sys.executable, "-c", DRAW], env=environment, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_subsets_are_small_and_draw_the_same(tmp_path: Path) -> None:
    """As training draws: held-out WenQuanYi Zen Hei is hinted by statistics of all its glyphs, which a cut moves."""
    files = fonts.subset_fonts(tmp_path)
    assert len(files) == len(fonts.FACES)
    assert sum(file.stat().st_size for file in files) < 6_000_000
    assert len(drawn_with(None)) == hashlib.sha256().digest_size * 2
    assert drawn_with(tmp_path) == drawn_with(None)
