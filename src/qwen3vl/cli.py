"""The command line: `qwen3vl serve`, `qwen3vl chat` and `qwen3vl eval`. Thin: parses, calls, prints.

What is heavy (torch, Gradio) is imported by the commands that use it, so that `--help` and usage errors come at once.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from qwen3vl.errors import InputError, Qwen3VLError
from qwen3vl.settings import Settings

if TYPE_CHECKING:
    from qwen3vl.engine.engine import Engine

app = typer.Typer(
    name="qwen3vl",
    help="Run Qwen3-VL on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,  # the help holds brackets, which markup would swallow
    add_completion=False,
    pretty_exceptions_enable=False,
)
notes = Console(stderr=True, highlight=False)  # everything but an answer, so that an answer can be piped

DeviceOption = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N. [default: auto]")]
DtypeOption = Annotated[str | None, typer.Option("--dtype", help="auto, float32, bfloat16 or float16. [default: auto]")]
MemoryOption = Annotated[
    str | None, typer.Option("--memory", help="The most to take, such as 12GiB. [default: as fits]")
]
ContextOption = Annotated[int | None, typer.Option("--max-context", help="Tokens of prompt and answer together.")]


@app.command()
def serve(
    model: Annotated[str | None, typer.Argument(help="A folder, catalogue name or hub id. [default: tiny-moe]")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one. [default: 7860]")] = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    memory: MemoryOption = None,
    max_context: ContextOption = None,
) -> None:
    """Serve the web page and the OpenAI-compatible API until interrupted."""
    settings = _settings(
        model={"name": model, "device": device, "dtype": dtype, "memory": memory, "max_context": max_context},
        server={"host": host, "port": port},
    )
    from qwen3vl.server import create_app, run

    # The port first: a server that cannot listen should not load a model.
    with run.listen(settings.server.host, settings.server.port) as listener, _load(settings) as engine:
        from qwen3vl.webui import mount_page

        application = create_app(engine, max_body=settings.server.max_body)
        mount_page(application, engine, max_body=settings.server.max_body)
        url = run.url_of(listener)
        notes.print(f"[bold]{url}[/bold]  (API: {url}/v1; Ctrl+C stops)")
        run.run(application, listener)


@app.command()
def chat(
    words: Annotated[
        list[str], typer.Argument(metavar="[FILE]... QUESTION", help="Pictures, videos or PDFs, and last the question.")
    ],
    model: Annotated[str | None, typer.Option(help="A folder, catalogue name or hub id. [default: tiny-moe]")] = None,
    mode: Annotated[str, typer.Option(help="fast, balanced, full, or a number of active experts.")] = "full",
    max_tokens: Annotated[int | None, typer.Option(help="Tokens of the longest answer. [default: as fits]")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy. [default: the checkpoint's]")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes sampling repeatable.")] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="Save the picture with what the answer locates marked on it.")
    ] = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    memory: MemoryOption = None,
    max_context: ContextOption = None,
) -> None:
    """Ask one question and stream the answer to the terminal."""
    settings = _settings(
        model={"name": model, "device": device, "dtype": dtype, "memory": memory, "max_context": max_context}
    )
    from qwen3vl.tasks.attachment import Attachment

    attachments = [Attachment.from_file(Path(file)) for file in words[:-1]]
    if boxes is not None and [each.kind for each in attachments] != ["image"]:
        raise InputError("--boxes needs exactly one picture")
    parts: list[dict[str, Any]] = [attachment.part for attachment in attachments]
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": words[-1]}]}]
    options: dict[str, Any] = {"mode": _mode(mode)}
    given = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    options.update({name: value for name, value in given.items() if value is not None})
    with _load(settings) as engine:
        answer = _stream_answer(engine, messages, options)
    if boxes is not None:
        _save_boxes(attachments[0].path, answer, boxes)


@app.command("eval")
def evaluate(
    model: Annotated[str | None, typer.Argument(help="A folder, catalogue name or hub id. [default: tiny-moe]")] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(help="fast, balanced, full, or a number of active experts; may be given again. [default: full]"),
    ] = None,
    tasks: Annotated[str | None, typer.Option(help="Names, with commas between them. [default: all]")] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Questions of each task. [default: 300, or all of a folder's]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn, and of the intervals.")] = 0,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A folder of your own questions instead of drawn ones: .jsonl files with lines such as "
            '{"image": "a.png", "question": "...", "answer": "...", "task": "ocr_line"}. Instead of image, video or '
            "images (a list), or nothing; without task, answers are compared as plain text."
        ),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Of an answer. [default: twice the right answer's, and some more]")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Write each answer with its scores to this file, one a line.")
    ] = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    memory: MemoryOption = None,
) -> None:
    """Measure how well a model answers, on pictures drawn for it or on your own.

    What is drawn depends on the seed alone, and has words, fonts, wordings and sizes that no training has seen.
    """
    settings = _settings(model={"name": model, "device": device, "dtype": dtype, "memory": memory})
    from qwen3vl.bench.command import run_evaluation

    run_evaluation(
        lambda: _load(settings),
        modes=[_mode(each) for each in dict.fromkeys(mode or ["full"])],
        tasks=[task.strip() for task in tasks.split(",")] if tasks else None,
        samples=samples,
        seed=seed,
        data=data,
        max_tokens=max_tokens,
        json_file=json_file,
        answers_file=answers,
    )


def main() -> None:
    """Entry point. A user's mistake or a failed load is one line on stderr: status 2 for usage, else 1."""
    try:
        app()
    except Qwen3VLError as error:
        notes.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)


