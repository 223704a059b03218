"""Memory over many short requests: it must not grow.

    python benchmarks/growth.py [--model tiny-moe] [--quantization int4] [--requests 1000]

Questions about drawn pictures and questions without one, none asked twice, four at a time, in all modes. The caches of
the engine are small, so that they are soon full. Prints the process's resident memory after every tenth part. Ends with
status 1 where the last is more than 5% over the third.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from collections.abc import Iterator
from typing import Any

import psutil
from PIL import Image

from qwen3vl import Engine
from qwen3vl.drawn import draw
from qwen3vl.engine.build import EngineConfig

FAMILIES = ("chat", "shapes", "text", "documents", "web")
MODES = ("full", "fast", "balanced")
TOGETHER = 4
GROWTH = 0.05
MIB = 2**20
CACHES = EngineConfig(num_blocks=512, feature_bytes=16 * MIB)


def question(rng: random.Random, number: int) -> list[dict[str, Any]]:
    """Messages, their pictures as files in memory."""
    sample = draw(rng, FAMILIES[number % len(FAMILIES)], split="held_out", turns=1)
    content: list[dict[str, Any]] = [{"type": "text", "text": sample.turns[0].question}]
    for frame in sample.frames[:1]:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "PNG")
        content.insert(0, {"type": "image", "image": buffer.getvalue()})
    return [{"role": "user", "content": content}]


def options(rng: random.Random, number: int) -> dict[str, Any]:
    return {
        "max_tokens": rng.randint(2, 12),
        "temperature": rng.choice([0.0, 0.7]),
        "seed": number,
        "mode": MODES[number % len(MODES)],
    }


def batches(count: int, seed: int) -> Iterator[tuple[list[list[dict[str, Any]]], list[dict[str, Any]]]]:
    """All drawn before the first is given: drawing takes memory of its own."""
    rng = random.Random(f"growth {seed}")
    drawn = [(question(rng, number), options(rng, number)) for number in range(count)]
    for start in range(0, count, TOGETHER):
        few = drawn[start : start + TOGETHER]
        yield [messages for messages, _ in few], [each for _, each in few]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny-moe")
    parser.add_argument("--quantization", default="int4", help="int4, int8 or none")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    process, resident, done, tokens, pictures = psutil.Process(), [], 0, 0, 0
    with Engine.load(given.model, device="cpu", quantization=given.quantization, config=CACHES) as engine:
        for asked, wanted in batches(given.requests, given.seed):
            if not done:
                print(f"{process.memory_info().rss / MIB:8.1f} MiB before the first", flush=True)
            for result in engine.generate_batch(asked, wanted):
                tokens += len(result.token_ids)
            before, done = done, done + len(asked)
            pictures += sum(len(messages[0]["content"]) > 1 for messages in asked)
            if done * 10 // given.requests > before * 10 // given.requests:
                resident.append(process.memory_info().rss)
                print(f"{resident[-1] / MIB:8.1f} MiB after {done:6,} requests", flush=True)
        engine.check_invariants()
    growth = resident[-1] / resident[2] - 1
    print(f"{pictures} with a picture, {tokens} tokens answered; {growth:+.1%} from three tenths to the end")
    if growth > GROWTH:
        sys.exit(1)


if __name__ == "__main__":
    main()
