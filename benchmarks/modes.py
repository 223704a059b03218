"""Speed of a mixture of experts by the number of experts that a token uses, of a folder's model.

    python benchmarks/modes.py FOLDER [--experts 8 6 4] [--batch 1 4] [--prompt 512 --new 32 --rounds 3]

One engine, which drafts nothing; in each round every number of experts has its turn. Prints medians and the lowest and
highest round: tokens/s of a prompt of random tokens, and of all sequences together while they decode behind a short
one; and the memory at the end: what is the process's own, and pages of files that it has mapped.
"""

from __future__ import annotations

import argparse
import os
from itertools import count
from pathlib import Path

from random_weights import decode_step, first_token, spread, text_prompt
from resident import resident

from qwen3vl import Engine
from qwen3vl.engine.memory import GIB

SHORT = 16  # tokens of the prompts of those that decode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--experts", type=int, nargs="+", default=[8, 6, 4])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--prompt", type=int, nargs="*", default=[512])
    parser.add_argument("--new", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", help="the engine's budget")
    given = parser.parse_args()
    found: dict[tuple[str, int], list[float]] = {}
    seeds = count()
    with Engine.load(given.folder, device="cpu", memory=given.memory, speculation="off") as engine:
        config = engine.prompt_builder.config
        for number in range(given.rounds + 1):  # the first warms up
            for experts in given.experts:
                for tokens in given.prompt:
                    speed = tokens / first_token(engine, text_prompt(config, tokens, next(seeds)), experts)
                    found.setdefault((f"prefill {tokens}", experts), []).append(speed)
                for batch in given.batch:
                    prompts = [text_prompt(config, SHORT, next(seeds)) for _ in range(batch)]
                    speed = batch / decode_step(engine, prompts, given.new, experts)
                    found.setdefault((f"decode, batch {batch}", experts), []).append(speed)
            print(f"round {number} of {given.rounds}, load {os.getloadavg()[0]:.1f}", flush=True)
        own, mapped = resident()
    for (measure, experts), speeds in found.items():
        print(f"{measure:18}{experts:3} experts: {spread(speeds[1:])} tokens/s")
    print(f"{own / GIB:.2f} GiB of its own, {mapped / GIB:.2f} GiB mapped")


if __name__ == "__main__":
    main()
