"""PDF pages as pictures, against what was drawn on them."""

from __future__ import annotations

import random
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from qwen3vl.errors import MediaError
from qwen3vl.media.pdf import PdfPages, render_pdf
from qwen3vl.media.types import MediaLimits
from support.media_files import noise, pdf, pdf_of_objects

RED_LOWER_LEFT = "1 0 0 rg 0 0 100 50 re f"


def test_pages_come_in_order_and_in_their_shape() -> None:
    pages = list(render_pdf(pdf((200, 100), (100, 200), (600, 600), draw=RED_LOWER_LEFT)))
    assert [(page.width, page.height) for page in pages] == [(1600, 800), (800, 1600), (1600, 1600)]
    first = pages[0].pixels  # 8 pixels a point; PDF counts from the lower left
    assert first[790, 10].tolist() == [255, 0, 0]
    assert first[410, 790].tolist() == [255, 0, 0]
    assert first[390, 10].tolist() == [255, 255, 255]
    assert first[790, 810].tolist() == [255, 255, 255]


def test_a_picture_printed_by_pillow_comes_back() -> None:
    picture = PIL.Image.fromarray(noise(6, 8)).resize((80, 60))
    file = BytesIO()
    picture.save(file, "PDF", resolution=72, quality=95)
    (page,) = render_pdf(file.getvalue(), longest_side=80)
    assert (page.width, page.height) == (80, 60)
    assert np.abs(page.pixels.astype(int) - np.asarray(picture)).mean() < 4  # the PDF holds a JPEG


def test_a_rotated_page_is_upright() -> None:
    (page,) = render_pdf(pdf((200, 100), draw=RED_LOWER_LEFT, extra="/Rotate 90"))
    assert (page.width, page.height) == (800, 1600)
    assert page.pixels[10, 10].tolist() == [255, 0, 0]


def test_filled_form_fields_are_drawn() -> None:
    """What a person typed into a form stands in a widget beside the page, not on it."""
    appearance = "0 0 1 rg 0 0 50 50 re f"
    file = pdf_of_objects(
        [
            "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [4 0 R] >> >>",
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] /Annots [4 0 R] >>",
            "<< /Type /Annot /Subtype /Widget /FT /Tx /T (name) /V (x) /F 4 /Rect [0 50 50 100] /P 3 0 R"
            " /AP << /N 5 0 R >> >>",
            "<< /Type /XObject /Subtype /Form /BBox [0 0 50 50] /Length "
            f"{len(appearance)} >>\nstream\n{appearance}\nendstream",
        ]
    )
    (page,) = render_pdf(file, longest_side=100)
    assert page.pixels[25, 25].tolist() != [255, 255, 255]
    assert page.pixels[75, 75].tolist() == [255, 255, 255]


ENCRYPTED = pdf(
    (100, 100),
    trailer=f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{'41' * 32}> /U <{'42' * 32}> >>"
    f" /ID [<{'43' * 16}> <{'43' * 16}>]",
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n", "a PDF document is asked for, but the bytes are PNG"),
        (b"%PDF-1.7\n" + bytes(500), "cannot be read"),
        (pdf(), "cannot be read"),
        (ENCRYPTED, "protected by a password"),
        (pdf((100, 100), (10_000, 10)), "page 2 of the PDF has the unusable size 10000x10"),
    ],
)
def test_unreadable_documents_are_refused_at_once(data: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        render_pdf(data)


def test_damaged_documents_raise_nothing_but_media_errors() -> None:
    rng = random.Random(0)
    document = pdf((50, 50), (60, 40), draw=RED_LOWER_LEFT)
    refused = 0
    for _ in range(500):
        damaged = bytearray(document)
        for _ in range(rng.choice([1, 5, 20])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            list(render_pdf(bytes(damaged), longest_side=64))
        except MediaError:
            refused += 1
    assert refused > 20


def test_the_number_of_pages_is_limited() -> None:
    data = pdf(*[(100, 100)] * 3)
    assert len(list(render_pdf(data, MediaLimits(max_pdf_pages=3)))) == 3
    with pytest.raises(MediaError, match="3 pages; 1 to 2 are allowed"):
        render_pdf(data, MediaLimits(max_pdf_pages=2))


def test_threads_may_render_at_the_same_time() -> None:
    """PDFium crashes the process when two threads are in it."""
    data = pdf(*[(200, 100)] * 4, draw=RED_LOWER_LEFT)
    expected = next(iter(render_pdf(data, longest_side=200))).pixels
    wrong = []

    def render() -> None:
        for _ in range(5):
            for page in render_pdf(data, longest_side=200):
                if not np.array_equal(page.pixels, expected):
                    wrong.append(page)

    threads = [threading.Thread(target=render) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_some_pages_are_drawn_when_their_turn_comes(tmp_path: Path) -> None:
    data = pdf((200, 100), (100, 200), (300, 300), draw=RED_LOWER_LEFT)
    (tmp_path / "a.pdf").write_bytes(data)
    every = list(render_pdf(data))
    for source in (data, tmp_path / "a.pdf"):
        third, first = PdfPages(source, (3, 1)).render()
        assert np.array_equal(third.pixels, every[2].pixels)
        assert np.array_equal(first.pixels, every[0].pixels)
    for number in (0, 4):
        with pytest.raises(MediaError, match=f"3 pages, and no page {number}"):
            PdfPages(data, (1, number)).render()
    with pytest.raises(MediaError, match="No such file"):
        PdfPages(tmp_path / "b.pdf", (1,)).render()
    with pytest.raises(MediaError, match="a PDF document is asked for"):
        PdfPages(b"\x89PNG\r\n\x1a\n", (1,)).render()
