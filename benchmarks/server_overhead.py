"""What the server adds to the engine's own time to the first token, for text.

    python benchmarks/server_overhead.py [--requests 300] [--model tiny-moe]

A server runs in a process of its own, with its store, keys and ledger. A client sends streaming requests, one after the
other, each on a connection of its own as most programs do. For each, the time from the first byte sent to the first
content received is taken, less the engine's own time to the first token, which the answer's metrics tell. What remains
is HTTP, keys, limits, checks, tokenising, threads and writing. The same difference without a server, for a caller of
`Engine.astream` in the server's process, is the share of tokenising and threads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

MESSAGE = "How does a paged key-value cache work, and what is it good for? This is question number {number}."
TOKENS = 4


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--requests", type=int, default=300)
    arguments.add_argument("--model", default="tiny-moe")
    given = arguments.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, given.model, given.requests))
    server.start()
    try:
        alone: list[float] = ours.recv()
        port, secret = ours.recv()
        for number in range(20):
            ask(port, secret, -number)
        through = [ask(port, secret, number) for number in range(given.requests)]
    finally:
        server.terminate()
        server.join()
    report("without a server", alone)
    report("through the server", through)
    added = statistics.quantiles(through, n=20)[-1] - statistics.median(alone)
    print(f"the server adds at the 95th percentile: {added * 1000:.2f} ms")


def report(name: str, seconds: list[float]) -> None:
    p95 = statistics.quantiles(seconds, n=20)[-1]
    print(
        f"{name}: median {statistics.median(seconds) * 1000:.2f} ms, p95 {p95 * 1000:.2f} ms ({len(seconds)} requests)"
    )


def serve(pipe: Connection, model: str, requests: int) -> None:
    """In its own process: first the engine alone, then the server, until the process is ended."""
    from qwen3vl import Engine
    from qwen3vl.server import Services, create_app, run
    from qwen3vl.server.access import make_key
    from qwen3vl.settings import ServerSettings, Settings

    engine = Engine.load(model, memory="2GiB")

    async def alone() -> list[float]:
        seconds = []
        for number in range(-20, requests):
            started, first = time.perf_counter(), 0.0
            async for delta in engine.astream(messages(number), max_tokens=TOKENS, temperature=0.0):
                first = first or time.perf_counter() - started
                if delta.usage is not None and number >= 0:
                    seconds.append(first - delta.usage.first_token_seconds)
        return seconds

    pipe.send(asyncio.run(alone()))
    with tempfile.TemporaryDirectory() as folder, run.listen("127.0.0.1", 0) as listener:
        services = Services.open(Settings(server=ServerSettings(data_dir=Path(folder))))
        services.models.adopt(engine)
        secret = make_key(services.store.keys, name="benchmark", scopes=["chat"], rate=10**9)[1]
        pipe.send((listener.getsockname()[1], secret))
        with services:
            run.run(create_app(services), listener)


def messages(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": MESSAGE.format(number=number)}]


def ask(port: int, secret: str, number: int) -> float:
    """Seconds to the first content, less the engine's own. A bare socket, so that no client library counts."""
    options = {"max_tokens": TOKENS, "temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
    body = json.dumps({"messages": messages(number), **options}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {secret}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    started, first, received = time.perf_counter(), 0.0, b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode() + body)
        while piece := connection.recv(65536):
            received += piece
            first = first or (time.perf_counter() - started if b'"content":' in received else 0.0)
    assert received.startswith(b"HTTP/1.1 200"), received[:500]
    usage = json.loads(received[received.rindex(b'data: {"id"') + 6 :].partition(b"\n")[0])
    return first - float(usage["metrics"]["first_token_seconds"])


if __name__ == "__main__":
    main()
