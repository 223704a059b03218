"""Many clients at once, some of which hang up: no request lost, no answer wrong, nothing left over.

    python -m benchmarks.load [--clients 64] [--seconds 120] [--model tiny-moe]

A server runs in a process of its own, with a cache and a queue that are too small for all clients, so that requests
wait, are preempted, and are told to come again. Questions of drawn samples, with and without a picture and in all
modes, are first asked alone; then the clients ask them whole and as streams, hang up at random moments, and send bad
requests between. It prints what became of the requests, the server's memory and what it holds at the end, and ends with
status 1 where something was lost, was wrong, grew or stayed.

A question whose answer alone hangs on a near-tie of two tokens (0.001 nats) is left out: the order in which a batch
adds its numbers may decide it. All others must be answered as they were alone.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import psutil
import typer

from benchmarks.load_clients import Tally, asked_alone, bodies, crowd

MEMORY = "2GiB"
BLOCKS = 160  # of the cache, of 16 tokens
QUEUE = 32  # requests that may wait
GROWTH = 0.05  # of resident memory, from the second quarter of the time to the last
WARM = 4  # a crowd of that part of the time comes before
HELD = {  # figures that are 0 when nobody asks, and what they are
    "in the batch": "num_requests_running",
    "waiting": "num_requests_waiting",
    "queued": "num_requests_queued",
    "of the cache": "kv_cache_usage_perc",
}
MIB = 2**20


@dataclass
class Watch:
    """A process, looked at each second."""

    process: psutil.Process
    resident: list[int] = field(default_factory=list)

    async def run(self) -> None:
        while True:
            self.resident.append(self.process.memory_info().rss)
            await asyncio.sleep(1)

    @property
    def quarters(self) -> tuple[float, float]:
        """The median of the second and of the last quarter, in bytes."""
        size = max(1, len(self.resident) // 4)
        return statistics.median(self.resident[size : 2 * size]), statistics.median(self.resident[-size:])


@contextmanager
def server(model: str, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A server in a process of its own. Yields its URL and process."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, model, folder))
    process.start()
    theirs.close()
    try:
        yield ours.recv(), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.join()


def serve(pipe: Connection, model: str, folder: Path) -> None:
    """Until the process is ended."""
    from qwen3vl import Engine
    from qwen3vl.engine.build import EngineConfig
    from qwen3vl.server import Services, create_app, run
    from qwen3vl.settings import ServerSettings, Settings

    settings = Settings(server=ServerSettings(data_dir=folder, max_queue=QUEUE))
    with run.listen("127.0.0.1", 0) as listener, Services.open(settings) as services:
        services.models.adopt(Engine.load(model, memory=MEMORY, config=EngineConfig(num_blocks=BLOCKS)))
        pipe.send(run.url_of(listener))
        run.run(create_app(services), listener)


async def figures(url: str) -> dict[str, float]:
    """What `/metrics` tells, histograms and what has labels left out."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        text = (await client.get("/metrics")).raise_for_status().text
    return {name: float(value) for name, value in re.findall(r"^(?:qwen3vl:)?(\w+) (\S+)$", text, re.MULTILINE)}


async def at_rest(url: str, descriptors: float, seconds: float = 15) -> tuple[dict[str, float], dict[str, float]]:
    """What is left over once nothing is, or after so many seconds, and all figures. `descriptors` may stay open."""
    deadline = time.monotonic() + seconds
    while True:
        told = await figures(url)
        left = {says: told[name] for says, name in HELD.items()}
        left["file descriptors more than before"] = max(0, told["process_open_fds"] - descriptors)
        if not any(left.values()) or time.monotonic() > deadline:
            return left, told
        await asyncio.sleep(0.2)


async def measure(model: str, clients: int, seconds: float, seed: int) -> bool:
    with tempfile.TemporaryDirectory() as folder, server(model, Path(folder)) as (url, process):
        wanted = bodies(seed, 48, 96)
        questions = await asked_alone(url, wanted)
        print(f"{len(questions)} questions; {len(wanted) - len(questions)} left out, whose answers hang on a near-tie")
        # Threads, their memory and their connections to the database come with the first crowd, and stay.
        await crowd(url, questions, clients=clients, more=for_seconds(seconds / WARM), seed=-1)
        _, before = await at_rest(url, math.inf)
        watch = Watch(process)
        watching = asyncio.create_task(watch.run())
        started = time.monotonic()
        tally = await crowd(url, questions, clients=clients, more=for_seconds(seconds), seed=seed)
        took = time.monotonic() - started
        watching.cancel()
        left, after = await at_rest(url, before["process_open_fds"])
    report(tally, took, after["num_preemptions_total"] - before["num_preemptions_total"])
    second, last = watch.quarters
    growth = last / second - 1
    print(
        f"resident memory: {second / MIB:.0f} MiB in the second quarter, {last / MIB:.0f} in the last ({growth:+.1%})"
    )
    print(f"at the end: {', '.join(f'{count:g} {name}' for name, count in left.items())}")
    return tally.good and growth <= GROWTH and not any(left.values())


def for_seconds(seconds: float) -> Callable[[int], bool]:
    until = time.monotonic() + seconds
    return lambda sent: time.monotonic() < until


def report(tally: Tally, seconds: float, preempted: float) -> None:
    for end, count in sorted(tally.ended.items()):
        print(f"{count:7,}  {end}")
    print(f"{len(tally.lost):7,}  lost\n{len(tally.wrong):7,}  wrong")
    for fault in (*tally.lost, *tally.wrong)[:10]:
        print(f"         {fault}")
    first = statistics.quantiles(tally.first, n=20) if len(tally.first) > 1 else []
    late = f", first event within {first[-1]:.1f} s (p95)" if first else ""
    speed = tally.tokens / seconds
    print(f"{seconds:.0f} seconds, {speed:,.0f} tokens of answers a second, {preempted:g} preemptions{late}")


def main(clients: int = 64, seconds: float = 120, model: str = "tiny-moe", seed: int = 0) -> None:
    if not asyncio.run(measure(model, clients, seconds, seed)):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
