from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One event loop for a module, because a browser belongs to one."""
    with asyncio.Runner() as runner:
        yield runner
