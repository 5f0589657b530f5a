"""Refreshing stored sessions, by one process at a time.

Invariants:

- The store has a mark before a refresh token is sent, and the outcome afterwards. A process that finds only the mark
  sends the token within the overlap that the service allows, and never after it: the service would treat that as theft
  and end the login.
- Sessions that were opened with the tokens of one login share lease and outcome: one refreshes, all get the tokens.
- A lease is renewed during its refresh, however long that takes; the lease of a process that died ends soon.
- A refresh token that the service has refused is not sent again.
- New tokens are not lost while the store is unreachable: they are reported again for ``_PATIENCE_SECONDS``.
- A cancelled caller does not end a refresh if the store may have its mark.
- Tokens do not outlive their session: if it was closed meanwhile, the new ones are revoked.
- Tokens of a login with an open session are not revoked, however late a process reports its refresh.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.client.refreshes import Refreshes, is_unspent
from passwordless_async.client.sessions.records import Record, SessionRecords, is_same, unknown_session
from passwordless_async.client.sessions.values import hashed
from passwordless_async.client.traffic.single_flight import Departure, SingleFlight
from passwordless_async.errors import (
    InvalidRefreshToken,
    InvalidSession,
    OutcomeUnknown,
    PasswordlessError,
    StoreUnavailable,
)
from passwordless_async.stores import RefreshEnd, RefreshLease, RefreshTurn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.sessions.values import StoredSession

T = TypeVar("T")

_LEASE_SECONDS = 20.0  # unless it is renewed; then another process may find the outcome unknown
_RENEWALS_PER_LEASE = 3  # two may fail
_SOON_SECONDS = 30.0  # an access token that ends within this is refreshed once more
_PATIENCE_SECONDS = 20.0  # for which the report of a refresh to an unreachable store is retried
_FIRST_POLL_SECONDS, _MAX_POLL_SECONDS = 0.05, 0.5  # between polls; each is twice the one before
_CLOSING_SECONDS = 1.0  # for reports to the store when the client is closed


class SessionRefreshes:
    """The refreshes of a client's stored sessions; kept for the client's lifetime."""

    def __init__(self, records: SessionRecords, refreshes: Refreshes) -> None:
        self._records = records
        self._store = records.store
        self._refreshes = refreshes
        self._flights: SingleFlight[str, StoredSession] = SingleFlight()
        self._renewals: SingleFlight[tuple[str, Secret], TokenSet] = SingleFlight()
        self._reports: set[asyncio.Task[None]] = set()

    async def refresh(self, identifier: Secret) -> StoredSession:
        """Refresh a session, or join its refresh in progress. Raises as ``client.sessions.refresh``."""
        self._refreshes.require_open()
        return await self._flights.run(
            hashed(identifier), lambda departure: self._refresh_and_note(identifier, departure)
        )

    async def renew(self, identifier: Secret, stale: TokenSet) -> TokenSet:
        """Return newer tokens of a session than these: those in the store, or new ones if these end soon."""
        return await self._renewals.run(
            (hashed(identifier), stale.access_token), lambda _departure: self._renew(identifier, stale), on_wire=True
        )

    async def _renew(self, identifier: Secret, stale: TokenSet) -> TokenSet:
        tokens = (await self._records.find(identifier)).session.tokens
        if is_same(tokens, stale) or ends_soon(tokens) or self._refreshes.is_replaced(tokens):
            tokens = (await self.refresh(identifier)).tokens
        if is_same(tokens, stale):
            # Another session of the login had these already: this one has only caught up with it.
            tokens = (await self.refresh(identifier)).tokens
        return tokens

    async def _refresh_and_note(self, identifier: Secret, departure: Departure) -> StoredSession:
        session = await self._refresh(identifier, departure)
        self._refreshes.note_stored(session.tokens, identifier)
        return session

    async def _refresh(self, identifier: Secret, departure: Departure) -> StoredSession:
        first = record = await self._records.find(identifier)
        token, wait = secrets.token_urlsafe(16), _FIRST_POLL_SECONDS
        while not record.is_refreshed(first):
            # Not to be cancelled: once the store may have granted the lease, the end must be reported.
            departure.on_wire = True
            turn = await self._begin(record, token)
            if turn.lease is RefreshLease.GRANTED:
                return await self._spend(record, token, turn)
            departure.on_wire = False
            _require_no_refusal(turn.lease)
            if turn.lease is RefreshLease.REPLACED:
                first = await self._adopt(record, turn) or first
            if turn.lease is RefreshLease.BUSY:
                await asyncio.sleep(wait)
                wait = min(wait * 2, _MAX_POLL_SECONDS)
            record = await self._records.find(identifier)
        return record.session

    async def _begin(self, record: Record, token: str) -> RefreshTurn:
        try:
            return await self._store.begin_refresh(
                record.place,
                login=record.login,
                sealed=record.sealed,
                spends=_name_of(record.session.tokens),
                token=token,
                seconds=_LEASE_SECONDS,
                overlap=self._refreshes.overlap,
                remember=self._records.seconds_to_end(record),
            )
        except StoreUnavailable:
            # The store may have granted it nevertheless. Without a report, the token would never be sent again.
            self._release_in_background(record, token)
            raise

    async def _adopt(self, record: Record, turn: RefreshTurn) -> Record | None:
        """Give a session the tokens that another one of its login has; return it if they end soon as well."""
        tokens = self._records.unseal_shared(record.login, turn.tokens or "")
        sealed = self._records.seal_refreshed(record, tokens)
        is_theirs = await self._store.reseal(record.place, record.sealed, sealed)
        if not is_theirs or not ends_soon(tokens):
            return None
        return attrs.evolve(record, session=attrs.evolve(record.session, tokens=tokens))

    async def _spend(self, record: Record, token: str, turn: RefreshTurn) -> StoredSession:
        tokens = record.session.tokens
        async with self._held(record, token):
            try:
                renewed = await self._refreshes.refresh_directly(tokens, sent_before=turn.elapsed)
            except PasswordlessError as error:
                failure = error.with_traceback(None)
            else:
                return await self._keep(record, renewed, token)
        if is_unspent(failure) and not self._refreshes.is_doubtful(tokens):
            await self._release(record, token, refused=isinstance(failure, InvalidRefreshToken))
        else:
            # If the report is lost, the lease expires.
            with suppress(StoreUnavailable):
                await self._store.hold_refresh(record.place, login=record.login, token=token, seconds=0.0)
        raise failure

    @asynccontextmanager
    async def _held(self, record: Record, token: str) -> AsyncIterator[None]:
        """Renew a lease during its refresh."""
        holding = asyncio.create_task(self._hold(record, token))
        try:
            yield
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)

    async def _hold(self, record: Record, token: str) -> None:
        while True:
            await asyncio.sleep(_LEASE_SECONDS / _RENEWALS_PER_LEASE)
            with suppress(StoreUnavailable):
                await self._store.hold_refresh(record.place, login=record.login, token=token, seconds=_LEASE_SECONDS)

    async def _keep(self, record: Record, renewed: TokenSet, token: str) -> StoredSession:
        sealed = self._records.seal_refreshed(record, renewed)
        shared = self._records.seal_shared(record.login, renewed)
        end = await patiently(lambda: self._end(record, renewed, token, sealed=sealed, shared=shared))
        if isinstance(end, RefreshEnd):
            # Do not revoke the session's previous tokens: the call that closes the session decides about them.
            if end is RefreshEnd.VOID and renewed.refresh_token != record.session.tokens.refresh_token:
                # If the service is unreachable, they stay valid, but no caller gets them.
                with suppress(PasswordlessError):
                    await self._refreshes.revoke(renewed)
            raise InvalidSession("the session was closed while it was refreshed")
        return end

    async def _end(
        self, record: Record, renewed: TokenSet, token: str, *, sealed: str, shared: str
    ) -> StoredSession | RefreshEnd:
        """Report new tokens, and return the session; if it was closed, return what the store did with the tokens."""
        end = await self._store.end_refresh(
            record.place,
            login=record.login,
            token=token,
            texts=(record.sealed, sealed),
            replacement=_name_of(renewed),
            tokens=shared,
            seconds=self._records.idle,
            remember=self._records.seconds_to_end(record),
        )
        if end is RefreshEnd.KEPT:
            return attrs.evolve(record.session, tokens=renewed)
        late = end in {RefreshEnd.PASSED, RefreshEnd.CHANGED}
        return await self._keep_late(record, renewed) if late else end

    async def _keep_late(self, record: Record, renewed: TokenSet) -> StoredSession | RefreshEnd:
        """Return the tokens that others have refreshed since the lease passed to them; if there are none, store these.

        Other changes to the session meanwhile, such as to its data, are kept.

        Nothing is revoked: revoking any token of the login would end it at the service.
        """
        while True:
            try:
                now = await self._records.find(record.session.id)
            except InvalidSession:
                return RefreshEnd.PASSED
            if now.is_refreshed(record):
                return now.session
            if await self._store.reseal(now.place, now.sealed, self._records.seal_refreshed(now, renewed)):
                return attrs.evolve(now.session, tokens=renewed)

    async def _release(self, record: Record, token: str, *, refused: bool) -> None:
        """Report that nothing was spent, or that the service has refused the refresh token."""
        try:
            await self._store.release_refresh(record.place, login=record.login, token=token, refused=refused)
        except StoreUnavailable:
            self._release_in_background(record, token, refused=refused)

    def _release_in_background(self, record: Record, token: str, *, refused: bool = False) -> None:
        task = asyncio.create_task(self._release_patiently(record, token, refused=refused))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def _release_patiently(self, record: Record, token: str, *, refused: bool) -> None:
        with suppress(StoreUnavailable):
            await patiently(
                lambda: self._store.release_refresh(record.place, login=record.login, token=token, refused=refused)
            )

    async def aclose(self, *, grace: float) -> None:
        """Cancel refreshes after ``grace`` seconds, and report their outcomes to the store, which takes a moment."""
        await asyncio.gather(*(each.aclose(grace=grace + _CLOSING_SECONDS) for each in (self._flights, self._renewals)))
        reports = set(self._reports)
        if reports:
            await asyncio.wait(reports, timeout=_CLOSING_SECONDS)
        for report in reports:
            report.cancel()
        await asyncio.gather(*reports, return_exceptions=True)


def _require_no_refusal(lease: RefreshLease) -> None:
    """Raise the error for a session that must not be refreshed."""
    if lease is RefreshLease.GONE:
        raise unknown_session()
    if lease is RefreshLease.DOUBTFUL:
        raise OutcomeUnknown("the refresh token was sent before and no answer came: it was not sent again")
    if lease is RefreshLease.REFUSED:
        raise InvalidRefreshToken(
            status=403,
            error="invalid_grant",
            error_description="the refresh token was refused before: nothing was sent",
        )


def ends_soon(tokens: TokenSet) -> bool:
    """Return whether an access token ends too soon to be returned as a new one."""
    return tokens.expires_at is not None and tokens.expires_at - _clock.now() <= _SOON_SECONDS


def _name_of(tokens: TokenSet) -> str:
    return hashed(tokens.refresh_token or "")


async def patiently(ask: Callable[[], Awaitable[T]], *, seconds: float = _PATIENCE_SECONDS) -> T:
    """Call the store until it answers; raises ``StoreUnavailable`` after ``seconds``."""
    wait, ends = _FIRST_POLL_SECONDS, _clock.monotonic() + seconds
    while True:
        try:
            return await ask()
        except StoreUnavailable:
            if _clock.monotonic() + wait > ends:
                raise
        await asyncio.sleep(wait)
        wait = min(wait * 2, _MAX_POLL_SECONDS)
