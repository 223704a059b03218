"""A server in a process of its own, which a test can kill, and one in this process that finds what the other left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from qwen3vl.server import Services, create_app
from qwen3vl.settings import ModelSettings, ServerSettings, Settings
from support.server import serving

SERVER = """
import sys
from pathlib import Path
from qwen3vl.server import Services, create_app, run
from qwen3vl.settings import ModelSettings, ServerSettings, Settings

model = ModelSettings(name=sys.argv[1], device="cpu", memory="1GiB")
services = Services.open(Settings(model=model, server=ServerSettings(data_dir=Path(sys.argv[2]))))
with run.listen("127.0.0.1", 0) as listener:
    print(run.url_of(listener), flush=True)
    run.run(create_app(services), listener)
"""


@contextmanager
def server_process(model: Path, data: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SERVER, str(model), str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            with httpx.Client(base_url=f"{url}/v1", timeout=60) as api:
                yield process, api
        finally:
            process.kill()


@contextmanager
def server_afterwards(model: Path, data: Path) -> Iterator[httpx.Client]:
    """The next life of a server that has ended: it knows nothing but its folder, as a new process would."""
    settings = Settings(
        model=ModelSettings(name=str(model), device="cpu", memory="1GiB"),  # type: ignore[arg-type]
        server=ServerSettings(data_dir=data),
    )
    with (
        Services.open(settings) as services,
        serving(create_app(services)) as url,
        httpx.Client(base_url=f"{url}/v1", timeout=60) as api,
    ):
        yield api
