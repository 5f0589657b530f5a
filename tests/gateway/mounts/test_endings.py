"""What an application of aiohttp.web ends when it ends itself, and what it leaves."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from passwordless_async.gateway.mounts.endings import Ending

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
    ending, earlier, open_one = Ending(), Connection(), Connection()
    with ending.of_stream(headers, earlier):
        pass
    with ending.of_stream(headers, open_one):
        assert open_one.is_closed is False
        await ending.begin(web.Application())
        assert (open_one.is_closed, earlier.is_closed) == (is_closed, False)


async def test_a_stream_that_begins_after_the_end() -> None:
    """It is ended at once; one without a connection has gone already."""
    ending, late = Ending(), Connection()
    await ending.begin(web.Application())
    with ending.of_stream(EVENTS, late), ending.of_stream(EVENTS, None):
        assert (late.is_closed, ending.begun.is_set()) == (True, True)


async def test_an_application_that_starts_again() -> None:
    """It has its end before it."""
    ending = Ending()
    await ending.begin(web.Application())
    await ending.reset(web.Application())
    assert ending.begun.is_set() is False
