"""A tenant in another thread, for tests that have event loops of their own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passwordless_async.testing import LocalTenant

PATIENCE = 30  # seconds


@contextmanager
def running(tenant: LocalTenant) -> Iterator[LocalTenant]:
    """Run a tenant in another thread."""
    listening: threading.Event = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with tenant:
            listening.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert listening.wait(PATIENCE)
    yield tenant
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()
