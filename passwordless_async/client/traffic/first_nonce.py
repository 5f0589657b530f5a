"""The first nonce of an origin: one request fetches it, the others wait.

Invariants:

- While an origin has not answered, one request at a time goes first: N requests cost N + 1 transmissions, not 2 N.
- The others go as soon as the first one has a response, even a challenge: they do not wait for its retry.
- A 5xx or a 429 does not count as a response: a gateway may have sent it, and it says nothing about nonces.
- A request waits for one slow request at most. After a few failures in a row, or one slow failure, all go at once: one
  by one, they would turn an outage into a queue.
- A request that was refused or cancelled before it was sent does not count as a failure.
- The state belongs to the nonce cache and the origin, so all users of the cache share the wait.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

import attrs

from passwordless_async.errors import QuotaExceeded, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from passwordless_async.dpop import NonceCache

_MAX_FAILURES = 3  # first requests that failed in a row; after these no request waits


class PeerNonces(Protocol):
    """The nonces of other processes for the same origin."""

    def poll(self) -> object:
        """Learn in the background what other processes have learned since the last poll."""

    async def fetched(self) -> bool:
        """Wait for a nonce of another process (True), or until this process may fetch one (False)."""

    def answered(self) -> None:
        """Share that the origin has answered this process, and with which nonce."""

    def failed(self) -> None:
        """Pass the turn on: the origin has not responded to this process."""


@attrs.define(eq=False)
class _ColdStart:
    """The state of an origin that may not have responded yet."""

    answered: bool = False
    failures: int = 0
    first: asyncio.Future[None] | None = None  # done once the request in front is answered or has failed

    @property
    def holds_back(self) -> bool:
        return not self.answered and self.failures < _MAX_FAILURES

    def release(self) -> None:
        """Let those go that wait for the request in front."""
        if self.first is not None:
            self.first.set_result(None)
            self.first = None


class FirstNonce:
    """Lets one request go first while an origin's nonce is unknown; with ``peers``, one of all processes.

    A request waits ``patience`` seconds for the one in front; after that, its own challenge costs less. A first request
    that fails after more than ``slow_after`` seconds counts as an outage.
    """

    def __init__(
        self,
        nonces: NonceCache,
        origin: str,
        *,
        peers: PeerNonces | None = None,
        patience: float = 3.0,
        slow_after: float = 1.0,
    ) -> None:
        self._state = nonces.shared_state(origin, _ColdStart)
        self._peers = peers
        self._patience = patience
        self._slow_after = slow_after

    @property
    def over(self) -> bool:
        """Whether the origin has answered: no request waits any more."""
        return self._state.answered

    @property
    def pending(self) -> bool:
        """Whether a request has gone first and is not answered yet."""
        return self._state.first is not None

    @asynccontextmanager
    async def turn(self, was_sent: Callable[[], bool] = lambda: True) -> AsyncIterator[Callable[[int], None]]:
        """Wait for the request in front, or be the one in front.

        Args:
            was_sent: Tells whether the request was sent. One that is cancelled before says nothing about the server.

        Yields:
            A function to call with the status of each response. Harvest the nonce before the event loop gets a turn:
            the call wakes the requests that wait for it.
        """
        await self._wait()
        if not self._state.holds_back or self.pending:
            yield self._note_answer
            return
        loop = asyncio.get_running_loop()
        self._state.first = loop.create_future()
        began = loop.time()
        try:
            if self._peers is not None and await self._peers.fetched():
                self._end()
            yield self._note_answer
        except (UsageError, QuotaExceeded):
            # Nothing was sent, which says nothing about the server.
            self._hand_on()
            raise
        except asyncio.CancelledError:
            if not was_sent():
                self._hand_on()
            raise
        finally:
            self._note_failure(loop.time() - began)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        # A future of another event loop cannot be awaited: a cache may outlive a loop, or serve two.
        while (first := self._state.first) is not None and first.get_loop() is loop:
            # asyncio.wait leaves the future alone when this task is cancelled: the others wait for it too.
            ended, _ = await asyncio.wait([first], timeout=self._patience)
            if not ended:
                return

    def _note_answer(self, status: int) -> None:
        if self.over or status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            return
        self._end()
        if self._peers is not None:
            self._peers.answered()

    def _note_failure(self, seconds: float) -> None:
        if self.pending:
            self._state.failures = _MAX_FAILURES if seconds > self._slow_after else self._state.failures + 1
            self._hand_on()

    def _hand_on(self) -> None:
        if self.pending:
            self._state.release()
            if self._peers is not None:
                self._peers.failed()

    def _end(self) -> None:
        self._state.answered = True
        self._state.release()
