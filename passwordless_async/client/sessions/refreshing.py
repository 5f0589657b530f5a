"""Refreshing stored sessions, by one process at a time.

Invariants:

- Before a refresh token is sent, the store knows that it will be; afterwards, what became of it. A process that finds
  only the first does not send the token: the service takes a second use for theft and ends the login.
- New tokens are not lost while the store is unreachable: they are reported again for ``_PATIENCE_SECONDS``.
- A caller that is cancelled does not end a refresh that the store may know of.
- Tokens do not outlive their session: if it was closed meanwhile, the new ones are revoked.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.client.refreshes import Refreshes, is_unspent
from passwordless_async.client.sessions.records import Record, SessionRecords, hashed, unknown_session
from passwordless_async.client.traffic.single_flight import Departure, SingleFlight
from passwordless_async.errors import InvalidSession, OutcomeUnknown, PasswordlessError, StoreUnavailable
from passwordless_async.stores import Place, RefreshLease

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.sessions.values import StoredSession

T = TypeVar("T")

_LEASE_SECONDS = 20.0  # for a refresh with its retries; afterwards another process asks what became of it
_PATIENCE_SECONDS = 20.0  # for which an unreachable store is asked again to take the result of a refresh
_FIRST_POLL_SECONDS, _MAX_POLL_SECONDS = 0.05, 0.5  # between polls; each is twice the one before
_CLOSING_SECONDS = 1.0  # for reports to the store when the client is closed


class SessionRefreshes:
    """The refreshes of a client's stored sessions; lives as long as the client."""

    def __init__(self, records: SessionRecords, refreshes: Refreshes) -> None:
        self._records = records
        self._store = records.store
        self._refreshes = refreshes
        self._flights: SingleFlight[str, StoredSession] = SingleFlight()
        self._reports: set[asyncio.Task[None]] = set()

    async def refresh(self, identifier: Secret) -> StoredSession:
        """Refresh a session, or share the refresh that is under way for it. Raises as ``client.sessions.refresh``."""
        return await self._flights.run(hashed(identifier), lambda departure: self._refresh(identifier, departure))

    async def _refresh(self, identifier: Secret, departure: Departure) -> StoredSession:
        first = record = await self._records.find(identifier)
        token, wait = secrets.token_urlsafe(16), _FIRST_POLL_SECONDS
        while not record.is_refreshed(first):
            # Not to be cancelled: once the store may have granted the lease, it must hear the end.
            departure.on_wire = True
            lease = await self._begin(record, token)
            if lease is RefreshLease.GRANTED:
                return await self._spend(record, token)
            departure.on_wire = False
            if lease is RefreshLease.GONE:
                raise unknown_session()
            if lease is RefreshLease.DOUBTFUL:
                raise OutcomeUnknown("the refresh token was sent before and no answer came: it was not sent again")
            if lease is RefreshLease.BUSY:
                await asyncio.sleep(wait)
                wait = min(wait * 2, _MAX_POLL_SECONDS)
            record = await self._records.find(identifier)
        return record.session

    async def _begin(self, record: Record, token: str) -> RefreshLease:
        try:
            return await self._store.begin_refresh(
                record.place,
                sealed=record.sealed,
                spends=hashed(record.session.tokens.refresh_token or ""),
                token=token,
                seconds=_LEASE_SECONDS,
                remember=self._records.seconds_to_end(record),
            )
        except StoreUnavailable:
            # The store may have granted it all the same. Without a report the token would never be sent again.
            self._undo_in_background(record.place, token)
            raise

    async def _spend(self, record: Record, token: str) -> StoredSession:
        try:
            renewed = await self._refreshes.refresh(record.session.tokens)
        except PasswordlessError as error:
            failure = error.with_traceback(None)
        else:
            return await self._keep(record, renewed, token)
        if is_unspent(failure):
            await self._undo(record.place, token)
        else:
            # A store that does not hear it finds out when the lease expires.
            with suppress(StoreUnavailable):
                await self._store.abandon_refresh(record.place, token=token)
        raise failure

    async def _keep(self, record: Record, renewed: TokenSet, token: str) -> StoredSession:
        sealed = self._records.seal(record.place, renewed, **record.members)
        session = await _patiently(lambda: self._end(record, renewed, sealed, token))
        if session is None:
            # Where the service is unreachable they stay valid, but no caller gets them.
            with suppress(PasswordlessError):
                await self._refreshes.revoke(renewed)
            raise InvalidSession("the session was closed while it was refreshed")
        return session

    async def _end(self, record: Record, renewed: TokenSet, sealed: str, token: str) -> StoredSession | None:
        """Report new tokens; None if the session was closed."""
        seconds = self._records.seconds(record)
        if await self._store.end_refresh(record.place, token=token, sealed=sealed, seconds=seconds):
            return attrs.evolve(record.session, tokens=renewed)
        # The session was closed. Or an earlier report arrived, its answer was lost, and others have refreshed since.
        try:
            now = await self._records.find(record.session.id)
        except InvalidSession:
            return None
        return now.session if now.is_refreshed(record) else None

    async def _undo(self, place: Place, token: str) -> None:
        """Report that nothing was spent."""
        try:
            await self._store.end_refresh(place, token=token, sealed=None, seconds=_LEASE_SECONDS)
        except StoreUnavailable:
            self._undo_in_background(place, token)

    def _undo_in_background(self, place: Place, token: str) -> None:
        task = asyncio.create_task(self._undo_patiently(place, token))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def _undo_patiently(self, place: Place, token: str) -> None:
        with suppress(StoreUnavailable):
            await _patiently(lambda: self._store.end_refresh(place, token=token, sealed=None, seconds=_LEASE_SECONDS))

    async def aclose(self, *, grace: float) -> None:
        """End refreshes after ``grace`` seconds."""
        await self._flights.aclose(grace=grace)
        reports = set(self._reports)
        if reports:
            await asyncio.wait(reports, timeout=min(grace, _CLOSING_SECONDS))
        for report in reports:
            report.cancel()
        await asyncio.gather(*reports, return_exceptions=True)


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask the store until it answers; raises ``StoreUnavailable`` after ``_PATIENCE_SECONDS``."""
    wait, ends = _FIRST_POLL_SECONDS, _clock.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return await ask()
        except StoreUnavailable:
            if _clock.monotonic() + wait > ends:
                raise
        await asyncio.sleep(wait)
        wait = min(wait * 2, _MAX_POLL_SECONDS)
