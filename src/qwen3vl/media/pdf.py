"""PDF pages as pictures. PDFium does the rendering; it is not thread-safe, so every call into it holds one lock."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pypdfium2
import pypdfium2.raw

from qwen3vl.errors import MediaError
from qwen3vl.media.sniff import check_kind
from qwen3vl.media.types import DEFAULT_LIMITS, Image, MediaLimits

LONGEST_SIDE = 1600  # pixels; about 137 dpi on A4, where body text stays readable

_pdfium = threading.Lock()


def render_pdf(data: bytes, limits: MediaLimits = DEFAULT_LIMITS, longest_side: int = LONGEST_SIDE) -> Iterator[Image]:
    """Yields the pages one by one, filled form fields included, each scaled so that its longer side has `longest_side`.

    Raises `MediaError` for a document that is empty, encrypted, broken, or larger than `limits`; what can be known
    without rendering is checked here, before the first page is asked for.
    """
    limits.check_bytes(len(data))
    check_kind(data, "pdf")
    with _pdfium:
        document = _open(data)
        try:
            _check_pages(document, limits)
        except BaseException:
            document.close()
            raise
    return _pages(document, longest_side)


def count_pages(data: bytes, limits: MediaLimits = DEFAULT_LIMITS) -> int:
    """Renders nothing. Raises `MediaError` like `render_pdf`, as far as that shows."""
    limits.check_bytes(len(data))
    check_kind(data, "pdf")
    with _pdfium:
        document = _open(data)
        try:
            _check_pages(document, limits)
            return len(document)
        finally:
            document.close()


def render_page(
    data: bytes, number: int, limits: MediaLimits = DEFAULT_LIMITS, longest_side: int = LONGEST_SIDE
) -> Image:
    """One page, counted from 1, as `render_pdf` draws it. Raises `MediaError` like it, and for a page not there."""
    limits.check_bytes(len(data))
    check_kind(data, "pdf")
    with _pdfium:
        document = _open(data)
        try:
            _check_pages(document, limits)
            if not 1 <= number <= len(document):
                raise MediaError(f"the PDF has {len(document)} pages, and no page {number}")
            return _render(document, number - 1, longest_side)
        finally:
            document.close()


@dataclass(frozen=True)
class PdfPage:
    """A page without its picture: the size in which `render_pdf` draws it, and the text that the file itself has."""

    width: int  # pixels
    height: int
    text: str


def read_pages(data: bytes, limits: MediaLimits = DEFAULT_LIMITS, longest_side: int = LONGEST_SIDE) -> list[PdfPage]:
    """All pages, nothing rendered. Raises `MediaError` like `render_pdf`, as far as that shows."""
    limits.check_bytes(len(data))
    check_kind(data, "pdf")
    with _pdfium:
        document = _open(data)
        try:
            _check_pages(document, limits)
            return [_read_page(document, index, longest_side) for index in range(len(document))]
        finally:
            document.close()


def _read_page(document: Any, index: int, longest_side: int) -> PdfPage:
    try:
        page = document[index]
        width, height = page.get_size()
        layer = page.get_textpage()
        text = layer.get_text_bounded(errors="replace")
    except pypdfium2.PdfiumError as error:
        raise MediaError(f"page {index + 1} of the PDF cannot be read: {error}") from error
    layer.close()
    page.close()
    scale = longest_side / max(width, height)
    return PdfPage(math.ceil(width * scale), math.ceil(height * scale), text.replace("\r\n", "\n").replace("\x00", ""))


def _pages(document: Any, longest_side: int) -> Iterator[Image]:
    try:
        for index in range(len(document)):
            with _pdfium:
                page = _render(document, index, longest_side)
            yield page
    finally:
        with _pdfium:
            document.close()


def _open(data: bytes) -> Any:
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
