"""Fonts: splits apart, every character there, a clear error without them, and subsets that draw (nearly) the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
from PIL import ImageFont

from qwen3vl.drawn import fonts
from qwen3vl.drawn.words import characters
from qwen3vl.errors import FontError

HELD_OUT = {face.file for face in fonts.FACES if face.split == "held_out"}

# Of all their glyphs, which a cut moves.
HINTED_BY_STATISTICS = {"uming.ttc", "ukai.ttc", "wqy-zenhei.ttc"}

# Draws training's pictures with no font but those of the folder that the environment names.
DRAW = """
import random
from qwen3vl.drawn import draw, fonts
fonts.SYSTEM_FOLDERS = ()
for family in ("text", "screens", "documents"):
    for seed in range(20):
        draw(random.Random(seed), family, split="train")
"""


def written_in(face: fonts.Face) -> str:
    """Every character that is drawn in this face."""
    return fonts.ASCII + fonts.LATIN_SIGNS + (fonts.CHINESE_SIGNS + characters() if face.chinese else "")


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
    assert not [c for c in written_in(face) if ord(c) not in covered]


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


def glyphs(path: Path, index: int, text: str, size: int) -> list[tuple[bytes, tuple[int, int], float]]:
    face = ImageFont.truetype(path, size, index, layout_engine=ImageFont.Layout.BASIC)
    masks = [(face.getmask2(character, "L"), face.getlength(character)) for character in text]
    return [(bytes(mask), offset, advance) for (mask, offset), advance in masks]


@pytest.fixture(scope="module")
def subsets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("subsets")
    assert len(fonts.subset_fonts(folder)) == len(fonts.FACES)
    return folder


def test_subsets_are_small(subsets: Path) -> None:
    assert sum(file.stat().st_size for file in subsets.iterdir()) < 6_000_000


@pytest.mark.parametrize("face", fonts.FACES, ids=lambda face: face.file)
def test_a_subset_draws_the_same(subsets: Path, face: fonts.Face) -> None:
    """All but a part of the glyphs where the hints come from all of them; they are as wide all the same."""
    cut, text = subsets / face.subset_file, written_in(face)
    assert {ord(character) for character in text} <= set(TTFont(cut, lazy=True).getBestCmap())
    sample = fonts.ASCII + fonts.LATIN_SIGNS + text[len(fonts.ASCII + fonts.LATIN_SIGNS) :: 10]
    for size in (12, 15, 21):
        whole, after = (glyphs(*place, sample, size) for place in (fonts.locate(face), (cut, 0)))
        if face.file in HINTED_BY_STATISTICS:
            assert [advance for *_, advance in whole] == [advance for *_, advance in after]
            assert sum(one != other for one, other in zip(whole, after, strict=True)) < 0.2 * len(sample)
        else:
            assert whole == after, size


def test_a_folder_of_subsets_is_enough_to_draw(subsets: Path) -> None:
    environment = {**os.environ, fonts.FOLDER_VARIABLE: str(subsets)}
    subprocess.run([sys.executable, "-c", DRAW], env=environment, check=True)
