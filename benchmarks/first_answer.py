"""First answer on a picture: qwen3vl beside transformers, in turn, in one run.

    python benchmarks/first_answer.py [--model models/moe] [--width 384 --height 256] [--rounds 9] [--dtype float32]
    python benchmarks/first_answer.py --model FOLDER --quantization int4 --reference-dtype bfloat16 --width 1024 ...

Each runs in a process of its own, for the threads of one would slow down the other. Both get the same picture and
question, decode the same number of tokens greedily on the CPU, ours in `--dtype` or `--quantization` and transformers
in `--reference-dtype`, and start from the picture's pixels: processing, tokenising, vision tower and prefill are in the
time to the first token. Caches that would make a repeated question free are off. Prints the medians, the spread (10th
to 90th percentile) and the ratios of one run, and how many answers were the same; all must be where both compute in
float32.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

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


@dataclass
class Answer:
    ids: list[int]
    first_token: float  # seconds
    per_second: float

    @classmethod
    def of(cls, ids: list[int], start: float, at: list[float]) -> Answer:
        return cls(ids, at[0] - start, (len(at) - 1) / (at[-1] - at[0]))


Answers = Callable[[PIL.Image.Image, int], Answer]


def ours(arguments: argparse.Namespace) -> Answers:
    engine = Engine.load(
        arguments.model,
        device="cpu",
        dtype=arguments.dtype,
        quantization=arguments.quantization,
        max_context=4096,
        config=EngineConfig(feature_bytes=0),
    )

    def run(picture: PIL.Image.Image, tokens: int) -> Answer:
        parts = [{"type": "image", "image": picture}, {"type": "text", "text": QUESTION}]
        start, at, ids = time.perf_counter(), [], []
        for delta in engine.stream(
            [{"role": "user", "content": parts}], max_tokens=tokens, temperature=0.0, ignore_eos=True
        ):
            at.append(time.perf_counter())
            ids += delta.token_ids
        return Answer.of(ids, start, at)

    return run


def theirs(arguments: argparse.Namespace) -> Answers:
    return Reference(arguments.model, getattr(torch, arguments.reference_dtype)).run


class Reference:
    def __init__(self, folder: str, dtype: torch.dtype) -> None:
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype).eval()
        self.model.generation_config.eos_token_id = None
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.images = Qwen2VLImageProcessorPil.from_pretrained(folder)

    def run(self, picture: PIL.Image.Image, tokens: int) -> Answer:
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
        return Answer.of(out[0, ids.shape[1] :].tolist(), start, clock.at)


def serve(load: Callable[[argparse.Namespace], Answers], arguments: argparse.Namespace, parent: Connection) -> None:
    """A peer's process: for each number that comes, the answer on the picture of that number. 0 ends it."""
    torch.set_num_threads(arguments.threads)
    answer = load(arguments)
    parent.send("loaded")
    while number := parent.recv():
        # A new picture each time: nothing is found in a cache.
        pixels = np.random.default_rng(number).integers(0, 256, (arguments.height, arguments.width, 3), dtype=np.uint8)
        parent.send(answer(PIL.Image.fromarray(pixels), arguments.tokens))


class Peer:
    def __init__(self, load: Callable[[argparse.Namespace], Answers], arguments: argparse.Namespace) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, other = spawn.Pipe()
        self._process = spawn.Process(target=serve, args=(load, arguments, other), daemon=True)
        self._process.start()
        assert self._pipe.recv() == "loaded"

    def answer(self, number: int) -> Answer:
        self._pipe.send(number)
        answer: Answer = self._pipe.recv()
        return answer

    def close(self) -> None:
        self._pipe.send(0)
        self._process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/moe", help="a folder that both can load")
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="float32", help="of ours: float32, or auto, which is what users get")
    parser.add_argument("--quantization", choices=("int8", "int4"), help="of ours; --dtype is then auto")
    parser.add_argument("--reference-dtype", choices=("float32", "bfloat16"), default="float32")
    arguments = parser.parse_args()
    if arguments.quantization:
        arguments.dtype = "auto"
    exact = arguments.dtype == arguments.reference_dtype == "float32"
    peers = {"qwen3vl": Peer(ours, arguments), "transformers": Peer(theirs, arguments)}
    times, equal = {name: Times() for name in peers}, 0
    for number in range(1, arguments.rounds + 3):
        answers = {name: peer.answer(number) for name, peer in peers.items()}
        same = answers["qwen3vl"].ids == answers["transformers"].ids
        if not same and exact:
            raise SystemExit(f"round {number}: the answers differ")
        if number <= 2:
            continue  # warm
        equal += same
        for name, answer in answers.items():
            times[name].first_token.append(answer.first_token)
            times[name].per_second.append(answer.per_second)
    for peer in peers.values():
        peer.close()
    print(
        f"{Path(arguments.model).name}, {arguments.width}x{arguments.height}, {arguments.tokens} tokens, "
        f"{arguments.quantization or arguments.dtype} beside {arguments.reference_dtype}, {arguments.rounds} rounds, "
        f"{equal} answers the same"
    )
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, {arguments.threads} threads, "
        f"{platform.machine()}"
    )
    print(f"{'':14}{'first token, ms':>28}{'tokens/s':>28}")
    for name, each in times.items():
        print(f"{name:14}{spread([1e3 * s for s in each.first_token]):>28}{spread(each.per_second):>28}")
    own, other = times["qwen3vl"], times["transformers"]
    first = statistics.median(t / o for t, o in zip(other.first_token, own.first_token, strict=True))
    decode = statistics.median(o / t for o, t in zip(own.per_second, other.per_second, strict=True))
    print(f"{'ratio':14}{f'{first:.2f}x faster':>28}{f'{decode:.2f}x':>28}")


def spread(values: list[float]) -> str:
    low, high = np.percentile(values, [10, 90])
    return f"{statistics.median(values):.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main()
