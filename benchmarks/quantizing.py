"""Memory and time that `qwen3vl quantize` takes, on random weights of a catalogue shape cut to some depths.

    python benchmarks/quantizing.py 30b-a3b DIR --layers 4 16 [--to int4]

For each depth a checkpoint in the released layout is written to DIR, which needs room for it, and is quantised by the
command in a process of its own, whose memory is looked at 50 times a second. Printed: the size of what was made; the
most memory of the process's own and the most in all (with pages of files that it has mapped), each less that size; the
time. Peaks that are the same at two depths do not grow with the model. The folders are deleted afterwards. With
--empty-experts 64 the whole 30b-a3b needs 50 GB of disk instead of 80.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from random_checkpoint import released, write_side_files, write_weights
from resident import resident

from qwen3vl.checkpoints.catalogue import ReleasedModel

COMMAND = [sys.executable, "-c", "from qwen3vl.cli import main; main()", "quantize"]
LOOK_SECONDS = 0.02
GIB = 2**30


@dataclass(frozen=True)
class Quantised:
    seconds: float
    cpu_seconds: float
    size: int  # bytes of what was made
    own: int  # most bytes of memory that no file is behind
    most: int  # bytes in all


def quantise(checkpoint: Path, folder: Path, to: str) -> Quantised:
    start, own, most, cpu_seconds = time.perf_counter(), 0, 0, 0.0
    process = subprocess.Popen([*COMMAND, str(checkpoint), str(folder), "--to", to])
    looked_at = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            now, mapped = resident(process.pid)
            times = looked_at.cpu_times()
        except (ValueError, psutil.Error):  # it has just ended
            break
        own, most = max(own, now), max(most, now + mapped)
        cpu_seconds = max(cpu_seconds, times.user + times.system)
        time.sleep(LOOK_SECONDS)
    if process.wait():
        raise SystemExit(process.returncode)
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return Quantised(time.perf_counter() - start, cpu_seconds, size, own, most)


def measure(model: ReleasedModel, folder: Path, to: str, empty_experts: int) -> Quantised:
    plain, packed = folder / "plain", folder / "packed"
    try:
        write_side_files(model, plain)
        write_weights(model, plain, "cpu", empty_experts=empty_experts)
        return quantise(plain, packed, to)
    finally:
        shutil.rmtree(plain, ignore_errors=True)
        shutil.rmtree(packed, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a catalogue name")
    parser.add_argument("folder", type=Path, help="with room for the plain and the packed weights")
    parser.add_argument("--layers", type=int, nargs="+", required=True)
    parser.add_argument("--to", default="int4")
    parser.add_argument("--empty-experts", type=int, default=0, help="of each layer: zeros, which take no disk")
    given = parser.parse_args()
    found: dict[int, Quantised] = {}
    for layers in given.layers:
        found[layers] = one = measure(released(given.model, layers), given.folder, given.to, given.empty_experts)
        print(
            f"{given.model}, {layers} layers to {given.to}: {one.size / GIB:.2f} GiB; at its peak "
            f"{(one.own - one.size) / GIB:+.2f} GiB of its own, {(one.most - one.size) / GIB:+.2f} with mapped "
            f"files; {one.seconds:.0f} s ({one.cpu_seconds:.0f} of CPU time)",
            flush=True,
        )
    least, most = min(found), max(found)
    if least < most:
        seconds = (found[most].seconds - found[least].seconds) / (most - least)
        print(f"{seconds:.1f} s a layer, from the difference of {most} and {least} layers")


if __name__ == "__main__":
    main()
