"""The fonts that drawing uses: which faces, which Debian package brings each, where they are, and subsets to carry.

A folder named by the environment variable `QWEN3VL_FONTS` is searched first, then the usual font folders of the system.
A face that is not found is an error that names its package; no other face is taken in its place.
"""

from __future__ import annotations

import math
import os
import string
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from qwen3vl.drawn.sample import Split
from qwen3vl.drawn.words import characters
from qwen3vl.errors import FontError

FOLDER_VARIABLE = "QWEN3VL_FONTS"
SYSTEM_FOLDERS = (
    "/usr/share/fonts",
    "/usr/share/texmf/fonts",  # TeX Gyre
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/Library/Fonts",
)
ASCII = string.printable[:95]
LATIN_SIGNS = "€£"
CHINESE_SIGNS = "，。！？：；、（）“”￥"

Style = Literal["sans", "serif", "mono"]


@dataclass(frozen=True)
class Face:
    """One font file (and the index in it, for a collection). `chinese` faces draw Chinese as well as English."""

    file: str
    package: str
    style: Style
    bold: bool = False
    split: Split = "train"
    chinese: bool = False
    index: int = 0

    @property
    def subset_file(self) -> str:
        return f"{Path(self.file).stem}.subset.otf"


FACES = (
    Face("DejaVuSans.ttf", "fonts-dejavu-core", "sans"),
    Face("DejaVuSans-Bold.ttf", "fonts-dejavu-core", "sans", bold=True),
    Face("DejaVuSerif.ttf", "fonts-dejavu-core", "serif"),
    Face("DejaVuSansMono.ttf", "fonts-dejavu-core", "mono"),
    Face("LiberationSans-Regular.ttf", "fonts-liberation", "sans"),
    Face("LiberationSans-Bold.ttf", "fonts-liberation", "sans", bold=True),
    Face("LiberationSansNarrow-Regular.ttf", "fonts-liberation", "sans"),
    Face("LiberationSerif-Regular.ttf", "fonts-liberation", "serif"),
    Face("LiberationSerif-Bold.ttf", "fonts-liberation", "serif", bold=True),
    Face("LiberationMono-Regular.ttf", "fonts-liberation", "mono"),
    Face("OpenSans-Regular.ttf", "fonts-open-sans", "sans"),
    Face("OpenSans-Semibold.ttf", "fonts-open-sans", "sans", bold=True),
    Face("Roboto-Regular.ttf", "fonts-roboto-unhinted", "sans"),
    Face("Roboto-Medium.ttf", "fonts-roboto-unhinted", "sans", bold=True),
    Face("Cantarell-Regular.otf", "fonts-cantarell", "sans"),
    Face("Inter-Regular.otf", "fonts-inter", "sans"),
    Face("Inter-SemiBold.otf", "fonts-inter", "sans", bold=True),
    Face("Carlito-Regular.ttf", "fonts-crosextra-carlito", "sans"),
    Face("FiraCode-Regular.ttf", "fonts-firacode", "mono"),
    Face("texgyreheros-regular.otf", "fonts-texgyre", "sans"),
    Face("texgyreheros-bold.otf", "fonts-texgyre", "sans", bold=True),
    Face("texgyreheroscn-regular.otf", "fonts-texgyre", "sans"),
    Face("texgyreadventor-regular.otf", "fonts-texgyre", "sans"),
    Face("texgyretermes-regular.otf", "fonts-texgyre", "serif"),
    Face("texgyretermes-bold.otf", "fonts-texgyre", "serif", bold=True),
    Face("texgyrepagella-regular.otf", "fonts-texgyre", "serif"),
    Face("texgyrepagella-bold.otf", "fonts-texgyre", "serif", bold=True),
    Face("texgyrebonum-regular.otf", "fonts-texgyre", "serif"),
    Face("texgyreschola-regular.otf", "fonts-texgyre", "serif"),
    Face("texgyreschola-bold.otf", "fonts-texgyre", "serif", bold=True),
    Face("texgyrecursor-regular.otf", "fonts-texgyre", "mono"),
    Face("texgyrecursor-bold.otf", "fonts-texgyre", "mono", bold=True),
    Face("Go-Regular.ttf", "fonts-go", "sans"),
    Face("Go-Bold.ttf", "fonts-go", "sans", bold=True),
    Face("Go-Mono.ttf", "fonts-go", "mono"),
    Face("PTS55F.ttf", "fonts-paratype", "sans"),
    Face("PTS75F.ttf", "fonts-paratype", "sans", bold=True),
    Face("PTC55F.ttf", "fonts-paratype", "sans"),
    Face("PTF55F.ttf", "fonts-paratype", "serif"),
    Face("PTF75F.ttf", "fonts-paratype", "serif", bold=True),
    Face("PTM55F.ttf", "fonts-paratype", "mono"),
    Face("JetBrainsMono-Regular.ttf", "fonts-jetbrains-mono", "mono"),
    Face("JetBrainsMono-Bold.ttf", "fonts-jetbrains-mono", "mono", bold=True),
    Face("mononoki-Regular.ttf", "fonts-mononoki", "mono"),
    Face("Inconsolata.otf", "fonts-inconsolata", "mono"),
    Face("agave-r-autohinted.ttf", "fonts-agave", "mono"),
    Face("NotoSansMono-Regular.ttf", "fonts-noto-mono", "mono"),
    Face("Oxygen-Sans.ttf", "fonts-oxygen", "sans"),
    Face("Oxygen-Sans-Bold.ttf", "fonts-oxygen", "sans", bold=True),
    Face("Cabin-Regular.otf", "fonts-cabin", "sans"),
    Face("Cabin-Bold.otf", "fonts-cabin", "sans", bold=True),
    Face("Karla-Regular.otf", "fonts-karla", "sans"),
    Face("Karla-Bold.otf", "fonts-karla", "sans", bold=True),
    Face("Quicksand-Medium.ttf", "fonts-quicksand", "sans"),
    Face("Dosis-Medium.otf", "fonts-dosis", "sans"),
    Face("Dosis-Bold.otf", "fonts-dosis", "sans", bold=True),
    Face("Play-Regular.ttf", "fonts-play", "sans"),
    Face("Tuffy.ttf", "fonts-tuffy", "sans"),
    Face("Tuffy_Bold.ttf", "fonts-tuffy", "sans", bold=True),
    Face("Jura-Medium.otf", "fonts-jura", "sans"),
    Face("Comfortaa-Regular.ttf", "fonts-comfortaa", "sans"),
    Face("AveriaSansGWF-Regular.ttf", "fonts-averia-sans-gwf", "sans"),
    Face("AveriaSerifGWF-Regular.ttf", "fonts-averia-serif-gwf", "serif"),
    Face("AveriaSerifGWF-Bold.ttf", "fonts-averia-serif-gwf", "serif", bold=True),
    Face("RobotoSlab-Regular.otf", "fonts-roboto-slab", "serif"),
    Face("RobotoSlab-Bold.otf", "fonts-roboto-slab", "serif", bold=True),
    Face("Quattrocento-Regular.otf", "fonts-quattrocento", "serif"),
    Face("GenBkBasR.ttf", "fonts-sil-gentium-basic", "serif"),
    Face("GenBasB.ttf", "fonts-sil-gentium-basic", "serif", bold=True),
    Face("LinLibertine_R.otf", "fonts-linuxlibertine", "serif"),
    Face("LinLibertine_RB.otf", "fonts-linuxlibertine", "serif", bold=True),
    Face("LinBiolinum_R.otf", "fonts-linuxlibertine", "sans"),
    Face("LinBiolinum_RB.otf", "fonts-linuxlibertine", "sans", bold=True),
    Face("Vollkorn-Regular.ttf", "fonts-vollkorn", "serif"),
    Face("Vollkorn-Bold.ttf", "fonts-vollkorn", "serif", bold=True),
    Face("Prociono.otf", "fonts-prociono", "serif"),
    Face("GFSDidot.otf", "fonts-gfs-didot", "serif"),
    Face("CharisSIL-Regular.ttf", "fonts-sil-charis", "serif"),
    Face("CharisSIL-Bold.ttf", "fonts-sil-charis", "serif", bold=True),
    Face("FreeSans.otf", "fonts-freefont-otf", "sans"),
    Face("FreeSerif.otf", "fonts-freefont-otf", "serif"),
    Face("NotoSansCJK-Regular.ttc", "fonts-noto-cjk", "sans", chinese=True, index=2),
    Face("NotoSansCJK-Bold.ttc", "fonts-noto-cjk", "sans", bold=True, chinese=True, index=2),
    Face("NotoSerifCJK-Regular.ttc", "fonts-noto-cjk", "serif", chinese=True, index=2),
    Face("wqy-microhei.ttc", "fonts-wqy-microhei", "sans", chinese=True),
    Face("uming.ttc", "fonts-arphic-uming", "serif", chinese=True),
    Face("ukai.ttc", "fonts-arphic-ukai", "serif", chinese=True),
    Face("Lato-Regular.ttf", "fonts-lato", "sans", split="held_out"),
    Face("Lato-Bold.ttf", "fonts-lato", "sans", bold=True, split="held_out"),
    Face("Caladea-Regular.ttf", "fonts-crosextra-caladea", "serif", split="held_out"),
    Face("Hack-Regular.ttf", "fonts-hack", "mono", split="held_out"),
    Face("wqy-zenhei.ttc", "fonts-wqy-zenhei", "sans", split="held_out", chinese=True),
)


