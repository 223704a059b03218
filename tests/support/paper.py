"""PDF documents with words at known places, written by hand: lines of Latin or Chinese letters, and scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

WIDTH, HEIGHT = 612, 792  # points
SIZE = 20


@dataclass(frozen=True)
class Leaf:
    """A page. `lines`: text with its left end and base line, in points from the lower left. `scan`: text in a picture
    that covers the page. `extra` goes into the page's dictionary.
    """

    lines: Sequence[tuple[str, float, float]] = ()
    scan: str = ""
    extra: str = ""
    size: int = SIZE
    box: tuple[int, int] = field(default=(WIDTH, HEIGHT))


def leaf(*lines: str, extra: str = "", size: int = SIZE) -> Leaf:
    """Lines one below the other."""
    return Leaf([(line, 60.0, 700.0 - 40 * number) for number, line in enumerate(lines)], extra=extra, size=size)


def paper(*leaves: Leaf) -> bytes:
    bodies: list[bytes] = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UCS2-H /DescendantFonts [5 0 R] >>",
        b"<< /Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light /DW 1000 /FontDescriptor 6 0 R"
        b" /CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 4 >> >>",
        b"<< /Type /FontDescriptor /FontName /STSong-Light /Flags 4 /FontBBox [-25 -254 1000 880] /ItalicAngle 0"
        b" /Ascent 880 /Descent -120 /CapHeight 880 /StemV 93 >>",
    ]
    kids = []
    for page in leaves:
        draw = "".join(_line(text, x, y, page.size) for text, x, y in page.lines)
        resources = "/Font << /F1 3 0 R /F2 4 0 R >>"
        width, height = page.box
        if page.scan:
            bodies.append(
                _stream(
                    _scan(page.scan),
                    "/Type /XObject /Subtype /Image /Width 850 /Height 1100"
                    " /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode",
                )
            )
            resources += f" /XObject << /I {len(bodies)} 0 R >>"
            draw = f"q {width} 0 0 {height} 0 0 cm /I Do Q " + draw
        bodies.append(_stream(draw.encode("latin-1")))
        contents = len(bodies)
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Contents {contents} 0 R"
            f" /Resources << {resources} >> {page.extra} >>".encode()
        )
        kids.append(len(bodies))
    bodies[1] = f"<< /Type /Pages /Kids [{' '.join(f'{kid} 0 R' for kid in kids)}] /Count {len(kids)} >>".encode()
    data, offsets = b"%PDF-1.7\n", []
    out = [data]
    at = len(data)
    for number, body in enumerate(bodies, 1):
        offsets.append(at)
        out.append(b"%d 0 obj\n%b\nendobj\n" % (number, body))
        at += len(out[-1])
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(bodies) + 1
    end = (
        f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{at}\n%%EOF\n"
    )
    return b"".join([*out, end.encode()])


def _line(text: str, x: float, y: float, size: int) -> str:
    if text.isascii():
        escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        return f"BT /F1 {size} Tf {x} {y} Td ({escaped}) Tj ET\n"
    return f"BT /F2 {size} Tf {x} {y} Td <{text.encode('utf-16-be').hex()}> Tj ET\n"


def _stream(data: bytes, entries: str = "") -> bytes:
    return b"<< %b /Length %d >>\nstream\n%b\nendstream" % (entries.encode(), len(data), data)


def _scan(text: str) -> bytes:
    picture = PIL.Image.fromarray(np.full((1100, 850, 3), 250, np.uint8))
    PIL.ImageDraw.Draw(picture).text((80, 100), text, fill="black", font=PIL.ImageFont.load_default(40))
    file = BytesIO()
    picture.save(file, "JPEG", quality=80)
    return file.getvalue()
