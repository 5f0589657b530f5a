"""The stored sessions of a client: opening, reading, refreshing, listing and closing them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import Secret, conceal
from passwordless_async.auth0.tokens import TokenSet
from passwordless_async.client.sessions.records import SessionRecords, place_of
from passwordless_async.client.sessions.refreshing import SessionRefreshes
from passwordless_async.client.traffic.single_flight import Departure, SingleFlight
from passwordless_async.errors import BrokenSeal, InvalidSession, StoreUnavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from passwordless_async.client.refreshes import Refreshes
    from passwordless_async.client.sessions.values import Lifetimes, SessionInfo, StoredSession
    from passwordless_async.stores import SessionStore

T = TypeVar("T")


class Sessions:
    """The stored sessions of a client; a client has one, as ``client.sessions``.

    Every method raises ``StoreUnavailable`` if the store is unreachable.
    """

    def __init__(
        self, issuer: str, client_id: str, *, store: SessionStore, lifetimes: Lifetimes, refreshes: Refreshes
    ) -> None:
        self._store = store
        self._records = SessionRecords(issuer, client_id, store=store, lifetimes=lifetimes)
        self._refreshes = refreshes
        self._session_refreshes = SessionRefreshes(self._records, refreshes)
        self._closings: SingleFlight[tuple[Secret, bool], bool] = SingleFlight()

    async def open(self, tokens: TokenSet, *, user: str | None = None) -> Secret:
        """Keep tokens as a session.

        Args:
            tokens: The tokens.
            user: The user; the ``sub`` of the ID token unless given.

        Returns:
            The session's identifier: 256 random bits, and 8 characters that say where it is kept.

        Raises:
            UsageError: The tokens have no ID token, and no user is given.
            StoreError: A store in memory is full.
        """
        return await self._records.open(tokens, user=_user_of(tokens, user))

    async def get(self, identifier: str) -> StoredSession:
        """Return a session, and restart its idle time.

        Raises:
            InvalidSession: It is unknown, has ended or was closed.
            BrokenSeal: What is kept was changed, moved, or sealed with a key that is not on the ring.
        """
        identifier = _concealed(identifier)
        return (await self._records.find(identifier)).session

    async def refresh(self, identifier: str) -> StoredSession:
        """Refresh a session's tokens. Concurrent callers, in any process, share one refresh.

        Raises:
            InvalidSession: The session is unknown, has ended or was closed.
            BrokenSeal: As for :meth:`get`.
            InvalidRefreshToken: The service no longer accepts the refresh token.
            OutcomeUnknown: The refresh token was sent before, by this process or one that has died, and its outcome is
                unknown. It is not sent again.
            StoreUnavailable: The store is unreachable. If nothing was sent yet, the next call sends the refresh token.
                If new tokens could not be kept for 20 seconds they are lost, and the next call raises
                ``OutcomeUnknown``.
            PasswordlessError: As ``client.refresh``. After an answer that fails a check the refresh token counts as
                spent, and is not sent again.
        """
        identifier = _concealed(identifier)
        return await self._session_refreshes.refresh(identifier)

    async def close(self, identifier: str, *, revoke: bool = True) -> None:
        """End a session; does nothing if it has ended already.

        If the caller is cancelled after the session was closed, its tokens are still revoked.

        Args:
            identifier: The session.
            revoke: Whether to revoke the refresh token at the service as well: the logout. A session that cannot be
                unsealed, because its key is not on the ring or it was changed, is closed and not revoked.

        Raises:
            PasswordlessError: As ``client.revoke``; the session is closed.
        """
        identifier = concealed = _concealed(identifier)
        await self._closings.run(
            (concealed, revoke), lambda departure: self._close(concealed, departure, revoke=revoke)
        )

    async def _close(self, identifier: Secret, departure: Departure, *, revoke: bool) -> bool:
        """End a session. Returns True: a flight takes None for no result."""
        try:
            record = await self._records.find(identifier)
        except InvalidSession:
            return True
        except BrokenSeal:
            record = None
        departure.on_wire = True
        await self._store.close(place_of(identifier) if record is None else record.place)
        if revoke and record is not None and record.session.tokens.refresh_token is not None:
            await self._refreshes.revoke(record.session.tokens)
        return True

    async def close_all(self, user: str) -> int:
        """End all sessions of a user, without revoking their tokens at the service.

        Returns:
            How many there were. A session that is opened at the same moment may stay.
        """
        return sum(await _all(self._store.close(place) for place in await self._records.places(user)))

    async def close_named(self, user: str, name: str) -> bool:
        """End one session of a user by its public name, as :meth:`list` returns it; False if there is none.

        Its tokens are not revoked at the service.
        """
        # Only from the user's own list: a name from outside must not end another user's session.
        places = {place.session: place for place in await self._records.places(user)}
        return name in places and await self._store.close(places[name])

    async def list(self, user: str) -> tuple[SessionInfo, ...]:
        """Return a user's sessions, for operators and for the user. It does not count as use.

        A session that cannot be unsealed, because its key is not on the ring or it was changed, is listed without the
        times that are sealed in it.

        Returns:
            What may be known of each: the oldest first, and those that cannot be unsealed last.
        """
        places = await self._records.places(user)
        known = await _all(self._records.peek(place) for place in places)
        ended = [place for place, info in zip(places, known, strict=True) if info is None]
        # Names of ended sessions do no harm if they stay in the list this time.
        with suppress(StoreUnavailable):
            await _all(self._store.close(place) for place in ended)
        return tuple(sorted((info for info in known if info is not None), key=_age))

    async def aclose(self, *, grace: float) -> None:
        """End refreshes and closings after ``grace`` seconds."""
        await asyncio.gather(self._session_refreshes.aclose(grace=grace), self._closings.aclose(grace=grace))


async def _all(questions: Iterable[Awaitable[T]]) -> tuple[T, ...]:
    """Ask the store several things in one batch. Raises the first error once all have ended."""
    answers = await asyncio.gather(*questions, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return tuple(answer for answer in answers if not isinstance(answer, BaseException))


def _age(info: SessionInfo) -> tuple[bool, float, str]:
    return info.opened_at is None, info.opened_at or 0.0, info.name


def _concealed(identifier: object) -> Secret:
    """Return an identifier concealed; for anything but text, an empty one, which opens no session."""
    concealed = conceal(identifier)
    return concealed if isinstance(concealed, Secret) else Secret("")


def _user_of(tokens: TokenSet, user: str | None) -> str:
    _check.instance("tokens", tokens, TokenSet, named="a TokenSet")
    if user is None and tokens.claims is not None:
        user = tokens.claims.get("sub")
    if user is None:
        raise UsageError("user", "must be given: the tokens have no ID token that names one")
    return _check.bounded("user", user, at_most=_check.MAX_AUDIENCE)
