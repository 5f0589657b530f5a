"""Shuts down an application of aiohttp.web: closes WebSockets and event streams, and lets other responses finish.

Invariants:

- A WebSocket is closed at both ends with "going away" (RFC 6455 §7.4.1): the browser opens another one, elsewhere.
- The connection of an event stream is closed: the browser reconnects, as the standard requires (HTML §9.2.3).
- Other responses continue for as long as the server waits for them.
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
class Shutdown:
    """The shutdown of one application, and the event streams that it ends.

    Attributes:
        begun: Is set when the shutdown begins.
    """

    begun: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _streams: set[asyncio.Transport] = attrs.field(factory=set, init=False)

    async def reset(self, _app: web.Application) -> None:
        """Reset at the start of the application, in its event loop (``on_startup``)."""
        self.begun = asyncio.Event()

    async def begin(self, _app: web.Application) -> None:
        """End what would not end by itself (``on_shutdown``)."""
        self.begun.set()
        for stream in tuple(self._streams):
            stream.close()

    @contextmanager
    def of_stream(self, headers: Fields, transport: asyncio.Transport | None) -> Iterator[None]:
        """Close a connection if the shutdown begins within the context and its response is an event stream."""
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
