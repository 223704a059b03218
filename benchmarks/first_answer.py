"""First answer of a small checkpoint on a picture: qwen3vl beside transformers, in turn, in one run.

    python benchmarks/first_answer.py [--model models/moe] [--width 384 --height 256] [--rounds 9] [--dtype auto]

Both get the same picture and question, decode the same number of tokens greedily on the CPU, transformers in float32
and ours in `--dtype`, and start from the picture's pixels: processing, tokenising, vision tower and prefill are in the
time to the first token. Caches that would make a repeated question free are off. Prints the medians, the spread (10th
to 90th percentile) and the ratios of one run, and how many answers were the same; in float32 all must be.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from dataclasses import dataclass, field

import numpy as np
import PIL.Image
import torch
import transformers
from transformers import AutoModelForImageTextToText, AutoTokenizer, Qwen2VLImageProcessorPil
from transformers.generation.streamers import BaseStreamer

from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig

QUESTION = "Read all text in the picture."


@dataclass
class Times:
    first_token: list[float] = field(default_factory=list)  # seconds
    per_second: list[float] = field(default_factory=list)  # tokens decoded after the first


class Clock(BaseStreamer):
    """Notes when each token comes; the prompt comes first and does not count."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self._prompt_seen = False

    def put(self, value: object) -> None:
        if self._prompt_seen:
            self.at.append(time.perf_counter())
        self._prompt_seen = True

    def end(self) -> None:
        pass


def note(times: Times, start: float, at: list[float]) -> None:
    times.first_token.append(at[0] - start)
    times.per_second.append((len(at) - 1) / (at[-1] - at[0]))


def run_ours(engine: Engine, picture: PIL.Image.Image, tokens: int, times: Times) -> list[int]:
    messages = [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": QUESTION}]}]
    start, at, ids = time.perf_counter(), [], []
    for delta in engine.stream(messages, max_tokens=tokens, temperature=0.0, ignore_eos=True):
        at.append(time.perf_counter())
        ids += delta.token_ids
    note(times, start, at)
    return ids


class Reference:
    def __init__(self, folder: str) -> None:
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        self.model.generation_config.eos_token_id = None
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.images = Qwen2VLImageProcessorPil.from_pretrained(folder)

    def run(self, picture: PIL.Image.Image, tokens: int, times: Times) -> list[int]:
        start = time.perf_counter()
        inputs = self.images(images=[picture], return_tensors="pt")
        pads = "<|image_pad|>" * (int(inputs["image_grid_thw"].prod()) // 4)
        text = f"<|im_start|>user\n<|vision_start|>{pads}<|vision_end|>{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
        ids = self.tokenizer(text, return_tensors="pt").input_ids
        self.model.model.rope_deltas = None
        clock = Clock()
        out = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=(ids == self.model.config.image_token_id).int(),
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
            streamer=clock,
            **inputs,
        )
        note(times, start, clock.at)
        return out[0, ids.shape[1] :].tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/moe", help="a folder that both can load")
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="float32", help="of ours: float32, or auto, which is what users get")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rng = np.random.default_rng(0)

    reference = Reference(arguments.model)
    ours, theirs, equal = Times(), Times(), 0
    with Engine.load(
        arguments.model, device="cpu", dtype=arguments.dtype, config=EngineConfig(feature_bytes=0)
    ) as engine:
        for number in range(arguments.rounds + 2):
            # A new picture each time: nothing is found in a cache.
            pixels = rng.integers(0, 256, (arguments.height, arguments.width, 3), dtype=np.uint8)
            picture = PIL.Image.fromarray(pixels)
            warm = number >= 2
            same = [
                run_ours(engine, picture, arguments.tokens, ours if warm else Times()),
                reference.run(picture, arguments.tokens, theirs if warm else Times()),
            ]
            equal += warm and same[0] == same[1]
            if same[0] != same[1] and arguments.dtype == "float32":
                raise SystemExit(f"round {number}: the answers differ")
    print(
        f"{arguments.model}, {arguments.width}x{arguments.height}, {arguments.tokens} tokens, {arguments.dtype}, "
        f"{arguments.rounds} rounds, {equal} answers the same"
    )
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, {arguments.threads} threads, "
        f"{platform.machine()}"
    )
    print(f"{'':14}{'first token, ms':>28}{'tokens/s':>28}")
    for name, times in (("qwen3vl", ours), ("transformers", theirs)):
        print(f"{name:14}{spread([1e3 * s for s in times.first_token]):>28}{spread(times.per_second):>28}")
    first = statistics.median(t / o for t, o in zip(theirs.first_token, ours.first_token, strict=True))
    decode = statistics.median(o / t for t, o in zip(theirs.per_second, ours.per_second, strict=True))
    print(f"{'ratio':14}{f'{first:.2f}x faster':>28}{f'{decode:.2f}x':>28}")


def spread(values: list[float]) -> str:
    low, high = np.percentile(values, [10, 90])
    return f"{statistics.median(values):.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main()
