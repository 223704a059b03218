"""What is put in while the documentation's pictures are made: screenshots, papers, charts, videos, drawn from seeds.

The shipped models are small, so each input is the one that they answer best out of a few drawn ones, none of which
training has seen. How often they are right is in their model cards; the pictures show the page.
"""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import av
import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import FilePayload

from qwen3vl.bench.scoring import COSTS, main_metric, score
from qwen3vl.drawn import Sample, Turn, draw
from qwen3vl.tasks.registry import TASKS

TRIES = 6
MOST_TOKENS = 600
FILM_FPS = 10
FILM_SCALE = 2
SETTINGS_PAGE = """<!doctype html><html lang="en"><title>Settings</title><style>
body { font: 17px "DejaVu Sans", sans-serif; margin: 14px 18px; color: #1e293b; background: #f8fafc }
label { display: block; margin: 10px 0 } input[type=text] { font: inherit; width: 190px; padding: 3px }
button { font: inherit; padding: 6px 18px; margin: 8px 10px 0 0; border: 0; border-radius: 5px; background: #cbd5e1 }
.main { background: #2563eb; color: white }</style><h2>Settings</h2>
<label>Name <input type="text" value="Ada"></label>
<label><input type="checkbox" checked> Newsletter</label>
<button class="main" onclick="document.title = 'Saved'">Save</button><button>Cancel</button></html>"""

Frames = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class File:
    name: str
    media_type: str
    data: bytes

    @property
    def part(self) -> dict[str, Any]:
        """As the API takes it."""
        url = f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"
        return {"type": "file", "file": {"file_data": url, "filename": self.name}}

    @property
    def upload(self) -> FilePayload:
        """As a browser's file input takes it."""
        return {"name": self.name, "mimeType": self.media_type, "buffer": self.data}


@dataclass(frozen=True)
class Asked:
    """A question as a person would put it: files, a task, its parameters."""

    files: tuple[File, ...]
    task: str
    params: Mapping[str, Any]

    @property
    def text(self) -> str:
        """What stands in the question's field."""
        return str(self.params.get(TASKS[self.task].text_param or "", ""))


@dataclass(frozen=True)
class Kind:
    """What is drawn (a family and one of its tasks), and the task of the page that it is put to. `params` are those of
    that task, made of the drawn turn."""

    family: str
    drawn: str
    task: str
    file: str
    params: Callable[[Turn], dict[str, Any]] = lambda turn: {}
    language: str = "en"
    size: tuple[int, int] | None = None
    fits: Callable[[Turn], bool] = lambda turn: True
    tries: int = TRIES


def _kinds(turn: Turn) -> list[str]:
    """The things to be found, without their colours."""
    return sorted({str(item["label"]).split()[-1] for item in turn.truth["boxes"]})


def _has(what: str, least: int) -> Callable[[Turn], bool]:
    """Not the simplest of pictures."""
    return lambda turn: len(turn.truth[what]) >= least


def _several_of_a_kind(turn: Turn) -> bool:
    return len(turn.truth["boxes"]) > 1 and len(_kinds(turn)) == 1


KINDS: Mapping[str, Kind] = {
    "chat": Kind("documents", "receipt_total", "chat", "receipt.png", lambda turn: {"question": turn.question}),
    "screen": Kind(
        "screens",
        "gui_click",
        "gui_agent",
        "window.png",
        lambda turn: {"goal": f"Click {turn.truth['element']}.", "form": "json"},
        size=(416, 320),
    ),
    "screen in Chinese": Kind(
        "screens",
        "gui_click",
        "gui_agent",
        "窗口.png",
        lambda turn: {"goal": f"点击{turn.truth['element']}。", "form": "json"},
        language="zh",
        size=(416, 320),
        fits=lambda turn: not str(turn.truth["element"]).isascii(),
    ),
    "boxes": Kind(
        "shapes",
        "boxes",
        "grounding",
        "shapes.png",
        lambda turn: {"target": f"all {_kinds(turn)[0]}s"},
        fits=_several_of_a_kind,
    ),
    "lines": Kind(
        "text", "ocr_boxes", "ocr", "text.png", lambda turn: {"form": "lines"}, size=(416, 320), fits=_has("boxes", 4)
    ),
    "table": Kind("documents", "table_html", "tables", "table.png", size=(416, 320), fits=_has("rows", 4)),
    "fields": Kind("documents", "key_values", "extract", "form.png", size=(416, 320), fits=_has("fields", 4)),
    "web page": Kind("web", "html", "screenshot_to_code", "page.png", size=(416, 320), fits=_has("html", 250)),
    "chart": Kind(
        "charts",
        "chart_values",
        "chart_to_code",
        "chart.png",
        lambda turn: {"result": "data"},
        size=(416, 320),
        fits=_has("values", 4),
    ),
    "diagram": Kind("diagrams", "drawio", "diagram", "diagram.png", size=(416, 320), fits=_has("nodes", 4)),
    "events": Kind(
        "video", "video_events", "video_events", "shapes.webm", size=(224, 128), fits=_has("events", 2), tries=4
    ),
    "moment": Kind(
        "video",
        "video_when",
        "video_when",
        "shapes.webm",
        lambda turn: {"what": turn.question},
        size=(224, 128),
        fits=lambda turn: " appear" in turn.question,  # so that something is seen at that moment
        tries=4,
    ),
    "pages": Kind(
        "pages",
        "pages_question",
        "documents",
        "report.pdf",
        lambda turn: {"question": turn.question, "citations": False},
    ),
}


