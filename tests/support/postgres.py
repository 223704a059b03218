"""A PostgreSQL server of its own for a test run, on a free port of this machine, where Debian has it installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VERSIONS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
AVAILABLE = bool(_VERSIONS)


@contextmanager
def running() -> Iterator[str]:
    """Yields the URL of an empty database."""
    binaries = _VERSIONS[-1].parent
    # It refuses to run as root, and a path of a socket is short.
    account = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="qwen3vl-pg-"))
    if account:
        shutil.chown(folder, account)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data = folder / "data"

    def command(*words: str) -> None:
        subprocess.run(
            [str(binaries / words[0]), *words[1:]], user=account, cwd=folder, check=True, stdout=subprocess.DEVNULL
        )

    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
    try:
        command("initdb", "-D", str(data), "-U", "qwen", "-E", "UTF8", "--locale=C.UTF-8", "-A", "trust")
        command("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://qwen@127.0.0.1:{port}/postgres"
        finally:
            command("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)
