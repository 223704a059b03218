"""What `qwen3vl eval` does: asks, scores, prints a table, and writes the files it was told to."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from qwen3vl import __version__
from qwen3vl.bench.datasets import Dataset, DrawnSet, FolderSet
from qwen3vl.bench.evaluate import Record
from qwen3vl.bench.jobs import Task, answer
from qwen3vl.bench.report import summarise
from qwen3vl.bench.tables import tables
from qwen3vl.bench.targets import targets
from qwen3vl.engine.engine import Engine
from qwen3vl.engine.info import EngineInfo
from qwen3vl.errors import InputError
from qwen3vl.experts.modes import Mode

_DRAWN_SAMPLES = 300
_WIDTH = 200  # of the tables where they go into a file or another program


def run_evaluation(
    open_engine: Callable[[], Engine],
    *,
    modes: Sequence[Mode],
    tasks: Sequence[str] | None,
    samples: int | None,
    seed: int,
    data: Path | None,
    paraphrases: bool,
    render: bool,
    jobs: int,
    max_tokens: int | None,
    json_file: Path | None,
    answers_file: Path | None,
) -> None:
    """Arguments as the command's options. Raises `InputError`, before a model is loaded where that can be known."""
    for file in (json_file, answers_file):
        if file is not None and not file.absolute().parent.is_dir():
            raise InputError(f"cannot write {file}: {file.absolute().parent} is no folder")
    if data is not None and paraphrases:
        raise InputError("paraphrases are of drawn questions: leave out --data or --paraphrases")
    items: Dataset = (
        FolderSet(data, tasks, samples)
        if data
        else DrawnSet(tasks, samples or _DRAWN_SAMPLES, seed, paraphrases=paraphrases)
    )
    started = time.monotonic()
    with _bar(len(items)) as progress:
        answers = answer(Task(open_engine, items, modes, render, max_tokens), jobs, progress)
    about, records = _about(answers.info, seed, data), answers.records
    report = summarise(records, modes, seed, {**about, "seconds": round(time.monotonic() - started, 1)})
    reached = targets(report)
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH
    for table in tables(report, reached):
        console.print(table)
    if json_file is not None:
        figures = {**report.to_json(), "targets": [target.to_json() for target in reached]}
        json_file.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if answers_file is not None:
        lines = (json.dumps(_line(record), ensure_ascii=False) for record in records)
        answers_file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _about(info: EngineInfo, seed: int, data: Path | None) -> dict[str, Any]:
    return {
        "model": info.name,
        "parameters": info.parameters,
        "experts": info.num_experts,
        "experts_per_token": info.num_experts_per_tok,
        "device": info.device,
        "dtype": info.dtype,
        "quantization": info.quantization,
        "kv_cache": info.kv_cache,
        "version": __version__,
        "set": str(data) if data else "drawn, held out",
        "seed": seed,
    }


def _line(record: Record) -> dict[str, Any]:
    """An answer as it goes into the file: each score as value and weight."""
    return {
        "name": record.name,
        "task": record.task,
        "mode": record.mode,
        "worded": record.worded,
        "question": record.question,
        "reference": record.reference,
        "answer": record.reply.text,
        "finish_reason": record.reply.finish_reason,
        "scores": {name: [float(part.value), float(part.weight)] for name, part in record.parts.items()},
    }


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("Asking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda done: progress.update(task, completed=done)
