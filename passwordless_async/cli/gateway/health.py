"""Health: ``/healthz`` says that the process is alive, ``/readyz`` that it can log users in.

Invariants:

- At most one call to the store is pending, and at most one a second is sent, however often the paths are called.
- No response names a host, a key or a user.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

import attrs
from aiohttp import web

from passwordless_async._common import clock as _clock
from passwordless_async.errors import PasswordlessError
from passwordless_async.gateway.messages import READS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler, Middleware

    from passwordless_async.client.client import PasswordlessClient

HEALTHZ, READYZ = "/healthz", "/readyz"
PATHS = frozenset({HEALTHZ, READYZ})
_FRESH_SECONDS = 1.0  # for which a result is returned again
_PATIENCE_SECONDS = 3.0  # for each thing that is asked
_STORE = "The store is unreachable: no user can log in, and no session can be read."
_KEYS = "The tenant's signing keys could not be fetched: no user can log in."


@attrs.define(eq=False)
class Health:
    """The health of a process; kept for the client's lifetime.

    Args:
        client: The client that is examined.
    """

    _client: PasswordlessClient
    _found: tuple[str, ...] = attrs.field(default=(), init=False)
    _at: float = attrs.field(default=float("-inf"), init=False)
    _lock: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    async def problems(self) -> tuple[str, ...]:
        """Return the problems, a sentence each; a result is reused for a second."""
        async with self._lock:
            if _clock.monotonic() - self._at >= _FRESH_SECONDS:
                checks = (_STORE, self._client.store.ping), (_KEYS, self._client.fetch_signing_keys)
                self._found = tuple([text for text, check in checks if not await _passes(check)])
                self._at = _clock.monotonic()
            return self._found

    def middleware(self) -> Middleware:
        """Return the middleware that answers the two paths before the gateway does."""

        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path not in PATHS or request.method not in READS:
                return await handler(request)
            return _answer(() if request.path == HEALTHZ else await self.problems())

        return answer


def _answer(problems: tuple[str, ...]) -> web.Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    text = "\n".join(problems or ("Ready.",))
    return web.Response(status=status, text=f"{text}\n", headers={"Cache-Control": "no-store"})


async def _passes(check: Callable[[], Awaitable[None]]) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await check()
    except (PasswordlessError, TimeoutError):
        return False
    return True
