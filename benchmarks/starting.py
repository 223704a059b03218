"""From a process's start to the first token of a folder's model, and the memory that this takes.

    python benchmarks/starting.py FOLDER [--rounds 3] [--cold] [--prompt 32] [--memory 20GiB] [--kv-cache int8]

Each round is a process of its own that imports the package, loads the folder, answers a prompt of random tokens, and
decodes a few. Printed: the seconds of each part, and memory: what is the process's own, and pages of files that it has
mapped. With --cold the system forgets the folder's files before each round, so that they come from the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from resident import resident

PARTS = ("import", "load", "first token", "tokens/s after", "own GiB", "mapped GiB")
NEW = 17  # tokens, the first included


def answer(folder: Path, prompt: int, memory: str | None, kv_cache: str) -> dict[str, float]:
    """One round, in the process that is measured."""
    moments = [time.perf_counter()]
    import torch

    from qwen3vl import Engine
    from qwen3vl.engine.options import GenerationOptions
    from qwen3vl.prompt.positions import mrope_positions
    from qwen3vl.prompt.types import Prompt

    moments.append(time.perf_counter())
    with Engine.load(folder, memory=memory, kv_cache=kv_cache) as engine:
        moments.append(time.perf_counter())
        config = engine.prompt_builder.config
        ids = torch.randint(100, config.text.vocab_size // 2, (prompt,)).tolist()
        request = Prompt(ids, *mrope_positions(prompt, [], config.vision.merge_size), visuals=[])
        options = GenerationOptions(temperature=0.0, max_tokens=NEW, ignore_eos=True)
        arrivals = []
        for delta in engine.stream_prompt(request, options):
            arrivals += [time.perf_counter()] * len(delta.token_ids)
        own, mapped = resident()
    imported, loaded, first = (
        later - sooner for sooner, later in zip(moments, [*moments[1:], arrivals[0]], strict=True)
    )
    speed = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
    return dict(
        zip(
            PARTS,
            (imported, loaded, first, speed, own / 2**30, mapped / 2**30),
            strict=True,
        )
    )


def forget(folder: Path) -> None:
    """Lets the system drop what it holds of the folder's files."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())  # what is not on the disk yet cannot be dropped
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def one_round(given: argparse.Namespace) -> dict[str, Any]:
    if given.cold:
        forget(given.folder)
    start = time.perf_counter()
    run = subprocess.run([sys.executable, *sys.argv, "--inside"], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(run.stdout)
    return found | {"all": time.perf_counter() - start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--prompt", type=int, default=32, help="tokens")
    parser.add_argument("--memory", help="the engine's budget")
    parser.add_argument("--kv-cache", default="auto")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        print(json.dumps(answer(given.folder, given.prompt, given.memory, given.kv_cache)))
        return
    rounds = [one_round(given) for _ in range(given.rounds)]
    print(f"{given.folder}, {'cold' if given.cold else 'as the system holds it'}, prompt of {given.prompt} tokens")
    for part in PARTS:
        values = [each[part] for each in rounds]
        print(f"  {part:16}{statistics.median(values):8.2f} ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
