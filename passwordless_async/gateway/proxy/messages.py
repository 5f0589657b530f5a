"""A browser's call to an upstream and its response, as streams; also a WebSocket. Mounts make and write them.

Invariants:

- The path and the query are unchanged: nothing is decoded between the browser and the checks.
- A body is read and written piece by piece; no mount collects one.
- A truncated body raises: it never looks complete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from multidict import CIMultiDictProxy

Fields: TypeAlias = tuple[tuple[str, str], ...]
NORMAL, GOING_AWAY, NO_CODE, POLICY, TOO_BIG, FAILED = 1000, 1001, 1005, 1008, 1009, 1011  # RFC 6455 §7.4.1


class BrowserGone(Exception):
    """The browser closed its connection."""


class UpstreamBroke(Exception):
    """An upstream's response was truncated. A mount closes the connection, so that the browser sees a failure too."""


class SocketClosed(Exception):
    """The other end closed the WebSocket.

    Args:
        code: The reason (RFC 6455 §7.4); 1005 if there was none.
        reason: The reason in words.
    """

    def __init__(self, code: int = NO_CODE, reason: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason


class RequestBody(Protocol):
    """The body of a browser's request."""

    async def read(self) -> bytes:
        """Return the next piece; empty at the end. Cancelling it loses nothing.

        Raises:
            BrowserGone: The browser closed its connection.
        """


class BrowserSocket(Protocol):
    """The browser's end of a WebSocket, before and after it is accepted."""

    async def until_ending(self) -> None:
        """Return when the server ends: the WebSocket is then closed with "going away"."""

    async def accept(self, protocol: str | None, at_most: int) -> None:
        """Complete the handshake, with the chosen subprotocol; a message over ``at_most`` bytes is not collected."""

    async def receive(self) -> str | bytes:
        """Return the next message; raises :class:`SocketClosed`. Cancelling it loses nothing."""

    async def send(self, message: str | bytes) -> None:
        """Send a message."""

    async def close(self, code: int, reason: str) -> None:
        """Close it."""


@attrs.frozen(kw_only=True)
class ProxiedRequest:
    """A call to an upstream.

    Attributes:
        method: The method, as it came.
        mount: The path that the gateway is mounted at, as it came; empty at the root.
        path: The path below the mount, as it came: not decoded.
        query: The query, as it came, without the question mark.
        headers: The header fields; names in any case.
        peer: The address that the connection came from; None on a socket without one.
        body: The body; it is read only if the header fields say that there is one, or ``unframed``.
        unframed: Whether a body may come although no header field says so, as in HTTP/2 (RFC 9113 §8.1.1).
        socket: Whether it is the handshake of a WebSocket.
        protocols: The subprotocols that it offers.
    """

    method: str
    mount: str
    path: str
    query: str = attrs.field(repr=False)
    headers: CIMultiDictProxy[str] = attrs.field(repr=False)
    peer: str | None = attrs.field(repr=False, default=None)
    body: RequestBody | None = attrs.field(repr=False, default=None)
    unframed: bool = False
    socket: bool = False
    protocols: tuple[str, ...] = ()


@attrs.frozen
class ProxiedResponse:
    """The response to a call. Its holder must close it in any case, which releases the upstream's connection.

    Attributes:
        status: The HTTP status.
        headers: The header fields, in order; a name may come twice.
        body: The body, if all of it has arrived; otherwise its pieces, which raise :class:`UpstreamBroke` if truncated.
    """

    status: int
    headers: Fields = attrs.field(repr=False)
    body: bytes | AsyncIterator[bytes] = attrs.field(repr=False)
    _close: Callable[[], Awaitable[None]] | None = attrs.field(repr=False, default=None)

    async def aclose(self) -> None:
        """Release the upstream's connection; it is closed if a part of the response is unread."""
        if self._close is not None:
            await self._close()


def target_of(raw: str, mount: str) -> tuple[str, str] | None:
    """Return path and query below a mount of a request's target, as it came; None if it is not below it.

    A target of another form, such as an absolute URL, and a mount in another spelling are not below it.
    """
    path, _, query = raw.partition("?")
    below = path[len(mount) :]
    if not path.startswith(mount) or (below and not below.startswith("/")):
        return None
    return below or "/", query
