"""A browser's request and the response to it, as values: the gateway's rules know no framework and no socket.

Invariants:

- A mount makes a bounded :class:`Request` from what arrived, and writes a :class:`Response` unchanged.
- ``path`` is the path below the mount, decoded once. It is compared and never forwarded.
- Bodies, cookies and header fields are secret until proven otherwise: no repr shows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from multidict import CIMultiDictProxy

READS = frozenset({"GET", "HEAD"})
"""The methods that change nothing; a form sends another one."""

MAX_BODY_BYTES = 65_536
"""For requests to the gateway's own pages; bodies to an upstream have their own bound."""


@attrs.frozen(kw_only=True)
class Request:
    """One request of a browser to the gateway's own routes.

    Attributes:
        method: The method, in upper case.
        mount: The path that the gateway is mounted at, encoded, without a slash at its end: ``/auth``; empty at the
            root. Links and ``Location`` contain it.
        path: The path below the mount, decoded, with a slash in front: ``/login``.
        query: The query, decoded; a name that is given twice is left out.
        headers: The header fields; names in any case.
        body: The body. A mount reads at most one byte more than ``MAX_BODY_BYTES``: a longer body is refused.
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
"""The function that a mount calls: :meth:`Gateway.handle <passwordless_async.gateway.Gateway.handle>`."""
