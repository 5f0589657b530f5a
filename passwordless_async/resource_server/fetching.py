"""The I/O of a resource server: fetching signing keys.

Invariants:

- Requests that need keys at the same time share one fetch. If one is cancelled, the fetch goes on for the others.
- A fetch for an unknown ``kid`` runs to its end, even if no request waits for it: cancelled requests do not shorten
  the pause after it.
- Each fetch opens its own session unless you passed one. Fetches are rare, and a server then needs no closing.
- No redirect is followed, no body is read beyond :data:`MAX_BODY`, and a fetch has a time limit.
- A key set that can be renewed but need not be is renewed in the background: no request waits for it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import aiohttp

from passwordless_async._common.decoding import decoded
from passwordless_async._common.http import HttpRequest, HttpResponse, run_flow
from passwordless_async._common.secret import SecretBytes
from passwordless_async.auth0.client_auth import session_checks_peers
from passwordless_async.errors import MalformedAnswer, OutcomeUnknown, TemporarilyUnavailable, UsageError
from passwordless_async.resource_server.keys import RETRY_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from passwordless_async.auth0.jwks import SigningKey
    from passwordless_async.resource_server.keys import IssuerKeys

MAX_BODY = 262_144  # bytes; the largest honest key set, one with certificates, has about ten thousand
_TIMEOUT = aiohttp.ClientTimeout(total=5.0, sock_connect=3.0)  # seconds for one request
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "passwordless-async"}


class KeyFetcher:
    """Finds the signing keys of one issuer; kept for the server's lifetime, and needs no closing.

    Args:
        keys: The issuer's keys and metadata.
        http: A session to fetch with; by default, each fetch opens its own.
    """

    __slots__ = ("_flight", "_http", "keys")

    def __init__(self, keys: IssuerKeys, http: aiohttp.ClientSession | None) -> None:
        if http is not None and not isinstance(http, aiohttp.ClientSession):
            raise UsageError("http", "must be an aiohttp.ClientSession")
        if keys.is_remote and not session_checks_peers(http):
            raise UsageError("http", "does not check certificates: any server could sign tokens")
        self.keys: IssuerKeys = keys
        self._http = http
        self._flight: asyncio.Task[None] | None = None

    async def find(self, kid: str, alg: str) -> SigningKey | None:
        """Return a key; None if the issuer has none of that name.

        Raises:
            TemporarilyUnavailable: The keys cannot be fetched, so there may be one.
        """
        await self.refresh()
        key = self.keys.get(kid, alg)
        signing = self.keys.signing
        while key is None and (fetch := signing.next_fetch()) is not None:
            await self._join(fetch.delay, revalidate=True)
            key = self.keys.get(kid, alg)
        if key is None and signing.problem:
            raise _unavailable(signing.problem)
        return key

    async def refresh(self) -> None:
        """Fetch the keys if there are none; begin to renew them if they are old.

        Raises:
            TemporarilyUnavailable: There are none, and they cannot be fetched.
        """
        signing = self.keys.signing
        if not signing.due:
            return
        if signing.empty and not self.keys.must_wait:
            await self._join()
        elif not signing.empty:
            signing.renewal_begins()
            self._start()
        if signing.empty:
            raise _unavailable(signing.problem)

    async def _join(self, delay: float = 0.0, *, revalidate: bool = False) -> None:
        """Wait for the fetch in flight; where there is none, start one. A cancelled request leaves it to the others."""
        await asyncio.wait([self._start(delay, revalidate=revalidate)])

    def _start(self, delay: float = 0.0, *, revalidate: bool = False) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        flight = self._flight
        # A flight of a loop that was closed in the meantime never lands.
        if flight is None or flight.done() or flight.get_loop() is not loop:
            flight = self._flight = loop.create_task(self._fly(delay, revalidate=revalidate))
            # Before those of its waiters: they find its end recorded.
            flight.add_done_callback(self._landed)
        return flight

    def _landed(self, flight: asyncio.Task[None]) -> None:
        """Record its end, for those that began it may be gone, and a failure of any kind.

        A hook of a lent session may raise anything.
        """
        self.keys.signing.fetched(None)
        error = None if flight.cancelled() else flight.exception()
        if error is not None:
            self.keys.failed(OutcomeUnknown(f"the fetch failed ({type(error).__name__})"))

    async def _fly(self, delay: float, *, revalidate: bool) -> None:
        if delay:
            await asyncio.sleep(delay)
        async with self._session() as session:
            await run_flow(self.keys.fetch(revalidate=revalidate), partial(_send, session))

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        if self._http is not None:
            yield self._http
            return
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield session


async def _send(session: aiohttp.ClientSession, request: HttpRequest) -> HttpResponse:
    try:
        async with session.get(
            request.url,
            headers={**_HEADERS, **request.headers},
            allow_redirects=False,
            auto_decompress=False,
            timeout=_TIMEOUT,
        ) as response:
            return await _read(response)
    except (aiohttp.ClientError, OSError) as error:
        # Only the kind is kept: aiohttp's errors show the request.
        kind = "time-out" if isinstance(error, TimeoutError) else type(error).__name__
    raise OutcomeUnknown(f"no answer came from {request.url.origin()} ({kind})")


async def _read(response: aiohttp.ClientResponse) -> HttpResponse:
    read, size = [], 0
    while size <= MAX_BODY and (chunk := await response.content.readany()):
        size += len(chunk)
        read.append(chunk)
    body = SecretBytes(b"".join(read)) if size <= MAX_BODY else None
    if body is not None and (coding := response.headers.get("Content-Encoding")):
        body = decoded(body, coding, at_most=MAX_BODY)
    if body is None:
        response.close()
        raise MalformedAnswer(f"the answer is over {MAX_BODY} bytes, or encoded", status=response.status)
    return HttpResponse(response.status, response.headers, body)


def _unavailable(problem: str) -> TemporarilyUnavailable:
    error = TemporarilyUnavailable(
        status=503,
        error="temporarily_unavailable",
        error_description="the signing keys of the issuer cannot be fetched",
        retry_after=RETRY_SECONDS,
    )
    # For the operator, not for the client.
    error.add_note(problem)
    return error
