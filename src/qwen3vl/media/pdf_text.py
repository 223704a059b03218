"""The text that a PDF itself holds: page by page, and of one page character by character with its place.

Nothing is rendered. Places are shares of the page as it is drawn, turned and cropped: 0, 0 is its upper left corner.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2
import pypdfium2.raw
from numpy.typing import NDArray

from qwen3vl.errors import MediaError
from qwen3vl.media.pdf import LONGEST_SIDE, opened
from qwen3vl.media.types import DEFAULT_LIMITS, MediaLimits

_DEVICE = 1 << 20  # a page in whole numbers that are fine enough
_STAMP = 100  # letters: a scan may have a page number, or a stamp, in text
_MOST_OF_IT = 0.5  # of the page, covered by pictures


@dataclass(frozen=True)
class PdfPage:
    """A page without its picture: the size in which `render_pdf` draws it, and the text that the file itself has.

    `scanned`: what there is to read is drawn, and not, or hardly, in the text.
    """

    width: int  # pixels
    height: int
    text: str
    scanned: bool = False


@dataclass(frozen=True, eq=False)
class PdfText:
    """The characters of one page, in reading order, those cropped away left out."""

    text: str
    boxes: NDArray[np.float32]  # [characters, 4]: left, top, right, bottom; without area for spaces and line ends


def read_pages(
    source: bytes | Path, limits: MediaLimits = DEFAULT_LIMITS, longest_side: int = LONGEST_SIDE
) -> list[PdfPage]:
    """All pages. Raises `MediaError` like `render_pdf`, as far as that shows."""
    with opened(source, limits) as document:
        return [_read_page(document, index, longest_side) for index in range(len(document))]


def read_characters(source: bytes | Path, number: int, limits: MediaLimits = DEFAULT_LIMITS) -> PdfText:
    """Of page `number`, from 1. Raises `MediaError` like `render_page`."""
    with opened(source, limits) as document:
        if not 1 <= number <= len(document):
            raise MediaError(f"the PDF has {len(document)} pages, and no page {number}")
        with _text_page(document, number - 1) as (page, layer):
            return _characters(page, layer)


def _read_page(document: Any, index: int, longest_side: int) -> PdfPage:
    with _text_page(document, index) as (page, layer):
        width, height = page.get_size()
        text = layer.get_text_bounded(errors="replace").replace("\r\n", "\n").replace("\x00", "")
        scale = longest_side / max(width, height)
        return PdfPage(math.ceil(width * scale), math.ceil(height * scale), text, _scanned(page, text))


@contextmanager
def _text_page(document: Any, index: int) -> Iterator[tuple[Any, Any]]:
    try:
        page = document[index]
        layer = page.get_textpage()
    except pypdfium2.PdfiumError as error:
        raise MediaError(f"page {index + 1} of the PDF cannot be read: {error}") from error
    # Closed by hand: left to the garbage collector they would call PDFium outside the lock.
    try:
        yield page, layer
    except pypdfium2.PdfiumError as error:
        raise MediaError(f"page {index + 1} of the PDF cannot be read: {error}") from error
    finally:
        layer.close()
        page.close()


def _scanned(page: Any, text: str) -> bool:
    letters = sum(sign.isalnum() for sign in text)
    if letters >= _STAMP:
        return False
    if letters == 0:  # letters may be drawn as shapes too; an empty page has nothing to read
        return bool(pypdfium2.raw.FPDFPage_CountObjects(page) > 0)
    left, bottom, right, top = page.get_bbox()
    covered = 0.0
    for image in page.get_objects([pypdfium2.raw.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        x1, y1, x2, y2 = image.get_bounds()
        covered += max(0.0, min(x2, right) - max(x1, left)) * max(0.0, min(y2, top) - max(y1, bottom))
    return bool(covered > _MOST_OF_IT * (right - left) * (top - bottom))


def _characters(page: Any, layer: Any) -> PdfText:
    count = layer.count_chars()
    signs: list[str] = []
    edges = np.zeros((count, 4), np.float64)  # left, right, bottom, top on the sheet
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    for index in range(count):
        code = pypdfium2.raw.FPDFText_GetUnicode(layer, index)
        signs.append(chr(code) if 0 < code <= 0x10FFFF else " ")
        if pypdfium2.raw.FPDFText_GetCharBox(layer, index, left, right, bottom, top):
            edges[index] = left.value, right.value, bottom.value, top.value
    origin, across, up = _drawn_at(page)
    # Opposite corners; a page that is turned by quarters swaps and mirrors them.
    first = origin + edges[:, 0:1] * across + edges[:, 2:3] * up
    second = origin + edges[:, 1:2] * across + edges[:, 3:4] * up
    boxes = np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    shown = ((middle >= 0) & (middle <= 1)).all(axis=1) | (boxes[:, :2] == boxes[:, 2:]).any(axis=1)
    text = "".join(sign for sign, kept in zip(signs, shown, strict=True) if kept)
    return PdfText(text, boxes[shown].astype(np.float32))


def _drawn_at(page: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Where the sheet's own 0, 0 is drawn, and what one unit to the right and one upwards add."""
    left, bottom, right, top = page.get_bbox()

    def drawn(x: float, y: float) -> NDArray[np.float64]:
        column, row = ctypes.c_int(), ctypes.c_int()
        pypdfium2.raw.FPDF_PageToDevice(page, 0, 0, _DEVICE, _DEVICE, 0, x, y, column, row)
        return np.array([column.value, row.value]) / _DEVICE

    corner = drawn(left, bottom)
    across = (drawn(right, bottom) - corner) / (right - left)
    up = (drawn(left, top) - corner) / (top - bottom)
    return corner - left * across - bottom * up, across, up
