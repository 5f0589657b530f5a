"""The body of a call on its way to an upstream: as a stream, the beginning of which can be sent again.

Invariants:

- Its first 64 KiB are kept while the response has not begun: a nonce challenge or a refused token is answered by
  sending them again. So every body up to that size can be sent again whole.
- A longer body is sent beyond them only if the upstream has accepted a call a moment ago, or after a pause in which its
  challenge would have come: a server that challenges does so by the header fields, before it reads the body.
  ``Expect: 100-continue`` is not used for that: servers send the 100 before they look at the token.
- Beyond its beginning a body is never sent twice: a second transmission fails before its first byte.
- A body that the browser cuts off is cut off for the upstream too.
- A slow browser is not taken for a slow upstream: each has its own time.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp.payload import Payload

from passwordless_async.gateway.proxy.admission import Refusal
from passwordless_async.gateway.proxy.messages import BrowserGone

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from passwordless_async.gateway.proxy.messages import RequestBody
    from passwordless_async.gateway.proxy.upstream import Upstream

KEPT_BYTES = 65_536
_PAUSE_SECONDS = 0.3  # for an early challenge; some round trips


class Deadline:
    """When an upstream must have gone on: moved with each piece, and off while the browser has its turn."""

    def __init__(self, timeout: asyncio.Timeout, seconds: float) -> None:
        self._timeout = timeout
        self._seconds = seconds
        self._is_over = False

    def start(self) -> None:
        """Give the upstream its turn."""
        self._move(asyncio.get_running_loop().time() + self._seconds)

    def stop(self) -> None:
        """Give the browser its turn."""
        self._move(None)

    def end(self) -> None:
        """End: the response has begun. What is still sent has no deadline."""
        self._move(None)
        self._is_over = True

    def _move(self, when: float | None) -> None:
        if not self._is_over and not self._timeout.expired():
            self._timeout.reschedule(when)


class Upload(Payload):
    """A body that is read from a browser while it is sent.

    Args:
        source: The body.
        length: Its length in bytes; None if that was not said.
        upstream: Where it goes.
        deadline: When the upstream must have gone on.
        is_trusted: Whether the upstream has accepted a call a moment ago.
    """

    _autoclose = True

    def __init__(
        self, source: RequestBody, length: int | None, upstream: Upstream, deadline: Deadline, *, is_trusted: bool
    ) -> None:
        super().__init__(None)
        self._size = length
        self._source = source
        self._upstream = upstream
        self.deadline: Deadline = deadline
        self._pauses = not is_trusted
        self._kept: list[bytes] = []
        self._kept_bytes = self._read_bytes = 0
        self._pending = b""  # was read, and is not kept
        self._ended = False
        self.failure: Refusal | BrowserGone | None = None

    def decode(self, *_: object, **__: object) -> str:
        """Return nothing: a stream has no text."""
        raise TypeError

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the body."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the body, of one that was begun before the beginning too."""
        del content_length  # what came with the length of the request is refused by the server if it is more
        if self._consumed:
            raise ConnectionAbortedError
        for piece in tuple(self._kept):
            await writer.write(piece)
        try:
            while not self._ended:
                await self._send_next(writer)
        except (Refusal, BrowserGone) as failure:
            self.failure = failure
            raise

    async def _send_next(self, writer: AbstractStreamWriter) -> None:
        piece = self._pending or await self._next()
        room = 0 if self._consumed else KEPT_BYTES - self._kept_bytes
        # What does not fit is kept here meanwhile: a challenge may end this transmission anywhere.
        beginning, self._pending = piece[:room], piece[room:]
        if beginning:
            self._kept.append(beginning)
            self._kept_bytes += len(beginning)
            await writer.write(beginning)
        elif piece:
            if self._pauses:
                await asyncio.sleep(_PAUSE_SECONDS)
                self._pauses = False
            self._consumed, self._pending = True, b""
            self._kept.clear()
            await writer.write(piece)
        else:
            self._ended = True
        self.deadline.start()

    async def _next(self) -> bytes:
        self.deadline.stop()
        try:
            async with asyncio.timeout(self._upstream.upload_timeout):
                piece = await self._source.read()
        except TimeoutError:
            raise Refusal("too_slow", HTTPStatus.REQUEST_TIMEOUT) from None
        finally:
            self.deadline.start()
        self._read_bytes += len(piece)
        if self._read_bytes > self._upstream.max_request_bytes:
            raise Refusal("too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return piece
