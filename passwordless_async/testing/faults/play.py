"""A row of the table of faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from passwordless_async.testing.endpoints.answers import Refusal
    from passwordless_async.testing.faults.faults import FaultOptions
    from passwordless_async.testing.state.state import Exchange
    from passwordless_async.testing.state.tokens import Grant


@attrs.frozen(kw_only=True)
class Play:
    """Where and how a fault acts.

    Args:
        unread: Whether the connection is closed before the body is read.
        instead: Makes the answer; the request is not processed.
        twist: Changes the grant.
        after: Spoils the answer; None closes the connection.
    """

    unread: bool = False
    instead: Callable[[Exchange, FaultOptions], Refusal] | None = None
    twist: Callable[[Grant], Grant] | None = None
    after: Callable[[web.Response, FaultOptions], Awaitable[web.Response | None]] | None = None
