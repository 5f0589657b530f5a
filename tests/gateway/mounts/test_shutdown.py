"""What an application of aiohttp.web ends when it ends itself, and what it leaves."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from passwordless_async.gateway.mounts.shutdown import Shutdown

EVENTS = (("Content-Type", "Text/Event-Stream; charset=utf-8"),)


class Connection(asyncio.Transport):
    """A connection that may be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("headers", "is_closed"),
    [
        (EVENTS, True),
        ((("Content-Type", "text/html"),), False),
        ((("Accept", "text/event-stream"), ("Content-Type", "text/html")), False),
        ((), False),
    ],
)
async def test_only_streams_of_events_are_ended(headers: tuple[tuple[str, str], ...], *, is_closed: bool) -> None:
    """Other responses go on; what ended before is left alone."""
    shutdown, earlier, open_one = Shutdown(), Connection(), Connection()
    with shutdown.of_stream(headers, earlier):
        pass
    with shutdown.of_stream(headers, open_one):
        assert open_one.is_closed is False
        await shutdown.begin(web.Application())
        assert (open_one.is_closed, earlier.is_closed) == (is_closed, False)


async def test_a_stream_that_begins_after_the_end() -> None:
    """It is ended at once; one without a connection has gone already."""
    shutdown, late = Shutdown(), Connection()
    await shutdown.begin(web.Application())
    with shutdown.of_stream(EVENTS, late), shutdown.of_stream(EVENTS, None):
        assert (late.is_closed, shutdown.begun.is_set()) == (True, True)


async def test_an_application_that_starts_again() -> None:
    """It has its end before it."""
    shutdown = Shutdown()
    await shutdown.begin(web.Application())
    await shutdown.reset(web.Application())
    assert shutdown.begun.is_set() is False