@cache
def faces(split: Split, *, chinese: bool, style: Style | None = None, bold: bool | None = None) -> tuple[Face, ...]:
    """The faces of a split; `style` and `bold` narrow the choice where the split has such a face, never to nothing."""
    found = tuple(face for face in FACES if face.split == split and face.chinese == chinese)
    for wanted in (style is None or (lambda f: f.style == style), bold is None or (lambda f: f.bold == bold)):
        if callable(wanted):
            found = tuple(filter(wanted, found)) or found
    return found


@cache
def _installed() -> dict[str, Path]:
    """File name to path, of everything in the font folders; the folder of the environment variable wins."""
    folders = [*reversed(SYSTEM_FOLDERS), *filter(None, [os.environ.get(FOLDER_VARIABLE)])]
    return {path.name: path for folder in folders for path in Path(folder).expanduser().rglob("*.[ot]t[fc]")}


def locate(face: Face) -> tuple[Path, int]:
    """Path and index of a face, its subset if that is what there is. Raises `FontError`."""
    installed = _installed()
    if face.subset_file in installed:
        return installed[face.subset_file], 0
    if face.file in installed:
        return installed[face.file], face.index
    raise FontError(
        f"the font {face.file} is not installed: install the Debian package {face.package}, "
        f"or name a folder that holds it in {FOLDER_VARIABLE}"
    )


