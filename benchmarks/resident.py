"""What a process has in memory, as Linux tells it: pages of files that it has mapped, and all others."""

from __future__ import annotations

import re
from pathlib import Path


def resident(process: int | str = "self") -> tuple[int, int]:
    """Bytes of its own, and of mapped files, which the system can drop and read again."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    anonymous, files, shared = (
        1024 * int(number) for number in re.findall(r"^Rss(?:Anon|File|Shmem):\s+(\d+) kB", status, re.MULTILINE)
    )
    return anonymous + shared, files
