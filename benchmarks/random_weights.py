"""Speed and memory of a catalogue shape with random weights: speed does not depend on the values.

    python benchmarks/random_weights.py 4b 30b-a3b --device cuda [--prompt 512 --new 64 --batch 1 8] [--through DIR]

With --through the weights are first written to a folder there and go through the loader; without, they are drawn
where they are used. For each shape: the time to make or load it, milliseconds to the first token of a text prompt and
of a 1024x1024 picture, milliseconds a decode step and tokens/s for each batch size (medians of --rounds), and the
most memory that was allocated at once.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from random_checkpoint import released, write_side_files, write_weights

from qwen3vl import Engine
from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.engine.build import EngineConfig, build_parts, resolve_device
from qwen3vl.engine.formats import Formats
from qwen3vl.engine.memory import GIB
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import Delta
from qwen3vl.experts.modes import Mode
from qwen3vl.model.network import Qwen3VL
from qwen3vl.prompt.builder import PromptBuilder
from qwen3vl.prompt.positions import mrope_positions
from qwen3vl.prompt.types import Prompt, Visual

STEP_TOKENS = 4096
MAX_CONTEXT = 8192


@dataclass(frozen=True)
class Arguments:
    device: str
    dtype: str
    prompt: int
    new: int
    batch: list[int]
    rounds: int
    through: Path | None


def random_engine(name: str, arguments: Arguments) -> Engine:
    """An engine of the catalogue's shape whose weights never left the device."""
    model = released(name)
    device = resolve_device(arguments.device)
    with tempfile.TemporaryDirectory() as folder:
        write_side_files(model, Path(folder))
        builder = PromptBuilder.from_folder(Path(folder), model.config)
    parts = build_parts(
        builder,
        model.generation,
        _randomise,
        device=device,
        formats=Formats.resolve(model.config, device, dtype=arguments.dtype, quantization=None, kv_cache="auto"),
        memory=None,
        max_context=MAX_CONTEXT,
        config=EngineConfig(step_tokens=STEP_TOKENS, max_running=max(arguments.batch)),
    )
    return Engine(parts, name)


def _randomise(network: Qwen3VL) -> None:
    for key, parameter in network.named_parameters():
        if "norm" in key or key.endswith("bias"):
            parameter.data.fill_(0.0 if key.endswith("bias") else 1.0)
        else:
            parameter.data.normal_(0.0, 0.02)


def load_engine(name: str, arguments: Arguments, folder: Path) -> Engine:
    """The same through a folder of shards, as a user's checkpoint comes."""
    model = released(name)
    write_side_files(model, folder)
    write_weights(model, folder, str(resolve_device(arguments.device)))
    start = time.perf_counter()
    engine = Engine.load(folder, device=arguments.device, dtype=arguments.dtype, max_context=MAX_CONTEXT)
    seconds = time.perf_counter() - start
    print(f"  loaded from a folder in {seconds:.1f} s, {engine.info.weight_bytes / seconds / 1e9:.2f} GB/s")
    question = [{"role": "user", "content": "What is in the picture?"}]
    answer = engine.generate(question, max_tokens=8, temperature=0.0)
    print(f"  answers, with weights that know nothing: {answer.text!r}")
    return engine


def text_prompt(config: ModelConfig, length: int, seed: int) -> Prompt:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(100, config.text.vocab_size, (length,), generator=generator).tolist()
    return Prompt(ids, *mrope_positions(length, [], config.vision.merge_size), visuals=[])


def picture_prompt(config: ModelConfig, side: int, text: int, seed: int) -> Prompt:
    """A square picture of random pixels, then `text` tokens."""
    generator = torch.Generator().manual_seed(seed)
    grid = side // config.vision.patch_size
    patches = torch.randint(0, 256, (grid * grid, config.vision.patch_dim), dtype=torch.uint8, generator=generator)
    tokens = grid * grid // config.vision.merge_size**2
    visual = Visual(patches, grid, grid, 1, tokens, seed.to_bytes(16, "little"))
    ids = [config.vision_start_token_id, *[config.image_token_id] * tokens, *range(100, 100 + text)]
    return Prompt(ids, *mrope_positions(len(ids), [visual], config.vision.merge_size), visuals=[visual])


def first_token(engine: Engine, prompt: Prompt, mode: Mode = "full") -> float:
    start = time.perf_counter()
    next(engine.stream_prompt(prompt, GenerationOptions(temperature=0.0, max_tokens=1, mode=mode)))
    return time.perf_counter() - start


def decode_step(engine: Engine, prompts: list[Prompt], new: int, mode: Mode = "full") -> float:
    """Median seconds between two tokens of the last sequence to start, while all of them decode."""
    options = GenerationOptions(temperature=0.0, max_tokens=new, ignore_eos=True, mode=mode)
    arrivals: list[list[float]] = [[] for _ in prompts]
    left = threading.Semaphore(0)

    def listen(times: list[float]) -> Callable[[Delta | BaseException], None]:
        def sink(item: Delta | BaseException) -> None:
            times.append(time.perf_counter())
            if isinstance(item, BaseException) or item.usage is not None:
                left.release()

        return sink

    for prompt, times in zip(prompts, arrivals, strict=True):
        engine.submit(prompt, options, listen(times))
    for _ in prompts:
        left.acquire()
    end = min(times[-1] for times in arrivals)
    last = max(arrivals, key=lambda times: times[0])
    together = [at for at in last if at <= end]
    return statistics.median(later - sooner for sooner, later in pairwise(together))


def measure(name: str, arguments: Arguments) -> None:
    start = time.perf_counter()
    through = arguments.through
    with load_engine(name, arguments, through / name) if through else random_engine(name, arguments) as engine:
        config = engine.prompt_builder.config
        print(
            f"\n{name}: {engine.info.parameters / 1e9:.2f} B parameters, {engine.info.dtype} on {engine.info.device}, ",
            end="",
        )
        print(f"ready after {time.perf_counter() - start:.1f} s")
        for label, make in (
            (
                f"first token, {arguments.prompt} tokens of text",
                lambda seed: text_prompt(config, arguments.prompt, seed),
            ),
            ("first token, 1024x1024 picture + 128 tokens", lambda seed: picture_prompt(config, 1024, 128, seed)),
        ):
            times = [1e3 * first_token(engine, make(seed)) for seed in range(arguments.rounds + 2)][2:]
            print(f"  {label}: {spread(times)} ms")
        for batch in arguments.batch:
            steps = []
            for number in range(arguments.rounds + 1):
                prompts = [text_prompt(config, arguments.prompt, 1000 * (number + 1) + i) for i in range(batch)]
                steps.append(1e3 * decode_step(engine, prompts, arguments.new))
            median = statistics.median(steps[1:])
            print(f"  decode, batch {batch}: {spread(steps[1:])} ms a step, {batch / median * 1e3:,.0f} tokens/s")
    if engine.info.device.startswith("cuda"):
        print(f"  most memory allocated: {torch.cuda.max_memory_allocated() / GIB:.1f} GiB, cache included")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="catalogue names")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--through", type=Path, help="a folder with room for the weights")
    given = vars(parser.parse_args())
    models = given.pop("models")
    arguments = Arguments(**given)
    print(f"torch {torch.__version__}", torch.cuda.get_device_name() if torch.cuda.is_available() else "")
    for name in models:
        measure(name, arguments)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
