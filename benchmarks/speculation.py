"""What drafts bring: questions about drawn pictures, each answered without and with speculation, in turn, in one run.

    python benchmarks/speculation.py [--model models/dense --model models/moe] [--tasks ocr_page html] [--samples 12]

Questions are of the held-out split, a picture is never shown twice to one engine, answers are greedy in float32 on the
CPU. Three engines answer each question, in turns that rotate: `off` drafts nothing; `alone` drafts from the prompt and
the answer so far; `company` also from the answers to the questions before, as a server would. Decoding counts, from the
first token to the last: tokens a second by the clock, and by the CPU time of the process, which other work on the
machine disturbs less. Ratios are medians over the questions, each against the same question without drafts. Ends with
status 1 where an answer's tokens differ.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch

from qwen3vl import Engine
from qwen3vl.bench.datasets import DrawnSet, Item
from qwen3vl.engine.build import EngineConfig
from qwen3vl.engine.outputs import Usage

TASKS = ("ocr_line", "ocr_page", "ocr_boxes", "table_html", "html", "drawio")
WAYS = ("off", "alone", "company")
LEAST_TOKENS = 8  # of an answer, or its speed says nothing


@dataclass(frozen=True)
class Answer:
    token_ids: list[int]
    seconds: float  # from the first token to the last
    cpu_seconds: float
    usage: Usage

    @property
    def decoded(self) -> int:
        return len(self.token_ids) - 1


def ask(engine: Engine, item: Item, max_tokens: int) -> Answer:
    token_ids: list[int] = []
    clock = cpu = 0.0
    usage = None
    for delta in engine.stream(item.messages, max_tokens=max_tokens, temperature=0.0):
        if not token_ids:
            clock, cpu = time.perf_counter(), time.process_time()
        token_ids += delta.token_ids
        usage = delta.usage
    assert usage is not None
    return Answer(token_ids, time.perf_counter() - clock, time.process_time() - cpu, usage)


def load(model: str, way: str) -> Engine:
    config = EngineConfig(remember_answers=way == "company")
    speculation = "off" if way == "off" else "auto"
    return Engine.load(model, device="cpu", dtype="float32", speculation=speculation, config=config)


def measure(model: str, tasks: Sequence[str], samples: int, seed: int, max_tokens: int) -> bool:
    """Prints a line for each task. Returns whether all ways gave the same tokens."""
    same = True
    print(f"\n{model}: greedy, float32, {torch.get_num_threads()} threads, {samples} questions a task, seed {seed}")
    columns = (
        "answers",
        "tokens",
        "off, tok/s",
        *(f"{way} {what}" for way in WAYS[1:] for what in ("x", "x cpu", "a/d")),
    )
    print(f"{'task':12}" + "".join(f"{column:>15}" for column in columns))
    with ExitStack() as stack:
        engines = {way: stack.enter_context(load(model, way)) for way in WAYS}
        for engine in engines.values():
            ask(engine, DrawnSet([tasks[0]], 1, seed + 1)[0], max_tokens)  # warms up, and leaves something to remember
        for task in tasks:
            answers: dict[str, list[Answer]] = {way: [] for way in WAYS}
            for number, item in enumerate(DrawnSet([task], samples, seed)):
                for way in (*WAYS[number % 3 :], *WAYS[: number % 3]):
                    answers[way].append(ask(engines[way], item, max_tokens))
            same &= all(
                answer.token_ids == plain.token_ids
                for way in WAYS[1:]
                for plain, answer in zip(answers["off"], answers[way], strict=True)
            )
            print(f"{task:12}" + "".join(f"{cell:>15}" for cell in row(answers)))
    print("all tokens the same" if same else "TOKENS DIFFER")
    return same


def row(answers: dict[str, list[Answer]]) -> list[str]:
    long = [number for number, answer in enumerate(answers["off"]) if answer.decoded >= LEAST_TOKENS]
    if not long:
        return ["0"]
    off = [answers["off"][number] for number in long]
    cells = [str(len(long)), f"{statistics.mean(answer.decoded for answer in off):.0f}"]
    cells.append(f"{statistics.median(answer.decoded / answer.seconds for answer in off):.0f}")
    for way in WAYS[1:]:
        drafted = [answers[way][number] for number in long]
        pairs = list(zip(off, drafted, strict=True))
        cells.append(f"{statistics.median(plain.seconds / other.seconds for plain, other in pairs):.2f}")
        cells.append(f"{statistics.median(plain.cpu_seconds / other.cpu_seconds for plain, other in pairs):.2f}")
        accepted, proposed = (
            sum(getattr(a.usage, name) for a in drafted) for name in ("accepted_tokens", "draft_tokens")
        )
        cells.append(f"{accepted}/{proposed}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="a folder or catalogue name, one or more")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--samples", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-tokens", type=int, default=600)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    models = arguments.model or ["models/dense", "models/moe"]
    same = [measure(m, arguments.tasks, arguments.samples, arguments.seed, arguments.max_tokens) for m in models]
    raise SystemExit(0 if all(same) else 1)


if __name__ == "__main__":
    main()
