"""What the forms in which weights and cache can be held on a CPU cost in quality.

    python -m benchmarks.quality models/dense --formats int8,int4,int8-kv [--samples 100] [--jobs 28] [--json FILE]

Asks the same held-out drawn questions, as `qwen3vl eval` draws them, of the unquantised model in float32 and of each
format, greedily. Prints tables in Markdown: accuracy lost by task, paired, with 95 % intervals; likelihood lost; the
KL divergence from the unquantised model's distributions over the whole vocabulary in the place of each token of the
reference answer. A format is one of bf16, int8, int4, int8-kv, or several: int4+int8-kv. `--seconds` begins no question
after that time; the tasks then have about as many questions each.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch

from benchmarks.quality.compare import Comparison
from benchmarks.quality.formats import UNQUANTISED, parse
from benchmarks.quality.report import summarise
from qwen3vl import __version__
from qwen3vl.bench.datasets import DrawnSet
from qwen3vl.bench.jobs import share


def main() -> None:
    given = _arguments()
    mode = int(given.mode) if given.mode.isdigit() else given.mode
    formats = tuple(map(parse, dict.fromkeys(given.formats.split(","))))
    items = DrawnSet(given.tasks.split(",") if given.tasks else None, given.samples, given.seed)
    started = time.time()
    until = None if given.seconds is None else started + given.seconds
    cpu = os.times()
    found = share(Comparison(given.model, formats, items, mode, until), len(items), given.jobs, lambda done: None)
    spent = os.times()
    answers = [answer for part in found for answer in part.answers]
    if not answers:
        raise SystemExit(f"no question was begun within {given.seconds} seconds")
    about = {
        "model": given.model,
        "parameters": found[0].parameters,
        "mode": given.mode,
        "unquantised": UNQUANTISED.name,
        "set": "drawn, held out",
        "samples": given.samples,
        "questions": len({answer.number for answer in answers}),
        "seed": given.seed,
        "version": __version__,
        "torch": torch.__version__,
        "seconds": round(time.time() - started, 1),
        "cpu_seconds": round(sum(spent[:4]) - sum(cpu[:4]), 1),  # of this process and of those that it has ended
        "jobs": given.jobs,
    }
    report = summarise(answers, given.seed, about, found[0].weight_bytes)
    if given.json is not None:
        given.json.write_text(json.dumps(report.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{given.model}: {about['questions']:,} questions, {about['seconds']} s, {about['cpu_seconds']} s of CPU\n")
    print("\n".join(report.markdown()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder, catalogue name or hub id")
    parser.add_argument("--formats", default="bf16,int8,int4,int8-kv", help="with commas between them")
    parser.add_argument("--tasks", help="names, with commas between them; without: all")
    parser.add_argument("--samples", type=int, default=100, help="questions of each task")
    parser.add_argument("--seconds", type=float, help="after which no question is begun")
    parser.add_argument("--mode", default="full", help="of a mixture: full, balanced, fast or a number of experts")
    parser.add_argument("--seed", type=int, default=0, help="of the questions and of the intervals")
    parser.add_argument("--jobs", type=int, default=1, help="processes, each with all formats in memory")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
