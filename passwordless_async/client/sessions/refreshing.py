"""Refreshing sessions: by one process at a time, each refresh token once, and no new token is lost on the way.

Before a refresh token is sent, the store is told that it will be, and after that what became of it. Whoever finds only
the first does not send it: the service takes a second use for theft and ends the login.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.client.sessions.records import hashed, unknown_session
from passwordless_async.client.traffic import SingleFlight
from passwordless_async.errors import (
    InvalidSession,
    KeyMismatch,
    KeyMissing,
    NotSent,
    OAuthError,
    OutcomeUnknown,
    PasswordlessError,
    QuotaExceeded,
    StoreUnavailable,
    UsageError,
)
from passwordless_async.stores import RefreshLease

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.sessions.records import Record, SessionRecords
    from passwordless_async.client.sessions.values import StoredSession
    from passwordless_async.client.traffic import Departure
    from passwordless_async.stores import Place

T = TypeVar("T")

_REFRESH = 20.0  # seconds that a refresh may take, its tries included, before another process asks what became of it
_PATIENCE = 20.0  # seconds for which a store that is away is told again what became of a refresh
_LOOK_AGAIN = 0.05  # seconds between two looks at a refresh that another process makes
_LOOK_AGAIN_AT_MOST = 0.5  # seconds to which that grows
_TAKING_BACK = 1.0  # seconds that the store is given for it when the client is closed
# The refresh token was not sent, or refused. What else there is leaves it open, an answer that nobody can use as well:
# the service has spent the token for it.
_UNSPENT = (NotSent, QuotaExceeded, UsageError, KeyMissing, KeyMismatch, OAuthError)


class SessionRefreshes:
    """The refreshes of a client's sessions; lives as long as it.

    Args:
        records: The sessions in the store.
        refresh: Refreshes tokens.
        revoke: Revokes tokens.
    """

    def __init__(
        self,
        records: SessionRecords,
        *,
        refresh: Callable[[TokenSet], Awaitable[TokenSet]],
        revoke: Callable[[TokenSet], Awaitable[None]],
    ) -> None:
        self._records = records
        self._store = records.store
        self._refresh = refresh
        self._revoke = revoke
        self._flights: SingleFlight[str, StoredSession] = SingleFlight()
        self._taking_back: set[asyncio.Task[None]] = set()

    async def run(self, identifier: Secret) -> StoredSession:
        """Refresh a session, or share what is under way for it; raises as ``client.sessions.refresh``."""
        return await self._flights.run(hashed(identifier), lambda departure: self._refreshed(identifier, departure))

    async def _refreshed(self, identifier: Secret, departure: Departure) -> StoredSession:
        first = found = await self._records.find(identifier)
        token, wait = secrets.token_urlsafe(16), _LOOK_AGAIN
        while not found.is_refreshed(first):
            # Not to be called back any more: where the store has the question, it has to hear what came of it.
            departure.on_wire = True
            begun = await self._begin(found, token)
            if begun is RefreshLease.GRANTED:
                return await self._spend(found, token)
            departure.on_wire = False
            if begun is RefreshLease.GONE:
                raise unknown_session()
            if begun is RefreshLease.DOUBTFUL:
                raise OutcomeUnknown("the refresh token left before and no answer came: it was not sent again")
            if begun is RefreshLease.BUSY:
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LOOK_AGAIN_AT_MOST)
            found = await self._records.find(identifier)
        return found.session

    async def _begin(self, found: Record, token: str) -> RefreshLease:
        try:
            return await self._store.begin_refresh(
                found.place,
                sealed=found.sealed,
                spends=hashed(found.session.tokens.refresh_token or ""),
                token=token,
                seconds=_REFRESH,
                remember=self._records.seconds_to_end(found),
            )
        except StoreUnavailable:
            # It may have the question all the same, and nobody would ever dare to send a token that never left.
            self._take_back_soon(found.place, token)
            raise

    async def _spend(self, found: Record, token: str) -> StoredSession:
        try:
            renewed = await self._refresh(found.session.tokens)
        except PasswordlessError as error:
            failure = error.with_traceback(None)
        else:
            return await self._keep(found, renewed, token)
        if isinstance(failure, _UNSPENT):
            await self._take_back(found.place, token)
        else:
            # A store that does not hear it finds out when the time for the refresh is over.
            with suppress(StoreUnavailable):
                await self._store.abandon_refresh(found.place, token=token)
        raise failure

    async def _keep(self, found: Record, renewed: TokenSet, token: str) -> StoredSession:
        sealed = self._records.seal(found.place, renewed, **found.members)
        # The old token is spent: that the new one is kept is worth some patience.
        session = await _patiently(lambda: self._end(found, renewed, sealed, token))
        if session is None:
            # The tokens must not outlive it; where the service cannot be told, they are still given to nobody.
            with suppress(PasswordlessError):
                await self._revoke(renewed)
            raise InvalidSession("the session was closed while it was refreshed")
        return session

    async def _end(self, found: Record, renewed: TokenSet, sealed: str, token: str) -> StoredSession | None:
        seconds = self._records.seconds(found)
        if await self._store.end_refresh(found.place, token=token, sealed=sealed, seconds=seconds):
            return attrs.evolve(found.session, tokens=renewed)
        # Closed; or kept by a try whose answer was lost, and others have gone on from there since.
        try:
            now = await self._records.find(found.session.id)
        except InvalidSession:
            return None
        return now.session if now.is_refreshed(found) else None

    async def _take_back(self, place: Place, token: str) -> None:
        try:
            await self._store.end_refresh(place, token=token, sealed=None, seconds=_REFRESH)
        except StoreUnavailable:
            self._take_back_soon(place, token)

    def _take_back_soon(self, place: Place, token: str) -> None:
        """Tell the store, when it is back, that nothing was spent; nobody waits for that."""

        async def take_back() -> None:
            with suppress(StoreUnavailable):
                await _patiently(
                    lambda: self._store.end_refresh(place, token=token, sealed=None, seconds=_REFRESH),
                )

        task = asyncio.create_task(take_back())
        self._taking_back.add(task)
        task.add_done_callback(self._taking_back.discard)

    async def aclose(self, *, grace: float) -> None:
        """End refreshes under way, after so many seconds."""
        await self._flights.aclose(grace=grace)
        tasks = set(self._taking_back)
        if tasks:
            await asyncio.wait(tasks, timeout=min(grace, _TAKING_BACK))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask the store until it answers, or patience has an end."""
    wait, ends = _LOOK_AGAIN, _clock.monotonic() + _PATIENCE
    while True:
        try:
            return await ask()
        except StoreUnavailable:
            if _clock.monotonic() + wait > ends:
                raise
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LOOK_AGAIN_AT_MOST)
