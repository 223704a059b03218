"""PDF pages as pictures. PDFium does the rendering; it is not thread-safe, so every call into it holds one lock."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2
import pypdfium2.raw

from qwen3vl.errors import MediaError
from qwen3vl.media.sniff import HEAD_BYTES, check_kind
from qwen3vl.media.types import DEFAULT_LIMITS, Image, MediaLimits

LONGEST_SIDE = 1600  # pixels; about 137 dpi on A4, where body text stays readable

_pdfium = threading.Lock()


def render_pdf(data: bytes, limits: MediaLimits = DEFAULT_LIMITS, longest_side: int = LONGEST_SIDE) -> Iterator[Image]:
    """Yields the pages one by one, filled form fields included, each scaled so that its longer side has `longest_side`.

    Raises `MediaError` for a document that is empty, encrypted, broken, or larger than `limits`; what can be known
    without rendering is checked here, before the first page is asked for.
    """
    with _pdfium:
        document = _open_checked(data, limits)
    return _pages(document, range(len(document)), longest_side)


@dataclass(frozen=True)
class PdfPages:
    """Some pages of a document, by number from 1, as a source of pictures: each is drawn when its turn comes."""

    source: bytes | Path
    numbers: tuple[int, ...]

    def render(self, limits: MediaLimits = DEFAULT_LIMITS) -> Iterator[Image]:
        """As `render_pdf` draws them. Raises `MediaError` like it, and for a page that is not there."""
        with _pdfium:
            document = _open_checked(self.source, limits)
            for number in self.numbers:
                if not 1 <= number <= len(document):
                    count = len(document)
                    document.close()
                    raise MediaError(f"the PDF has {count} pages, and no page {number}")
        return _pages(document, [number - 1 for number in self.numbers], LONGEST_SIDE)


def count_pages(data: bytes, limits: MediaLimits = DEFAULT_LIMITS) -> int:
    """Renders nothing. Raises `MediaError` like `render_pdf`, as far as that shows."""
    with opened(data, limits) as document:
        return len(document)


def render_page(
    data: bytes, number: int, limits: MediaLimits = DEFAULT_LIMITS, longest_side: int = LONGEST_SIDE
) -> Image:
    """One page, counted from 1, as `render_pdf` draws it. Raises `MediaError` like it, and for a page not there."""
    with opened(data, limits) as document:
        if not 1 <= number <= len(document):
            raise MediaError(f"the PDF has {len(document)} pages, and no page {number}")
        return _render(document, number - 1, longest_side)


@contextmanager
def opened(source: bytes | Path, limits: MediaLimits = DEFAULT_LIMITS) -> Iterator[Any]:
    """PDFium's document, its pages measured, while PDFium is held. Raises `MediaError` like `render_pdf`."""
    with _pdfium:
        document = _open_checked(source, limits)
        try:
            yield document
        finally:
            document.close()


def _pages(document: Any, indices: Iterable[int], longest_side: int) -> Iterator[Image]:
    try:
        for index in indices:
            with _pdfium:
                page = _render(document, index, longest_side)
            yield page
    finally:
        with _pdfium:
            document.close()


def _open_checked(source: bytes | Path, limits: MediaLimits) -> Any:
    try:
        limits.check_bytes(len(source) if isinstance(source, bytes) else source.stat().st_size)
        check_kind(source[:HEAD_BYTES] if isinstance(source, bytes) else _head(source), "pdf")
    except OSError as error:
        raise MediaError(f"the PDF cannot be read: {error.strerror}") from error
    document = _open(source)
    try:
        _check_pages(document, limits)
    except BaseException:
        document.close()
        raise
    return document


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _open(data: bytes | Path) -> Any:
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise MediaError("the PDF is protected by a password; send it without one") from error
        raise MediaError(f"the PDF cannot be read: {error}") from error
    if document.get_formtype() != pypdfium2.raw.FORMTYPE_NONE:
        document.init_forms()  # without it what people typed into a form is not drawn
    return document


def _check_pages(document: Any, limits: MediaLimits) -> None:
    if not 1 <= len(document) <= limits.max_pdf_pages:
        raise MediaError(f"the PDF has {len(document)} pages; 1 to {limits.max_pdf_pages} are allowed")
    for index in range(len(document)):
        try:
            width, height = document.get_page_size(index)
        except pypdfium2.PdfiumError as error:
            raise MediaError(f"page {index + 1} of the PDF cannot be read: {error}") from error
        if min(width, height) <= 0 or max(width, height) > limits.max_aspect_ratio * min(width, height):
            raise MediaError(f"page {index + 1} of the PDF has the unusable size {width:g}x{height:g}")


def _render(document: Any, index: int, longest_side: int) -> Image:
    try:
        page = document[index]
        bitmap = page.render(scale=longest_side / max(page.get_size()), rev_byteorder=True)
    except pypdfium2.PdfiumError as error:
        raise MediaError(f"page {index + 1} of the PDF cannot be rendered: {error}") from error
    # Closed by hand: left to the garbage collector they would call PDFium outside the lock.
    try:
        return Image(np.array(bitmap.to_numpy()[:, :, :3]))
    finally:
        bitmap.close()
        page.close()
