"""The command line: `qwen3vl serve`, `chat`, `quantize`, `eval` and `keys`. Thin: parses, calls, prints.

What is heavy (torch, Gradio) is imported by the commands that use it, so that `--help` and usage errors come at once.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from qwen3vl.errors import InputError, Qwen3VLError
from qwen3vl.flags import MODEL_NAME, Grouped, with_settings
from qwen3vl.settings import Settings

if TYPE_CHECKING:
    from qwen3vl.engine.build import EngineConfig
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

keys = typer.Typer(help="API keys: who may use the server, and for what.", no_args_is_help=True)
app.add_typer(keys, name="keys")

DeviceOption = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N. [default: auto]")]
DtypeOption = Annotated[str | None, typer.Option("--dtype", help="auto, float32, bfloat16 or float16. [default: auto]")]
MemoryOption = Annotated[
    str | None, typer.Option("--memory", help="The most to take, such as 12GiB. [default: as fits]")
]
ContextOption = Annotated[int | None, typer.Option("--max-context", help="Tokens of prompt and answer together.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="A config.yaml. [default: ./config.yaml, or that of the user's configuration]"),
]


@app.command(cls=Grouped)
@with_settings
def serve(
    *,
    model: Annotated[str | None, typer.Argument(help="A folder, catalogue name or hub id. [default: tiny-moe]")] = None,
    config: ConfigOption = None,
    flags: dict[str, dict[str, Any]],
) -> None:
    """Serve the web page and the OpenAI-compatible API until interrupted.

    Each option is also a key of config.yaml and an environment variable: --max-body is max_body in the section server,
    and QWEN3VL_SERVER_MAX_BODY. A flag goes before the environment, and that before the file.
    """
    section, key = MODEL_NAME
    flags[section][key] = model
    settings = _settings(config, **flags)
    from qwen3vl.server import Services, create_app, run
    from qwen3vl.server.access import check_exposure

    # The port, the store and the keys first: a server that cannot listen should not load a model.
    with run.listen(settings.server.host, settings.server.port) as listener, Services.open(settings) as services:
        check_exposure(settings.server, services.store.keys)
        services.adopt(_load(settings))
        from qwen3vl.webui import mount_page

        application = create_app(services)
        mount_page(application, services)
        url = run.url_of(listener)
        notes.print(f"[bold]{url}[/bold]  (API: {url}/v1; Ctrl+C stops)")
        run.run(application, listener)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What it is for; shown in the list.")],
    scope: Annotated[str, typer.Option(help="Some of chat, models, files and admin, with commas between.")] = "chat",
    rate: Annotated[str | None, typer.Option(help="Requests it may make, such as 60/min. [default: any]")] = None,
    config: ConfigOption = None,
) -> None:
    """Make a key and print it. It is shown this once; the server keeps only its hash."""
    from qwen3vl.server.access import make_key
    from qwen3vl.server.limits import parse_rate
    from qwen3vl.server.services import open_store

    scopes = [part.strip() for part in scope.split(",") if part.strip()]
    with open_store(_settings(config)) as store:
        limit = None if rate is None else parse_rate(rate)
        key, secret = make_key(store.keys, name=name, scopes=scopes, rate=limit)
    notes.print(
        f"key {key.id} for {', '.join(key.scopes)}; a server that runs takes it within two seconds", style="dim"
    )
    print(secret)


@keys.command("list")
def list_keys(config: ConfigOption = None) -> None:
    """Show the keys, without their secrets."""
    from qwen3vl.server.services import open_store

    with open_store(_settings(config)) as store:
        for key in store.keys.list():
            rate = "any rate" if key.rate is None else f"{key.rate}/min"
            made = time.strftime("%Y-%m-%d", time.localtime(key.created))
            state = "revoked" if key.revoked else "active"
            print(key.id, state, made, ",".join(key.scopes), rate, key.name, sep="  ")


@keys.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(help="The id that the list shows.")], config: ConfigOption = None
) -> None:
    """Take a key back. A server that runs refuses it within two seconds."""
    from qwen3vl.server.services import open_store

    with open_store(_settings(config)) as store:
        if store.keys.revoke(key) is None:
            raise InputError(f"there is no key {key!r}; `qwen3vl keys list` shows them")
    notes.print(f"key {key} is revoked", style="dim")


@app.command()
def chat(
    words: Annotated[
        list[str], typer.Argument(metavar="[FILE]... QUESTION", help="Pictures, videos or PDFs, and last the question.")
    ],
    model: Annotated[str | None, typer.Option(help="A folder, catalogue name or hub id. [default: tiny-moe]")] = None,
    mode: Annotated[
        str | None, typer.Option(help="fast, balanced, full, or a number of active experts. [default: full]")
    ] = None,
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
    config: ConfigOption = None,
) -> None:
    """Ask one question and stream the answer to the terminal."""
    settings = _settings(
        config, model={"name": model, "device": device, "dtype": dtype, "memory": memory, "max_context": max_context}
    )
    from qwen3vl.tasks.attachment import Attachment

    attachments = [Attachment.from_file(Path(file)) for file in words[:-1]]
    if boxes is not None and [each.kind for each in attachments] != ["image"]:
        raise InputError("--boxes needs exactly one picture")
    parts: list[dict[str, Any]] = [attachment.part for attachment in attachments]
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": words[-1]}]}]
    options = settings.generation.given()
    given = {"mode": mode and _mode(mode), "max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    options.update({name: value for name, value in given.items() if value is not None})
    with _load(settings) as engine:
        answer = _stream_answer(engine, messages, options)
    if boxes is not None:
        _save_boxes(attachments[0].path, answer, boxes)


@app.command()
def quantize(
    model: Annotated[str, typer.Argument(help="A folder, catalogue name or hub id.")],
    folder: Annotated[Path, typer.Argument(help="Where to write; new or empty.")],
    to: Annotated[str, typer.Option(help="int4 or int8.")] = "int4",
    source: Annotated[
        str, typer.Option(help="Where it is downloaded from: huggingface or modelscope.")
    ] = "huggingface",
) -> None:
    """Save a model with packed weights for a CPU, so that it starts in the time that reading takes."""
    from qwen3vl.engine.build import quantize as pack

    with _progress(f"Packing {model}") as progress:
        pack(model, folder, to, progress, source=source)
    size = sum(path.stat().st_size for path in folder.iterdir())
    notes.print(
        f"{folder}: {size / 2**20:,.0f} MiB; start it with: qwen3vl serve {folder}", markup=False, soft_wrap=True
    )


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
    paraphrases: Annotated[
        bool,
        typer.Option("--paraphrases", help="Ask each question in a trained wording too, to see what wordings cost."),
    ] = False,
    render: Annotated[
        bool,
        typer.Option(
            "--render", help="Compare written HTML by its looks too, in Chromium (pip install 'qwen3vl[browser]')."
        ),
    ] = False,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            help="Processes that answer, each with the model loaded, and with --memory for itself: "
            "as many as cores are fastest for a small model on a CPU.",
        ),
    ] = 1,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Of an answer. [default: twice the right answer's, and some more]")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Write each answer with its scores to this file, one a line.")
    ] = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    quantization: Annotated[
        str | None, typer.Option(help="Of the decoder's weights on a CPU: none, int8 or int4. [default: none]")
    ] = None,
    kv_cache: Annotated[
        str | None,
        typer.Option(help="Of keys and values: auto, float32, bfloat16, float16 or int8. [default: auto]"),
    ] = None,
    memory: MemoryOption = None,
) -> None:
    """Measure how well a model answers, on pictures drawn for it or on your own.

    What is drawn depends on the seed alone, and has words, fonts, wordings and sizes that no training has seen.
    """
    form = {"dtype": dtype, "quantization": quantization, "kv_cache": kv_cache}
    settings = _settings(model={"name": model, "device": device, "memory": memory, **form})
    from qwen3vl.bench.command import run_evaluation
    from qwen3vl.bench.jobs import AT_ONCE
    from qwen3vl.engine.build import EngineConfig, resolve_device

    config = EngineConfig(max_running=AT_ONCE[resolve_device(settings.model.device).type])
    run_evaluation(
        partial(_load, settings, config),
        modes=[_mode(each) for each in dict.fromkeys(mode or ["full"])],
        tasks=[task.strip() for task in tasks.split(",")] if tasks else None,
        samples=samples,
        seed=seed,
        data=data,
        paraphrases=paraphrases,
        render=render,
        jobs=jobs,
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


def _settings(config: Path | None = None, **sections: dict[str, Any]) -> Settings:
    try:
        return Settings.load(config=config, **sections)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@contextlib.contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of bytes, where a person looks on."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _load(settings: Settings, config: EngineConfig | None = None) -> Engine:
    """The engine, with a bar while bytes come in, and a line about what was loaded."""
    from qwen3vl import Engine

    model = settings.model
    with _progress(f"Loading {model.name}") as progress:
        engine = Engine.load(
            model.name,
            source=model.source,
            device=model.device,
            dtype=model.dtype,
            quantization=model.quantization,
            kv_cache=model.kv_cache,
            memory=model.memory,
            max_context=model.max_context,
            speculation=model.speculation,
            config=config,
            progress=progress,
        )
    info = engine.info
    weights = info.dtype if info.quantization == "none" else f"{info.quantization} ({info.kernels})"
    kind = f"{info.num_experts} experts, {info.num_experts_per_tok} a token" if info.is_moe else "dense"
    notes.print(
        f"{info.name}: {kind}, {info.parameters / 1e6:,.1f} M parameters, {weights} on {info.device}, "
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

    from qwen3vl.tasks.actions import parse_actions
    from qwen3vl.tasks.grounding import draw_boxes, parse_marks

    with Image.open(picture) as image:
        upright = ImageOps.exif_transpose(image)
    aims = [action.target for action in parse_actions(answer, *upright.size) if action.target]
    marks = parse_marks(answer, *upright.size) or aims
    if not marks:
        raise InputError("the answer locates nothing, so no picture was saved")
    try:
        draw_boxes(upright, marks).save(target)
    except (OSError, ValueError) as error:  # ValueError: no format goes by that ending
        raise InputError(f"cannot save {target}: {error}") from error
    notes.print(f"{target}: {len(marks)} marked", style="dim")