class Glyph(NamedTuple):
    """One character rendered: its coverage cut to the ink (None for a space), its place from the pen, the advance."""

    mask: Image.Image | None
    left: int
    top: int
    advance: float


class Font:
    """A face at a size in pixels. Made once a face and size by `font`.

    Glyphs are rendered once and kept: rendering is what drawing text costs. There is no kerning.
    """

    def __init__(self, face: Face, size: int) -> None:
        path, index = locate(face)
        # The basic layout is exact for these scripts, and the same on every machine.
        self._type = ImageFont.truetype(path, size, index, layout_engine=ImageFont.Layout.BASIC)
        self.face = face
        self.size = size
        self.ascent, descent = self._type.getmetrics()
        self.height = self.ascent + descent
        self._glyphs: dict[str, Glyph] = {}

    def glyph(self, character: str) -> Glyph:
        if (known := self._glyphs.get(character)) is None:
            known = self._glyphs[character] = self._render(character)
        return known

    def _render(self, character: str) -> Glyph:
        around = self.size  # room on each side: no glyph of these faces reaches further
        paper = Image.new("L", (4 * around, self.height + 2 * around))
        ImageDraw.Draw(paper).text((around, around), character, 255, self._type)
        box, advance = paper.getbbox(), self._type.getlength(character)
        if box is None:
            return Glyph(None, 0, 0, advance)
        return Glyph(paper.crop(box), box[0] - around, box[1] - around, advance)

    def width(self, text: str) -> int:
        """Pixels from the pen's start to its end, rounded up."""
        return math.ceil(sum(self.glyph(character).advance for character in text))

    def ink(self, x: int, y: int, text: str) -> tuple[int, int, int, int]:
        """The box of the pixels that `text` touches, its ascender line's left end at (x, y); exact, ends exclusive."""
        pen, boxes = float(x), []
        for character in text:
            mask, left, top, advance = self.glyph(character)
            if mask is not None:
                start = round(pen) + left
                boxes.append((start, y + top, start + mask.width, y + top + mask.height))
            pen += advance
        if not boxes:
            raise ValueError(f"{text!r} leaves no ink")
        x1, y1, x2, y2 = zip(*boxes, strict=True)
        return min(x1), min(y1), max(x2), max(y2)


@cache
def font(face: Face, size: int) -> Font:
    return Font(face, size)


def subset_fonts(out_folder: Path) -> list[Path]:
    """Writes every face, cut down to the characters that are drawn, to `out_folder`; returns the files.

    For machines without fonts: carry the folder and name it in `QWEN3VL_FONTS`. Needs fontTools, of the dev extra.
    """
    from fontTools import subset

    out_folder.mkdir(parents=True, exist_ok=True)
    options = subset.Options(layout_features=[], name_IDs=[1, 2, 13, 14])
    notes, bitmaps = {"FFTM", "TTFA", "BDF "}, {"EBDT", "EBLC"}  # small sizes of uming are drawn from its bitmaps
    options.drop_tables = sorted((set(options.drop_tables) | notes) - bitmaps)
    written = []
    for face in FACES:
        path, index = locate(face)
        source = subset.load_font(str(path), subset.Options(font_number=index))
        cutter = subset.Subsetter(options)
        cutter.populate(text=ASCII + LATIN_SIGNS + (CHINESE_SIGNS + characters() if face.chinese else ""))
        cutter.subset(source)
        written.append(out_folder / face.subset_file)
        source.save(written[-1])
    return written
