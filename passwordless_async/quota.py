"""Who may send when: single flight, while an origin's nonce is unknown and for answers that can be shared."""

from __future__ import annotations

import asyncio
import copy
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from passwordless_async.errors import PasswordlessError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from yarl import URL

    from passwordless_async.wire import HttpRequest, HttpResponse

    Send = Callable[[HttpRequest], Awaitable[HttpResponse]]


class ColdStart:
    """Lets one request go ahead while nobody knows an origin's nonce: N logins cost N+1 requests, not 2N.

    The others wait until the one in front is answered, be it by a challenge. Where it is not answered, those that
    waited all go: one after the other, they would turn an outage into a queue.
    """

    def __init__(self) -> None:
        self._front: asyncio.Future[None] | None = None
        self._over = False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Callable[[], None]]:
        """Wait for the one in front, or be it; gives what to call when the first answer has come.

        Whoever calls it takes the nonce from the answer before giving the loop a turn.
        """
        if self._over:
            yield self._answered
        elif self._front is not None:
            # Shielded: whoever stops waiting must not stop the others.
            await asyncio.shield(self._front)
            yield self._answered
        else:
            self._front = asyncio.get_running_loop().create_future()
            try:
                yield self._answered
            finally:
                self._let_go()

    def _answered(self) -> None:
        self._over = True
        self._let_go()

    def _let_go(self) -> None:
        if self._front is not None:
            self._front.set_result(None)
            self._front = None


class SharedFlight:
    """Sends a request that can be shared once, for all who ask for it at the same time.

    Args:
        send: What sends a request.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._flights: dict[URL, asyncio.Task[HttpResponse | PasswordlessError]] = {}

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send, or wait for the answer to the same request already under way; raises what ``send`` raises."""
        if not request.shareable:
            return await self._send(request)
        flight = self._flights.get(request.url)
        if flight is None:
            flight = self._flights[request.url] = asyncio.create_task(self._fly(request))
        answer = await asyncio.shield(flight)
        if isinstance(answer, PasswordlessError):
            # A copy for each: an exception raised twice collects the tracebacks of both.
            raise copy.copy(answer)
        return answer

    async def _fly(self, request: HttpRequest) -> HttpResponse | PasswordlessError:
        try:
            return await self._send(request)
        except PasswordlessError as error:
            return error
        finally:
            del self._flights[request.url]

    async def aclose(self) -> None:
        """End what is under way."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
