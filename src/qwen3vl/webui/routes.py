"""What the page asks for beside the public API (`/v1`): its texts and modules, files before they are sent, what they
will cost, and answers as HTML with their results. Everything belongs to whoever made it, as there.
"""

from __future__ import annotations

import asyncio
import io
import json
import statistics
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import PIL.Image
from fastapi import APIRouter, Body, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from qwen3vl.browser.render import MOST_HTML, Renderer
from qwen3vl.errors import InputError, MediaError
from qwen3vl.experts.modes import mode_counts
from qwen3vl.media.image import decode_image
from qwen3vl.media.pdf import render_page
from qwen3vl.media.sniff import GIF, HEAD_BYTES, file_format
from qwen3vl.server.access import current_caller
from qwen3vl.server.answer_results import Measured, measured_all, pictures_of
from qwen3vl.server.contents import keep
from qwen3vl.server.errors import ApiError
from qwen3vl.server.services import Services
from qwen3vl.server.wire import server_sent_event
from qwen3vl.server.writing import LiveAnswer
from qwen3vl.store.records import Conversation, Message
from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.similarity import similarity
from qwen3vl.webui import assets
from qwen3vl.webui.costs import cost_of, pixel_range
from qwen3vl.webui.markdown import highlighted, style_sheet
from qwen3vl.webui.panels import PANELS
from qwen3vl.webui.turns import conversation_view, result_view, turn

HERE = Path(__file__).parent
LANGUAGES = ("en", "zh")
_PREVIEW_WIDTH = 1280  # pixels; of a page whose picture has another shape the height follows
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}  # what goes by its hash
_NO_CACHE = {"Cache-Control": "no-cache"}
_SHOW_SECONDS = 0.08  # between two states of an answer that grows
_RESULT_SECONDS = 0.4  # between two results of it

Sha256 = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$")]
Kind = Literal["image", "video", "pdf"]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FileName(_Sent):
    type: Kind
    media: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class CostRequest(_Sent):
    files: Annotated[list[FileName], Field(max_length=64)]
    max_pixels: int | None = Field(None, ge=1)
    fps: float | None = Field(None, gt=0, le=240)


class CompareRequest(_Sent):
    html: Annotated[str, Field(max_length=MOST_HTML)]
    picture: Annotated[int, Field(ge=0)]


