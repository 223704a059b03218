"""qwen3vl through its Engine, scheduler and sampler included: weights of 16, 8 or 4 bits, drawn in place."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.cpu.protocol import Job, Loaded, Moment, Timing, serve, stopwatch
from benchmarks.cpu.shapes import Weights
from benchmarks.random_checkpoint import released, write_side_files
from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig, build_parts
from qwen3vl.engine.formats import Formats
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import Delta
from qwen3vl.kernels.packed import LANES, PackedMatrix
from qwen3vl.model.network import Qwen3VL
from qwen3vl.prompt.builder import PromptBuilder
from qwen3vl.prompt.positions import mrope_positions
from qwen3vl.prompt.types import Prompt

_WARM_STEPS = 2
_STEP_TOKENS = 512


class Ours:
    def load(self, job: Job) -> Loaded:
        torch.set_num_threads(job.threads)
        self.config, cpu = job.shape.config, torch.device("cpu")
        self.generator = torch.Generator().manual_seed(0)
        names = {16: ("bfloat16", "none"), 8: ("auto", "int8"), 4: ("auto", "int4")}
        dtype, quantization = names[job.bits]
        kv_cache = "int8" if job.cache_bits == 8 else "auto"
        formats = Formats.resolve(self.config, cpu, dtype=dtype, quantization=quantization, kv_cache=kv_cache)
        # A sequence that starts first decodes while the others are prefilled, and warms up.
        positions = job.positions + _ahead(job.sequences, job.positions)
        model = released(job.shape.model)
        with tempfile.TemporaryDirectory() as folder:
            write_side_files(model, Path(folder))
            builder = PromptBuilder.from_folder(Path(folder), self.config)
        parts = build_parts(
            builder,
            model.generation,
            _fill,
            device=cpu,
            formats=formats,
            memory=None,
            max_context=positions,
            config=EngineConfig(step_tokens=_STEP_TOKENS, max_running=job.sequences, feature_bytes=0),
        )
        self.engine = Engine(parts, job.shape.model)
        return Loaded(
            label=f"qwen3vl {quantization if job.bits < 16 else 'BF16'}",
            versions={"qwen3vl": version("qwen3vl"), "torch": torch.__version__},
            weights=Weights.of_sizes(_sizes(parts.core.runner.model), self.config, formats.cache.itemsize),
        )

    def prefill(self, tokens: int) -> Timing:
        options = GenerationOptions(temperature=0.0, max_tokens=1, ignore_eos=True)
        prompt = self._prompt(tokens)
        with stopwatch() as timing, self.engine.stream_prompt(prompt, options) as stream:
            next(stream)
        return timing

    def decode(self, sequences: int, context: int, tokens: int) -> Timing:
        context = max(context, 1)
        most = tokens + _ahead(sequences, context)
        options = GenerationOptions(temperature=0.0, max_tokens=most, ignore_eos=True)
        heard = [_Heard([]) for _ in range(sequences)]
        for each in heard:
            self.engine.submit(self._prompt(context), options, each.sink)
        for each in heard:
            each.wait()
        return _together(heard, tokens)

    def _prompt(self, length: int) -> Prompt:
        ids = torch.randint(0, self.config.text.vocab_size // 2, (length,), generator=self.generator).tolist()
        return Prompt(ids, *mrope_positions(length, [], self.config.vision.merge_size), visuals=[])


def _fill(network: Qwen3VL) -> None:
    """Packed matrices repeat one block of random rows: what is read from memory is as much, and it is made at once."""
    for name, parameter in network.named_parameters():
        if "norm" in name or name.endswith("bias"):
            parameter.data.fill_(0.0 if name.endswith("bias") else 1.0)
        else:
            parameter.data.normal_(0.0, 0.02)
    for matrix in network.packed().values():
        matrix.data.copy_(PackedMatrix.of(torch.randn(LANES, matrix.columns) * 0.02, matrix.packing).data[0])


def _sizes(network: Qwen3VL) -> dict[str, int]:
    """Bytes by names that `Weights.of_sizes` understands. Of a matrix in planes a step reads the first, and of the
    other so little that it does not count.
    """
    sizes = {name: tensor.nbytes for name, tensor in network.named_parameters()}
    for name, matrix in network.packed().items():
        sizes[name + ".experts" * (len(matrix.shape) == 3)] = matrix.data.nbytes // (2 if matrix.packing.planes else 1)
    return sizes


def _ahead(sequences: int, context: int) -> int:
    """Steps that the first sequence is ahead of the last when that is warm."""
    return sequences * -(-context // _STEP_TOKENS) + 1 + _WARM_STEPS


@dataclass(frozen=True)
class _Arrival:
    at: Moment
    tokens: int


class _Heard:
    """The tokens of one sequence as they come."""

    def __init__(self, arrivals: list[_Arrival]) -> None:
        self.arrivals = arrivals
        self._done = threading.Event()
        self._error: BaseException | None = None

    def sink(self, item: Delta | BaseException) -> None:
        if isinstance(item, BaseException):
            self._error = item
        else:
            self.arrivals.append(_Arrival(Moment.now(), len(item.token_ids)))
        if self._error is not None or item.usage is not None:  # type: ignore[union-attr]
            self._done.set()

    def wait(self) -> None:
        self._done.wait()
        if self._error is not None:
            raise self._error

    def warm(self) -> _Arrival:
        """When it had its first token and those of the warm steps."""
        count = 0
        for arrival in self.arrivals:
            count += arrival.tokens
            if count > _WARM_STEPS:
                return arrival
        raise ValueError("it ended before it was warm")


def _together(heard: list[_Heard], tokens: int) -> Timing:
    """The time of so many tokens of every sequence, at the rate of the while in which all of them decoded."""
    start = max((each.warm().at for each in heard), key=lambda moment: moment.wall)
    end = min((each.arrivals[-1].at for each in heard), key=lambda moment: moment.wall)
    made = sum(
        arrival.tokens for each in heard for arrival in each.arrivals if start.wall < arrival.at.wall <= end.wall
    )
    timing = Timing.between(start, end)
    return replace(timing, seconds=timing.seconds * tokens * len(heard) / made)


if __name__ == "__main__":
    serve(Ours)
