"""A browser's request and the response to it, as values: the gateway's rules know no framework and no socket.

Invariants:

- An adapter makes a :class:`Request` of what came, bounded, and writes a :class:`Response` as it is.
- ``path`` is the path below the mount, decoded once. It is compared and never sent on.
- Bodies, cookies and header fields are secret until proven otherwise: no repr shows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from multidict import CIMultiDictProxy

READS = frozenset({"GET", "HEAD"})
"""The methods that change nothing; what a form sends has another."""

MAX_BODY_BYTES = 65_536
"""Of a request to the gateway's own pages; an upstream's bodies have a bound of their own."""


@attrs.frozen(kw_only=True)
class Request:
    """One request of a browser to the gateway's own routes.

    Attributes:
        method: The method, in upper case.
        mount: The path that the gateway is mounted at, encoded, without a slash at its end: ``/auth``; empty at the
            root. It stands in links and in ``Location``.
        path: The path below the mount, decoded, with a slash in front: ``/login``.
        query: The query, decoded; of a name that is given twice neither value is here.
        headers: The header fields; names in any case.
        body: The body. An adapter reads ``MAX_BODY_BYTES`` and one byte more at most: a longer one is refused.
        peer: The address that the connection came from; None on a socket without one.
    """

    method: str
    mount: str
    path: str
    query: Mapping[str, str] = attrs.field(repr=False)
    headers: CIMultiDictProxy[str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False, default=b"")
    peer: str | None = attrs.field(repr=False, default=None)


@attrs.frozen
class Response:
    """The response to a browser.

    Attributes:
        status: The HTTP status.
        headers: The header fields, in order; a name may come twice, as ``Set-Cookie`` does.
        body: The body.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False, default=())
    body: bytes = attrs.field(repr=False, default=b"")


Handle: TypeAlias = "Callable[[Request], Awaitable[Response]]"
"""What a mount calls: :meth:`Gateway.handle <passwordless_async.gateway.Gateway.handle>`."""