def page_router(services: Services) -> APIRouter:
    router = APIRouter(prefix="/page", include_in_schema=False)
    store, answers = services.store, services.answers
    texts = {language: read_texts(language) for language in LANGUAGES}

    def own(conversation_id: str) -> Conversation:
        found = store.conversations.get(conversation_id, current_caller().owner)
        if found is None:
            raise ApiError(404, "there is no such conversation", code="conversation_not_found")
        return found

    def own_answer(message_id: int) -> Message:
        message = store.messages.get(message_id)
        if message is None or message.role != "assistant":
            raise ApiError(404, f"there is no answer {message_id}", code="message_not_found")
        own(message.conversation)
        return message

    @router.get("/setup")
    def setup() -> dict[str, Any]:
        """All that does not change while the server runs."""
        panels = [{"name": panel.name, "place": panel.place} for panel in PANELS]
        return {
            "texts": texts,
            "panels": panels,
            "tasks": [task_entry(name) for name in TASKS],
            "interface": services.settings.interface.model_dump(mode="json"),
            "max_file": int(services.settings.server.max_file),
        }

    @router.get("/model")
    async def model() -> dict[str, Any]:
        """The model in memory: what the composer must know of it."""
        engine = services.models.engine
        if engine is None:
            return {"name": services.models.wanted, "ready": False}
        info = engine.info
        rows = await services.books.read(lambda ledger: ledger.rows(limit=400))
        speeds: dict[str, list[float]] = {}
        for row in rows:
            seconds = row.total_seconds - row.first_token_seconds
            if row.model == info.name and row.status == "ok" and row.completion_tokens > 8 and seconds > 0:
                speeds.setdefault(row.mode, []).append((row.completion_tokens - 1) / seconds)
        return {
            "name": info.name,
            "ready": engine.healthy,
            "info": {
                name: getattr(info, name)
                for name in (
                    *("is_moe", "num_experts", "num_experts_per_tok", "max_context", "device", "dtype", "quantization"),
                    *("parameters", "memory_bytes"),
                )
            },
            "modes": mode_counts(info.num_experts_per_tok) if info.is_moe else {"full": 1},
            "speeds": {mode: statistics.median(values) for mode, values in speeds.items()},
            "defaults": {k: v for k, v in asdict(info.defaults).items() if k != "eos_token_ids"},
            "settings": services.defaults,
            "pixels": pixel_range(engine),
            "fps": engine.prompt_builder.patches.sampling.fps,
            "kv_bytes": engine.info.cache_token_bytes,
        }

    @router.get("/code.css")
    def code_style() -> Response:
        return Response(style_sheet(), media_type="text/css", headers=_NO_CACHE)

    @router.post("/files")
    async def take_file(request: Request, name: Annotated[str, Query(max_length=255)] = "") -> dict[str, Any]:
        """Keeps a picture, video or document that is about to be sent. A picture that moves counts as a video."""
        data = await request.body()
        if len(data) > services.settings.server.max_file:
            raise ApiError(413, f"the file has {len(data):,} bytes; {int(services.settings.server.max_file):,} may be")

        def take() -> dict[str, Any]:
            kind = "video" if file_format(data[:HEAD_BYTES]) == GIF and _moves(data) else None
            media = keep(store, data, kind, name)  # type: ignore[arg-type]  # "video" or None
            shown = {key: getattr(media, key) for key in ("media_type", "size", "width", "height", "duration", "pages")}
            return {"type": kind or media.kind, "media": media.sha256, "name": name or media.name, **shown}

        return await asyncio.to_thread(take)

    @router.post("/costs")
    async def costs(body: Annotated[CostRequest, Body()]) -> list[dict[str, Any] | None]:
        """Of each file; null while no model is in memory, and an error where the model cannot take it."""
        engine = services.models.engine
        if engine is None:
            return [None] * len(body.files)
        owner = current_caller().owner

        def measure() -> list[Measured | str]:
            own = [file for file in body.files if store.media.get(file.media, owner) is not None]
            sizes = iter(measured_all([(store.media.path(file.media), str(file.type)) for file in own]))
            return [next(sizes) if file in own else f"there is no media {file.media!r}" for file in body.files]

        found: list[dict[str, Any] | None] = []
        for measured in await asyncio.to_thread(measure):
            try:
                cost = measured if isinstance(measured, str) else cost_of(measured, engine, body.max_pixels, body.fps)
            except (MediaError, InputError) as error:
                cost = str(error)
            found.append({"error": cost} if isinstance(cost, str) else asdict(cost))
        return found

    @router.get("/media/{sha256}/pages/{number}")
    def document_page(sha256: Sha256, number: int, side: Annotated[int, Query(ge=32, le=1600)] = 1200) -> Response:
        """A page of a document as a picture, `side` pixels on its longer side."""
        path = store.media.path(sha256)
        if store.media.get(sha256, current_caller().owner) is None or not path.is_file():
            raise ApiError(404, "there is no such document", code="media_not_found")
        buffer = io.BytesIO()
        PIL.Image.fromarray(render_page(path.read_bytes(), number, longest_side=side).pixels).save(buffer, "PNG")
        return Response(buffer.getvalue(), media_type="image/png", headers=_FOREVER)

    @router.get("/conversations/{conversation_id}")
    def conversation(conversation_id: str) -> dict[str, Any]:
        return conversation_view(store, own(conversation_id))

    @router.get("/answers/{message_id}/live")
    async def live(message_id: int) -> StreamingResponse:
        """An answer as it grows, each time whole, with its result now and then; at last as it ended."""
        await asyncio.to_thread(own_answer, message_id)
        # Read anew where nobody writes it: it may have ended in the meantime, and would then never change.
        watched = answers.live(message_id) or LiveAnswer(await asyncio.to_thread(own_answer, message_id))
        return StreamingResponse(_events(services, watched), media_type="text/event-stream", headers=_NO_CACHE)

    @router.get("/answers/{message_id}")
    def answer_result(message_id: int) -> dict[str, Any]:
        return result_view(store, own_answer(message_id))

    @router.post("/highlight")
    def colours(body: Annotated[dict[str, str], Body()]) -> dict[str, str]:
        """Code that a person has edited, with its words in spans."""
        return {"html": highlighted(body.get("source", ""), body.get("language", ""))}

    @router.post("/answers/{message_id}/compare")
    def compare(message_id: int, body: Annotated[CompareRequest, Body()]) -> dict[str, float]:
        """How alike a page, drawn without scripts and network, and a picture of the question look, from 0 to 1."""
        pictures = pictures_of(store, own_answer(message_id))
        if body.picture >= len(pictures):
            raise ApiError(400, f"there is no picture {body.picture}; this question has {len(pictures)}")
        wanted = pictures[body.picture]
        data = store.media.path(wanted.media).read_bytes()
        shown = decode_image(data) if wanted.page is None else render_page(data, wanted.page)
        height = round(_PREVIEW_WIDTH * shown.height / shown.width)
        size = (shown.width, shown.height) if max(shown.width, shown.height) <= 4096 else (_PREVIEW_WIDTH, height)
        with Renderer() as renderer:
            drawn = renderer.render(body.html, size)
        return {"similarity": similarity(drawn, PIL.Image.fromarray(shown.pixels))}

    @router.get("/assets/{version}/{folder}/{name}")
    def asset(version: str, folder: Literal["static", "panels"], name: str) -> FileResponse:
        path = assets.FOLDERS[folder] / name
        if version != assets.version() or name not in assets.names(folder, *assets.TYPES):
            raise ApiError(404, f"there is no file {name!r} of this version")
        return FileResponse(path, media_type=assets.TYPES[path.suffix], headers=_FOREVER)

    @router.get("/samples/{name}")
    def sample(name: str) -> FileResponse:
        if name not in {path.name for path in (HERE / "samples").glob("*.png")}:
            raise ApiError(404, f"there is no file {name!r}")
        return FileResponse(HERE / "samples" / name, media_type="image/png", headers=_NO_CACHE)

    for panel in PANELS:
        if panel.router is not None:
            router.include_router(panel.router(services))
    return router


