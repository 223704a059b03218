"""What the stage shows of the files beside the question: pictures with their size and cost, videos, pages."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Literal
from urllib.parse import quote

import PIL.Image
from PIL import ExifTags

from qwen3vl.errors import MediaError
from qwen3vl.media.pdf import render_pdf
from qwen3vl.media.sniff import GIF
from qwen3vl.media.types import Image
from qwen3vl.tasks.attachment import Attachment

MAX_PAGES_SHOWN = 12  # of one document; the model sees all of them
PAGE_SIDE = 1200  # pixels of the longer side of a page as shown

TokenCost = Callable[[int, int], int]  # visual tokens of a picture, by its width and height in pixels


@dataclass(frozen=True)
class View:
    """One thing on the stage. What moves has no size in pixels here, and nothing is marked on it."""

    name: str
    url: str
    width: int = 0
    height: int = 0
    tokens: int = 0
    moves: Literal["no", "as image", "as video"] = "no"


def views_of(attachment: Attachment, cost: TokenCost) -> list[View]:
    """The picture or video itself, or the first pages of a document. Raises `MediaError` with the file's name."""
    name = attachment.path.name
    # Relative, so that the page also works below a path of a proxy.
    url = f"gradio_api/file={quote(str(attachment.path))}"
    if attachment.kind == "video":
        return [View(name, url, moves="as image" if attachment.format == GIF else "as video")]
    try:
        if attachment.kind == "pdf":
            pages = islice(render_pdf(attachment.path.read_bytes()), MAX_PAGES_SHOWN)
            return [_page_view(page, f"{name}, {number}", cost) for number, page in enumerate(pages, start=1)]
        with PIL.Image.open(attachment.path) as image:
            sideways = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            width, height = (image.height, image.width) if sideways else image.size
        return [View(name, url, width, height, cost(width, height))]
    except (OSError, MediaError, PIL.Image.DecompressionBombError) as error:
        raise MediaError(f"{name}: {error}") from error


def _page_view(page: Image, name: str, cost: TokenCost) -> View:
    picture = PIL.Image.fromarray(page.pixels)
    picture.thumbnail((PAGE_SIDE, PAGE_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    url = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return View(name, url, page.width, page.height, cost(page.width, page.height))
