"""The page on a real server, with an engine that says what a test wants, and what tests do with it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from qwen3vl import Engine
from qwen3vl.server import Services, create_app
from qwen3vl.settings import Settings
from qwen3vl.webui import mount_page
from support.drawing import Rectangle
from support.media_files import pdf_of_objects
from support.scripted import Script
from support.server import MODELS, serving

SCREENSHOTS = Path(__file__).parents[2] / "out" / "screenshots"
READY = "#app[data-ready]"
PIECE = 12  # characters of a scripted delta


@dataclass
class Site:
    """A server with the page. `says` makes its next answers those of a script; `speaks` gives the model back."""

    url: str
    services: Services
    engine: Engine

    def says(self, text: str, *, seconds: float = 0.0, logprobs: bool = False, reason: Any = "stop") -> Script:
        pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
        script = Script(pieces, reason=reason, seconds=seconds, logprobs=logprobs)
        self.engine.astream = script.astream  # type: ignore[method-assign]
        return script

    def speaks(self) -> None:
        self.engine.__dict__.pop("astream", None)


@contextmanager
def page_site(model: Path = MODELS / "moe", settings: Settings | None = None) -> Iterator[Site]:
    engine = Engine.load(model, device="cpu", memory="1GiB")
    with Services.single(engine, settings) as services:
        app = create_app(services)
        mount_page(app, services)
        with serving(app) as url:
            yield Site(url, services, engine)


def open_page(page: Page, url: str, **chosen: str) -> None:
    """A new conversation, in English and by day; or with a `language` and `colours` that were chosen before."""
    page.goto("about:blank")
    if chosen:
        page.goto(urljoin(url, "/health"))  # of the same origin, and loaded at once
        keep = "(all) => Object.entries(all).forEach(([name, value]) => localStorage.setItem(`qwen3vl.${name}`, value))"
        page.evaluate(keep, chosen)
    page.goto(url)
    page.wait_for_selector(READY, timeout=30_000)


def ask(page: Page, text: str, *, wait: bool = True) -> None:
    """Types and sends, and waits for the end of the answer."""
    answers = page.locator(".turn.answer").count()
    page.get_by_label("Question", exact=True).fill(text)
    page.get_by_label("Send", exact=True).click()
    if wait:
        expect(page.locator(".turn.answer")).to_have_count(answers + 1)
        expect(page.locator(".turn.answer").last.locator(".status.done")).to_be_visible(timeout=30_000)
        expect(page.get_by_label("Send", exact=True)).to_be_visible()


def attach(page: Page, *files: Any) -> None:
    """Files beside the question, uploaded and measured."""
    before = page.locator(".card").count()
    page.set_input_files(".composer input[type=file]", list(files))
    expect(page.locator('.card[data-state="ready"]')).to_have_count(before + len(files))
    expect(page.locator(".card .cost")).to_have_count(before + len(files))


def png(name: str, image: Image.Image) -> Any:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": buffer.getvalue()}


def send_files(page: Page, event: str, files: Sequence[Any]) -> None:
    """Drops on, or pastes into, the page's body: no input is asked to help."""
    coded = [{**file, "buffer": base64.b64encode(file["buffer"]).decode()} for file in files]
    page.evaluate(
        """([kind, files]) => {
            const data = new DataTransfer();
            for (const { name, mimeType, buffer } of files) {
                const bytes = Uint8Array.from(atob(buffer), (letter) => letter.charCodeAt(0));
                data.items.add(new File([bytes], name, { type: mimeType }));
            }
            const init = { bubbles: true, cancelable: true };
            document.body.dispatchEvent(kind === "drop"
                ? new DragEvent("drop", { ...init, dataTransfer: data })
                : new ClipboardEvent("paste", { ...init, clipboardData: data }));
        }""",
        [event, coded],
    )


def settle(page: Page) -> None:
    """Waits until nothing is animated any more, but for what never ends."""
    page.evaluate(
        "() => Promise.all(document.getAnimations().filter(a => a.playState === 'running' "
        "&& a.effect.getTiming().iterations !== Infinity).map(a => a.finished.catch(() => {})))"
    )


def shoot(page: Page, name: str) -> None:
    settle(page)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def no_sideways(page: Page) -> bool:
    """Whether the page fits into the width of its window."""
    fits = "[...document.querySelectorAll('#app, .scroll, .composer')].every((e) => e.scrollWidth <= e.clientWidth + 1)"
    return bool(page.evaluate(f"{fits} && document.documentElement.scrollWidth <= innerWidth"))


def rectangle(locator: Locator) -> Rectangle:
    box = locator.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def on_picture(mark: Locator, picture: Locator, size: tuple[int, int]) -> Rectangle:
    """A mark as it stands on the screen, in pixels of the picture below it."""
    (x1, y1, x2, y2), (left, top, right, bottom) = rectangle(mark), rectangle(picture)
    x, y = size[0] / (right - left), size[1] / (bottom - top)
    return (x1 - left) * x, (y1 - top) * y, (x2 - left) * x, (y2 - top) * y


def film(seconds: int = 8, fps: int = 5) -> bytes:
    """A square that moves from left to right."""
    frames = []
    for number in range(seconds * fps):
        pixels = np.full((192, 320, 3), 245, np.uint8)
        left = 10 + number * 240 // (seconds * fps)
        pixels[70:120, left : left + 50] = (37, 99, 235)
        frames.append(pixels)
    return film_of(frames, fps)


def film_of(frames: Sequence[NDArray[np.uint8]], fps: int) -> bytes:
    """A WebM that every browser plays, of frames [H, W, 3]."""
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as output:
        stream: Any = output.add_stream("libvpx", rate=fps)
        stream.height, stream.width, _ = frames[0].shape
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        for pixels in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode())
    return file.getvalue()


def document(*lines: str) -> bytes:
    """A PDF with a page for each line."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    pages = []
    for line in lines:
        draw = f"BT /F1 24 Tf 72 700 Td ({line}) Tj ET"
        objects.append(f"<< /Length {len(draw)} >>\nstream\n{draw}\nendstream")
        fonts = "<< /Font << /F1 3 0 R >> >>"
        contents = f"/Contents {len(objects)} 0 R"
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] {contents} /Resources {fonts} >>")
        pages.append(len(objects))
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(f'{page} 0 R' for page in pages)}] /Count {len(pages)} >>"
    return pdf_of_objects(objects)
