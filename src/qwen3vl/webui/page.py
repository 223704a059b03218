"""The page: its layout, and what happens on each event. Words are in `texts`, looks in `page.css`."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from qwen3vl.errors import MediaError, Qwen3VLError
from qwen3vl.experts.modes import mode_counts
from qwen3vl.tasks.attachment import Attachment
from qwen3vl.tasks.grounding import Mark, parse_marks
from qwen3vl.webui.answering import Answer, Answering
from qwen3vl.webui.pieces import as_markdown, header_html, mode_choice, notice_html, statistics_html
from qwen3vl.webui.stage import stage_html
from qwen3vl.webui.texts import Sample, Texts
from qwen3vl.webui.views import View, views_of

if TYPE_CHECKING:
    from qwen3vl.engine.engine import Engine

logger = logging.getLogger(__name__)

SAMPLES = Path(__file__).parent / "samples"

DEFAULT_MAX_TOKENS = 512


def build_page(engine: Engine, texts: Texts) -> gr.Blocks:
    """The page as a Gradio application, to be mounted on a server."""
    page = _Page(engine, texts)
    # Uploads are looked at every ten minutes and removed when an hour old.
    blocks = gr.Blocks(title=texts.title, analytics_enabled=False, fill_width=True, delete_cache=(600, 3600))
    with blocks:
        page.lay_out()
        page.connect(blocks)
    return blocks


@dataclass(frozen=True)
class Shown:
    """The files beside the question, what the stage shows of them, and what is wrong with one of them."""

    files: list[str]
    attachments: list[Attachment] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    problem: MediaError | None = None


class _Page:
    def __init__(self, engine: Engine, texts: Texts) -> None:
        self._engine = engine
        self._texts = texts
        self._answering = Answering(engine)

    def lay_out(self) -> None:
        texts, info = self._texts, self._engine.info
        gr.HTML(header_html(self._engine, texts), elem_id="header")
        self._shown = gr.State(Shown([]))
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=6, min_width=320):
                self._stage = gr.HTML(stage_html([], texts), elem_id="stage")
                self._target = gr.Radio(label=texts.target, visible=False, type="value", elem_id="target")
            with gr.Column(scale=5, min_width=320, elem_id="desk"):
                self._prompt = gr.MultimodalTextbox(
                    label=texts.question_label,
                    placeholder=texts.question_placeholder,
                    file_types=["image", "video", ".pdf"],
                    file_count="multiple",
                    submit_btn=False,
                    lines=2,
                    autofocus=True,
                    elem_id="prompt",
                )
                with gr.Row(elem_id="chips"):
                    gr.HTML(escape(texts.try_one), elem_id="try-one")
                    self._chips = [gr.Button(sample.name, size="sm", min_width=0) for sample in texts.samples]
                modes = mode_counts(info.num_experts_per_tok) if info.is_moe else {"full": 1}
                self._mode = gr.Radio(
                    [(mode_choice(name, active, info.num_experts, texts), name) for name, active in modes.items()],
                    value="full",
                    label=texts.mode_label,
                    info=texts.mode_info,
                    visible=info.is_moe,
                    elem_id="mode",
                )
                if not info.is_moe:
                    gr.HTML(escape(texts.dense), elem_id="dense")
                with gr.Accordion(texts.settings, open=False, elem_id="settings"), gr.Row():
                    self._max_tokens = gr.Slider(
                        1,
                        info.max_context,
                        value=min(DEFAULT_MAX_TOKENS, info.max_context),
                        step=1,
                        label=texts.max_tokens,
                        info=texts.max_tokens_info,
                        elem_id="max-tokens",
                    )
                    self._temperature = gr.Slider(
                        0,
                        2,
                        value=info.defaults.temperature,
                        step=0.05,
                        label=texts.temperature,
                        info=texts.temperature_info,
                    )
                with gr.Row(elem_id="buttons"):
                    self._ask = gr.Button(texts.ask, variant="primary", elem_id="ask", scale=3)
                    self._stop = gr.Button(texts.stop, interactive=False, elem_id="stop", scale=1, min_width=90)
                with gr.Column(elem_id="answer-card"):
                    self._notice = gr.HTML("", elem_id="notice")
                    self._answer = gr.Markdown(
                        texts.answer_empty,
                        elem_id="answer",
                        line_breaks=True,
                        buttons=["copy"],
                        latex_delimiters=[],
                        show_label=False,
                    )
                    self._statistics = gr.HTML("", elem_id="statistics")

    def connect(self, blocks: gr.Blocks) -> None:
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        self._prompt.change(
            self._show,
            [self._prompt, self._shown],
            [self._shown, self._stage, self._target, self._notice],
            queue=False,
            trigger_mode="always_last",
            **quiet,
        )
        self._target.input(self._remark, [self._shown, self._answer, self._target], self._stage, queue=False, **quiet)
        gr.on(
            [self._ask.click, self._prompt.submit],
            self._answer_question,
            [self._prompt, self._shown, self._mode, self._max_tokens, self._temperature, self._target],
            [self._answer, self._statistics, self._notice, self._stage, self._shown, self._ask, self._stop],
            concurrency_limit=None,  # the engine batches
            **quiet,
        )
        self._stop.click(self._stop_answer, queue=False, **quiet)
        blocks.unload(self._leave)  # the answer's own stream does not always notice that its reader is gone
        for chip, sample in zip(self._chips, self._texts.samples, strict=True):
            chip.click(_taker(sample), self._prompt, self._prompt, queue=False, **quiet)

    def _show(self, prompt: dict[str, Any], shown: Shown) -> dict[Any, Any]:
        """The question or the files beside it changed; if it is the files, show them."""
        if prompt["files"] == shown.files:
            return {self._shown: gr.skip()}
        shown = self._look_at(prompt["files"])
        numbers = range(len(shown.views))
        choices = [(self._texts.target_choice.format(number=number + 1), number) for number in numbers]
        return {
            self._shown: shown,
            self._stage: stage_html(shown.views, self._texts),
            self._target: gr.update(choices=choices, value=0 if choices else None, visible=len(choices) > 1),
            self._notice: notice_html(str(shown.problem)) if shown.problem else "",
        }

    def _look_at(self, files: list[str]) -> Shown:
        attachments: list[Attachment] = []
        views: list[View] = []
        problem = None
        for file in files:
            try:
                attachment = Attachment.from_file(Path(file))
                views.extend(views_of(attachment, self._engine.prompt_builder.image_tokens))
                attachments.append(attachment)
            except MediaError as error:
                problem = problem or error
        return Shown(files, attachments, views, problem)

    def _remark(self, shown: Shown, answer: str, target: int) -> str:
        """Another picture was chosen to be the one that the answer is about."""
        return stage_html(shown.views, self._texts, _marks(answer, shown.views, target), target)

    async def _answer_question(
        self,
        prompt: dict[str, Any],
        shown: Shown,
        mode: str,
        max_tokens: int,
        temperature: float,
        target: int | None,
        request: gr.Request,
    ) -> AsyncGenerator[dict[Any, Any], None]:
        """Streams the answer, its figures and its marks. Whatever happens, the buttons end as they began."""
        question = (prompt["text"] or "").strip()
        if not question:
            yield {self._notice: notice_html(self._texts.no_question)}
            return
        yield {
            self._answer: "",
            self._statistics: statistics_html(Answer(), self._texts),
            self._notice: "",
            self._ask: gr.update(interactive=False),
            self._stop: gr.update(interactive=True),
        }
        try:
            if prompt["files"] != shown.files:
                shown = self._look_at(prompt["files"])
            if shown.problem:
                raise shown.problem
            yield {self._shown: shown, self._stage: stage_html(shown.views, self._texts)}
            parts = [*(attachment.part for attachment in shown.attachments), {"type": "text", "text": question}]
            answers = self._answering.ask(
                str(request.session_hash),
                [{"role": "user", "content": parts}],
                mode=mode,
                max_tokens=int(max_tokens),
                temperature=float(temperature),
            )
            marks: list[Mark] = []
            async with aclosing(answers):
                async for answer in answers:
                    update = {
                        self._answer: as_markdown(answer.text),
                        self._statistics: statistics_html(answer, self._texts),
                    }
                    if marks != (marks := _marks(answer.text, shown.views, target or 0)):
                        update[self._stage] = stage_html(shown.views, self._texts, marks, target or 0)
                    yield update
        except Qwen3VLError as error:
            yield {self._statistics: "", self._notice: notice_html(str(error))}
        except Exception:
            logger.exception("an answer of the web page failed")
            yield {self._statistics: "", self._notice: notice_html(self._texts.internal_error)}
        yield {self._ask: gr.update(interactive=True), self._stop: gr.update(interactive=False)}

    async def _stop_answer(self, request: gr.Request) -> None:
        self._answering.stop(str(request.session_hash))

    async def _leave(self, request: gr.Request) -> None:
        self._answering.leave(str(request.session_hash))


def _taker(sample: Sample) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What a chip does: sets the question, and brings its own picture when there is none or only a chip's."""

    def take(prompt: dict[str, Any]) -> dict[str, Any]:
        names = {Path(file).name for file in prompt["files"]}
        own = names <= {each.name for each in SAMPLES.iterdir()}
        return {"text": sample.question, "files": [str(SAMPLES / sample.file)] if own else prompt["files"]}

    return take


def _marks(answer: str, views: Sequence[View], target: int) -> list[Mark]:
    if not views or not views[target].width:
        return []
    return parse_marks(answer, views[target].width, views[target].height)