def read_texts(language: str) -> dict[str, Any]:
    """All words of the page in one language."""
    texts: dict[str, Any] = json.loads((HERE / "texts" / f"{language}.json").read_text(encoding="utf-8"))
    return texts


def task_entry(name: str) -> dict[str, Any]:
    """A task as the composer needs it."""
    task = TASKS[name]
    schema = task.params.model_json_schema()
    return {
        "name": name,
        "title": dict(task.titles),
        "summary": dict(task.summaries),
        "accepts": sorted(task.accepts),
        "needs": sorted(task.needs),
        "text_param": task.text_param,
        "default_mode": task.default_mode,
        "params": schema["properties"],
        "required": schema.get("required", []),
    }


async def _events(services: Services, watched: LiveAnswer) -> AsyncIterator[bytes]:
    store, clock = services.store, asyncio.get_running_loop().time
    next_result = 0.0
    async for message in watched.watch():
        ended = message.state != "running"
        shown = {**await asyncio.to_thread(turn, message, store), "pages_read": watched.pages_read}
        yield server_sent_event({"type": "turn", "turn": shown})
        if ended or clock() >= next_result:
            started = clock()
            yield server_sent_event({"type": "result", **await asyncio.to_thread(result_view, store, message)})
            # A long answer takes longer to read: no more than a tenth of the time goes into it.
            next_result = clock() + max(_RESULT_SECONDS, 9 * (clock() - started))
        if not ended:
            await asyncio.sleep(_SHOW_SECONDS)
    yield server_sent_event("[DONE]")


def _moves(data: bytes) -> bool:
    try:
        with PIL.Image.open(io.BytesIO(data)) as image:
            return bool(getattr(image, "is_animated", False))
    except (OSError, PIL.Image.DecompressionBombError):
        return False  # whoever decodes it says what is wrong
