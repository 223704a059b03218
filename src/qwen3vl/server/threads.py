"""Work in a thread that is not left alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(call: Callable[..., T], *args: Any, stop: threading.Event | None = None, **kwargs: Any) -> T:
    """Like `asyncio.to_thread`, but who is cancelled waits until the thread has ended (sooner with `stop`), so that
    nothing of the work goes on behind its end.
    """
    work = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        if stop is not None:
            stop.set()
        await asyncio.gather(work, return_exceptions=True)
        raise
