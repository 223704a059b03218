"""How long drawing takes: milliseconds of one core a sample, by family, once the glyphs are rendered.

python benchmarks/drawing.py [--samples 300] [--warm 1500]
"""

from __future__ import annotations

import random
import time

import typer

from qwen3vl.drawn import FAMILIES, draw


def main(samples: int = 300, warm: int = 1500) -> None:
    times = []
    for family in FAMILIES:
        rng = random.Random(family)
        for _ in range(warm):
            draw(rng, family, split="train")
        start = time.process_time()
        for _ in range(samples):
            draw(rng, family, split="train")
        times.append((time.process_time() - start) / samples * 1000)
        print(f"{family:12} {times[-1]:6.2f} ms")
    print(f"{'mean':12} {sum(times) / len(times):6.2f} ms")


if __name__ == "__main__":
    typer.run(main)
