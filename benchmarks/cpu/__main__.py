"""Speed of text towers on a CPU, ours and the peers' in turn, with random weights.

    python -m benchmarks.cpu --shape 2b --bits 4 --peers ours llama.cpp [--rounds 5] [--json 2b.json]

Prints for each measure tokens/s of all sequences together (median, lowest and highest round), the bytes that one token
makes it read, GB/s, their share of the measured read speed of this machine, how many cores it kept busy and how many
something else did meanwhile: where that is not near 0, measure again. The peers are `ours`, and those of these that are
installed: `llama.cpp` (llama-cpp-python and gguf), `transformers`, which is bfloat16 at any --bits, and `openvino`
(openvino-genai and gguf; dense models of 4 or 8 bits).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from benchmarks.cpu.bandwidth import ReadSpeed
from benchmarks.cpu.figures import Spread
from benchmarks.cpu.measures import Decode, Measure, Prefill, Samples
from benchmarks.cpu.protocol import Job, RemoteRunner, Runner, RunnerFailed
from benchmarks.cpu.quiet import Patience, wait_for_quiet
from benchmarks.cpu.report import machine, rows, table
from benchmarks.cpu.shapes import Shape

_RUNNERS = "benchmarks.cpu.runners"


@dataclass(frozen=True)
class Peer:
    module: str
    packages: tuple[str, ...]  # without which it is not there


PEERS = {
    "ours": Peer(f"{_RUNNERS}.ours", ("qwen3vl",)),
    "llama.cpp": Peer(f"{_RUNNERS}.llama_cpp", ("llama_cpp", "gguf")),
    "transformers": Peer(f"{_RUNNERS}.transformers", ("transformers",)),
    "openvino": Peer(f"{_RUNNERS}.openvino", ("openvino_genai", "gguf")),
}


def main() -> None:
    given = _arguments()
    # The same cores for everyone, the floor included.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    torch.set_num_threads(given.threads)
    given.folder.mkdir(parents=True, exist_ok=True)
    shape = Shape(given.shape, given.layers, given.experts)
    measures: list[Measure] = [Prefill(tokens) for tokens in given.prefill]
    measures += [Decode(batch, context, given.steps) for context in given.context for batch in given.batch]
    longest = max([*given.prefill, *(max(context, 1) + given.steps for context in given.context)])
    job = Job(shape, given.bits, given.threads, str(given.folder), longest, max(given.batch), given.cache_bits)

    patience = Patience(given.wait, given.tries)

    def take(runners: Mapping[str, Runner]) -> None:
        samples.take(runners, measures, patience=patience, say=_say)

    load_before, read_speeds, samples, reading = os.getloadavg(), [], Samples(), ReadSpeed()
    with ExitStack() as kept:
        runners = {} if given.one_at_a_time else _start(given.peers, job, samples, kept)
        for number in range(given.rounds):
            _say(f"round {number + 1} of {given.rounds}")
            wait_for_quiet(given.wait)
            read_speeds.append(reading.measure())
            take(runners)
            for name in given.peers if given.one_at_a_time else ():
                with ExitStack() as alone:
                    take(_start([name], job, samples, alone))

    floor = Spread.of([speed / 1e9 for speed in read_speeds])
    found = rows(samples, measures, shape, 1e9 * floor.median)
    about = {
        "machine": machine(given.threads),
        "load_average": {"before": load_before, "after": os.getloadavg()},
        "versions": {name: loaded.versions for name, loaded in samples.loaded.items()},
        "shape": {
            "label": shape.label,
            "bits": given.bits,
            "cache_bits": given.cache_bits,
            "config": shape.raw_config["text_config"],
        },
        "read_gb_per_second": asdict(floor),
        "rounds": given.rounds,
        "left_out": samples.left_out,
    }
    print(f"{shape.label}, {given.bits} bits, {given.threads} threads of {about['machine']}, {given.rounds} rounds")
    print(f"versions {about['versions']}, load average {about['load_average']}")
    print(f"read speed, which is the floor: {floor.text(1)} GB/s\n")
    print(table(found))
    for name, why in samples.left_out.items():
        print(f"{name} was left out: {why}")
    if given.json is not None:
        given.json.write_text(json.dumps(about | {"results": found}, indent=1), encoding="utf-8")


def _start(names: Sequence[str], job: Job, samples: Samples, stack: ExitStack) -> dict[str, Runner]:
    """Runners that have loaded and are warm, until the stack ends them. One that cannot is left out."""
    runners: dict[str, Runner] = {}
    for name in names:
        if name in samples.left_out:
            continue
        runner = stack.enter_context(RemoteRunner(PEERS[name].module, Path(job.folder) / "runners.log"))
        _say(f"{name} loads")
        try:
            samples.loaded[name] = runner.load(job)
            runner.prefill(32)
            runner.decode(1, 0, 4)
        except RunnerFailed as error:
            samples.left_out[name] = str(error)
        else:
            runners[name] = runner
    return runners


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    there = [name for name, peer in PEERS.items() if all(map(find_spec, peer.packages))]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", default="2b", help="a catalogue name: 2b, 4b, 8b, 30b-a3b, ...")
    parser.add_argument("--layers", type=int, help="so many only, for a quick look")
    parser.add_argument("--experts", type=int, help="active ones, instead of all that the model would choose")
    parser.add_argument("--bits", type=int, choices=(4, 8, 16), default=4)
    parser.add_argument("--peers", nargs="+", choices=there, default=there, help="those that are installed, in turn")
    parser.add_argument("--prefill", type=int, nargs="*", default=[512], help="tokens")
    parser.add_argument("--context", type=int, nargs="+", default=[0], help="tokens behind each sequence that decodes")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 8], help="sequences")
    parser.add_argument("--cache-bits", type=int, choices=(8, 16), default=16, help="of keys and values; 8: only ours")
    parser.add_argument("--steps", type=int, default=32, help="of one decode measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--wait", type=float, default=10.0, help="seconds at most, before each, until nobody computes")
    parser.add_argument("--tries", type=int, default=3, help="at most, until one was not disturbed by others")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--one-at-a-time", action="store_true", help="load anew in each round, where memory holds but one"
    )
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "qwen3vl-bench", help="for weights")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    given = parser.parse_args()
    if given.cache_bits == 8 and given.peers != ["ours"]:
        parser.error("keys and values of 8 bits are measured of ours alone: --peers ours")
    return given


if __name__ == "__main__":
    main()
