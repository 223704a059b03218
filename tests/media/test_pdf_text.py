"""The text that a PDF holds, against what was written and where its ink is."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from qwen3vl.errors import MediaError
from qwen3vl.media.pdf import render_page, render_pdf
from qwen3vl.media.pdf_text import read_characters, read_pages
from support.media_files import pdf
from support.paper import Leaf, leaf, paper

HELVETICA = "/Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
TURNS = ["", "/Rotate 90", "/Rotate 180", "/Rotate 270"]
CUTS = ["", "/CropBox [50 20 400 300]", "/MediaBox [-100 -50 450 350]", "/UserUnit 2"]


def test_pages_are_read_without_rendering_them() -> None:
    """In the size in which they would be drawn, with the text that the file has."""
    data = pdf((200, 300), (601, 97), draw="BT /F 20 Tf 10 50 Td (Total: 12) Tj ET", extra=HELVETICA)
    pages = read_pages(data)
    assert [(page.width, page.height) for page in pages] == [(image.width, image.height) for image in render_pdf(data)]
    assert [page.text for page in pages] == ["Total: 12"] * 2
    assert [page.text for page in read_pages(pdf((200, 300)))] == [""]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("turn", TURNS)
def test_characters_are_where_their_ink_is(turn: str, cut: str) -> None:
    data = pdf((500, 400), draw="BT /F 30 Tf 100 50 Td (Hqx) Tj ET", extra=f"{HELVETICA} {turn} {cut}")
    page, layer = render_page(data, 1), read_characters(data, 1)
    assert layer.text == "Hqx"
    rows, columns = np.where(page.pixels.min(axis=2) < 128)
    ink = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    boxes = layer.boxes * [page.width, page.height, page.width, page.height]
    assert [*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)] == pytest.approx(ink, abs=2)
    for left, top, right, bottom in boxes.round().astype(int):  # and each of them apart
        piece = page.pixels[top:bottom, left:right].min(axis=2) < 128
        assert piece.any(axis=0).mean() > 0.95
        assert piece.any(axis=1).mean() > 0.95


def test_what_is_cropped_away_is_not_there() -> None:
    shown, hidden = "BT /F 30 Tf 100 50 Td (shown) Tj ET ", "BT /F 30 Tf 300 350 Td (hidden) Tj ET"
    data = pdf((500, 400), draw=shown + hidden, extra=f"{HELVETICA} /CropBox [50 20 250 200]")
    assert "hidden" in read_characters(pdf((500, 400), draw=shown + hidden, extra=HELVETICA), 1).text
    layer = read_characters(data, 1)
    assert layer.text.strip() == "shown"
    assert len(layer.text) == len(layer.boxes)
    assert [page.text for page in read_pages(data)] == ["shown"]


def test_which_pages_must_be_read_by_eye() -> None:
    words = "A page with enough words on it, so that nobody would take it for a scan with a stamp."
    pages = [leaf(words), Leaf(scan="a letter"), Leaf(scan="x", lines=[("Page 3", 300, 20)]), Leaf(), leaf("short")]
    pages.append(Leaf(scan="x", lines=[(words, 60, y) for y in (500, 600, 700)], size=8))  # read by the scanner
    assert [page.scanned for page in read_pages(paper(*pages))] == [False, True, True, False, False, False]


def test_letters_of_every_script_are_told() -> None:
    line = "二零二五年总收入：三百万元"
    assert line in read_pages(paper(leaf("Total 3", line)))[0].text
    assert line in read_characters(paper(leaf("Total 3", line)), 1).text


def test_broken_files_and_pages_that_are_not_there() -> None:
    for read in (lambda data: read_pages(data), lambda data: read_characters(data, 1)):
        with pytest.raises(MediaError):
            read(b"%PDF-1.4\nnothing")
    with pytest.raises(MediaError, match="1 pages, and no page 2"):
        read_characters(pdf((10, 10)), 2)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")
def test_two_hundred_pages_take_the_memory_of_one(tmp_path: Path) -> None:
    """A process that reads all of them, and draws ten, is hardly larger than one that does so with one of two."""
    words = [f"words that fill line {number} of this page" for number in range(17)]
    peaks = []
    for count, drawn in ((2, (1,)), (200, tuple(range(1, 200, 20)))):
        file = tmp_path / f"{count}.pdf"
        file.write_bytes(paper(*[leaf(*words), Leaf(scan="x", lines=[("1", 9, 9)])] * (count // 2)))
        code = f"""
            from pathlib import Path
            from qwen3vl.media.pdf import PdfPages
            from qwen3vl.media.pdf_text import read_characters, read_pages
            path = Path({str(file)!r})
            assert len(read_pages(path)) == {count}
            for number in {drawn}:
                read_characters(path, number)
                [picture] = PdfPages(path, (number,)).render()
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            print(int(status["VmHWM"].split()[0]) / 1024)
        """
        run = [sys.executable, "-c", textwrap.dedent(code)]
        peaks.append(float(subprocess.run(run, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] < peaks[0] + 30, f"{peaks} MiB"
