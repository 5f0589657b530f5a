"""Shuts down an application of aiohttp.web: closes WebSockets and event streams, and lets other responses finish.

Invariants:

- A WebSocket is closed at both ends as one that goes away (RFC 6455 §7.4.1): the browser opens another, elsewhere.
- The connection of a stream of events is closed: the browser calls again, as the standard has it (HTML §9.2.3).
- Other responses go on, for as long as the server waits for them.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from passwordless_async.gateway.proxy.messages import Fields

_EVENTS = "text/event-stream"


@attrs.define(eq=False)
class Ending:
    """The end of one application, and the streams of events that it ends.

    Attributes:
        begun: Is set when the application ends.
    """

    begun: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _streams: set[asyncio.Transport] = attrs.field(factory=set, init=False)

    async def reset(self, _app: web.Application) -> None:
        """Be the end of an application that starts, in its event loop (``on_startup``)."""
        self.begun = asyncio.Event()

    async def begin(self, _app: web.Application) -> None:
        """End what would not end by itself (``on_shutdown``)."""
        self.begun.set()
        for stream in tuple(self._streams):
            stream.close()

    @contextmanager
    def of_stream(self, headers: Fields, transport: asyncio.Transport | None) -> Iterator[None]:
        """Close a connection if the end comes within the context and its response is a stream of events."""
        if transport is None or not _is_of_events(headers):
            yield
            return
        if self.begun.is_set():
            transport.close()
        self._streams.add(transport)
        try:
            yield
        finally:
            self._streams.discard(transport)


def _is_of_events(headers: Fields) -> bool:
    return any(name.lower() == "content-type" and value.lower().startswith(_EVENTS) for name, value in headers)