def best(api: httpx.Client, name: str) -> tuple[Asked, float]:
    """The drawn input of a kind that the model of this server answers best, and how much of that is right, 0 to 1."""
    kind = KINDS[name]

    def attempt(seed: int) -> tuple[Asked, Turn, str]:
        sample = drawn(kind, seed)
        asked = Asked((file_of(sample, kind.file),), kind.task, kind.params(sample.turns[0]))
        return asked, sample.turns[0], answer(api, asked, kind.language)

    with ThreadPoolExecutor(kind.tries) as pool:
        attempts = list(pool.map(attempt, range(kind.tries)))
    marks = [rating(kind.drawn, text, turn) for _, turn, text in attempts]
    first = max(range(kind.tries), key=lambda number: marks[number])
    return attempts[first][0], marks[first][0]


def drawn(kind: Kind, seed: int) -> Sample:
    """A sample whose question is in the kind's language, and for English one without Chinese characters."""
    rng = random.Random(f"{kind.family} {kind.drawn} {seed}")
    while True:
        sample = draw(rng, kind.family, split="held_out", task=kind.drawn, size=kind.size)
        turn = sample.turns[0]
        plain = turn.language == "zh" or (turn.question + turn.answer).isascii()
        if turn.language == kind.language and plain and kind.fits(turn):
            return sample


def answer(api: httpx.Client, asked: Asked, language: str) -> str:
    body = {
        "input": [file.part for file in asked.files],
        "params": asked.params,
        "language": language,
        "max_tokens": MOST_TOKENS,
        "temperature": 0,
    }
    reply = api.post(f"/tasks/{asked.task}", json=body)
    if reply.is_error:
        raise RuntimeError(f"{asked.task}: {reply.text}")
    return str(reply.json()["result"]["text"])


def rating(task: str, text: str, turn: Turn) -> tuple[float, float]:
    """How right an answer is by its task's main metric, and by all of them."""
    parts = score(task, text, turn.answer, turn.truth)
    shares = {name: part.value / max(part.weight, 1e-9) for name, part in parts.items()}
    return shares[main_metric(task)], sum(-share if name in COSTS else share for name, share in shares.items())


def file_of(sample: Sample, name: str) -> File:
    """The sample's frames as one file, of the format that the name's ending says."""
    match name.rpartition(".")[2]:
        case "pdf":
            return File(name, "application/pdf", document(sample.frames))
        case "webm":
            return File(name, "video/webm", film(sample.frames, sample.fps))
        case _:
            return File(name, "image/png", picture(sample.frames[0]))


def picture(frame: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    return file.getvalue()


def document(frames: Frames) -> bytes:
    """A PDF whose pages are these pictures, as from a scanner."""
    file = io.BytesIO()
    first, *others = (Image.fromarray(frame) for frame in frames)
    first.save(file, "PDF", save_all=True, append_images=others, resolution=72)
    return file.getvalue()


def film(frames: Frames, fps: float) -> bytes:
    """A WebM, enlarged so that it is pleasant to look at."""
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as output:
        stream: Any = output.add_stream("libvpx", rate=FILM_FPS)
        height, width, _ = frames[0].shape
        stream.width, stream.height, stream.pix_fmt = width * FILM_SCALE, height * FILM_SCALE, "yuv420p"
        stream.bit_rate = 2_000_000
        for frame in frames:
            large = np.ascontiguousarray(frame.repeat(FILM_SCALE, axis=0).repeat(FILM_SCALE, axis=1))
            for _ in range(round(FILM_FPS / fps)):
                output.mux(stream.encode(av.VideoFrame.from_ndarray(large, format="rgb24")))
        output.mux(stream.encode())
    return file.getvalue()


def long_film(parts: int = 4) -> File:
    """Several short videos of captions one after the other, whose scenes are told apart by their colours."""
    rng = random.Random("a long film")
    samples: list[Sample] = []
    while len(samples) < parts:
        sample = draw(rng, "video", split="held_out", task="video_chapters", size=(224, 128))
        if (sample.turns[0].question + sample.turns[0].answer).isascii():
            samples.append(sample)
    return File("talk.webm", "video/webm", film([frame for each in samples for frame in each.frames], samples[0].fps))