def _mode(text: str) -> Any:
    """A name stays one; the engine knows which there are."""
    return int(text) if text.isdigit() else text


def _settings(**sections: dict[str, Any]) -> Settings:
    try:
        return Settings.load(**sections)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _load(settings: Settings) -> Engine:
    """The engine, with a bar while bytes come in, and a line about what was loaded."""
    from qwen3vl import Engine

    model = settings.model
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as progress:
        task = progress.add_task(f"Loading {model.name}", total=None)
        engine = Engine.load(
            model.name,
            device=model.device,
            dtype=model.dtype,
            memory=model.memory,
            max_context=model.max_context,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    info = engine.info
    kind = f"{info.num_experts} experts, {info.num_experts_per_tok} a token" if info.is_moe else "dense"
    notes.print(
        f"{info.name}: {kind}, {info.parameters / 1e6:,.1f} M parameters, {info.dtype} on {info.device}, "
        f"{info.memory_bytes / 2**20:,.0f} MiB, context {info.max_context:,} tokens",
        markup=False,
        soft_wrap=True,
    )
    return engine


def _stream_answer(engine: Engine, messages: list[dict[str, Any]], options: dict[str, Any]) -> str:
    """Prints the answer as it comes, and under it what it took. Returns it."""
    started, first, tokens, pieces = time.perf_counter(), 0.0, 0, []
    with contextlib.closing(engine.stream(messages, **options)) as deltas:
        for delta in deltas:
            first = first or time.perf_counter()
            tokens += len(delta.token_ids)
            pieces.append(delta.text)
            print(delta.text, end="", flush=True)
    print(flush=True)
    ended = time.perf_counter()
    speed = f"{(tokens - 1) / (ended - first):.0f} tokens/s, " if tokens > 1 else ""
    notes.print(f"{tokens} tokens, {speed}{(first - started) * 1000:.0f} ms to the first", style="dim")
    return "".join(pieces)


def _save_boxes(picture: Path, answer: str, target: Path) -> None:
    from PIL import Image, ImageOps

    from qwen3vl.tasks.grounding import draw_boxes, parse_marks

    with Image.open(picture) as image:
        upright = ImageOps.exif_transpose(image)
    marks = parse_marks(answer, upright.width, upright.height)
    if not marks:
        raise InputError("the answer locates nothing, so no picture was saved")
    try:
        draw_boxes(upright, marks).save(target)
    except (OSError, ValueError) as error:  # ValueError: no format goes by that ending
        raise InputError(f"cannot save {target}: {error}") from error
    notes.print(f"{target}: {len(marks)} marked", style="dim")
