"""The sessions of a client: opening, reading, refreshing, listing and closing them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import Secret, conceal
from passwordless_async.auth0.tokens import TokenSet
from passwordless_async.client.sessions.records import SessionRecords, place_of
from passwordless_async.client.sessions.refreshing import SessionRefreshes
from passwordless_async.client.traffic import SingleFlight
from passwordless_async.errors import BrokenSeal, InvalidSession, StoreUnavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from passwordless_async.client.sessions.values import Lifetimes, SessionInfo, StoredSession
    from passwordless_async.client.traffic import Departure
    from passwordless_async.stores import SessionStore

T = TypeVar("T")


class Sessions:
    """The sessions of a client; a client has one, as ``client.sessions``.

    Every method raises ``StoreUnavailable`` where the store cannot be reached.

    Args:
        issuer: The tenant.
        client_id: The application.
        store: Where sessions are kept.
        lifetimes: How long they last.
        refresh: Refreshes tokens.
        revoke: Revokes tokens.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        *,
        store: SessionStore,
        lifetimes: Lifetimes,
        refresh: Callable[[TokenSet], Awaitable[TokenSet]],
        revoke: Callable[[TokenSet], Awaitable[None]],
    ) -> None:
        self._store = store
        self._records = SessionRecords(issuer, client_id, store=store, lifetimes=lifetimes)
        self._revoke = revoke
        self._refreshes = SessionRefreshes(self._records, refresh=refresh, revoke=revoke)
        self._closings: SingleFlight[tuple[Secret, bool], bool] = SingleFlight()

    async def open(self, tokens: TokenSet, *, user: str | None = None) -> Secret:
        """Keep tokens as a session.

        Args:
            tokens: The tokens.
            user: Whose they are; the ``sub`` of their ID token unless given.

        Returns:
            The session's identifier: 256 random bits and 8 characters that say where it lies.

        Raises:
            UsageError: The tokens have no ID token, and no user is given.
            StoreError: A store in memory is full.
        """
        return await self._records.open(tokens, user=_user_of(tokens, user))

    async def get(self, identifier: str) -> StoredSession:
        """Return a session, whose idle time begins anew.

        Raises:
            InvalidSession: It is unknown, has ended or was closed.
            BrokenSeal: What is kept was changed, moved, or sealed with a key that is not on the ring.
        """
        secret = identifier = _concealed(identifier)
        return (await self._records.find(secret)).session

    async def refresh(self, identifier: str) -> StoredSession:
        """Refresh a session's tokens; whoever asks at the same time, in whatever process, has those of one refresh.

        Raises:
            InvalidSession: It is unknown, has ended or was closed.
            BrokenSeal: As for :meth:`get`.
            InvalidRefreshToken: It is over at the service.
            OutcomeUnknown: The refresh token was sent, here or by a process that is gone, and nobody knows what became
                of it: it is not sent again.
            StoreUnavailable: The store cannot be reached: where that was before the refresh token was sent, the next
                call sends it; where new tokens could not be kept for 20 seconds they are lost, and the next call ends
                with ``OutcomeUnknown``.
            PasswordlessError: As ``client.refresh``. After an answer that must not be trusted the refresh token counts
                as spent, and is not sent again.
        """
        secret = identifier = _concealed(identifier)
        return await self._refreshes.run(secret)

    async def close(self, identifier: str, *, revoke: bool = True) -> None:
        """End a session; one that has ended already is none to end.

        A caller that is cancelled after the session was closed does not keep its tokens from being revoked.

        Args:
            identifier: The session.
            revoke: Whether the refresh token is revoked at the service as well: the logout. A session that does not
                open, because its key is not on the ring or it was changed, is closed without.

        Raises:
            PasswordlessError: As ``client.revoke``; the session is closed.
        """
        secret = identifier = _concealed(identifier)
        await self._closings.run((secret, revoke), lambda departure: self._close(secret, departure, revoke=revoke))

    async def _close(self, identifier: Secret, departure: Departure, *, revoke: bool) -> bool:
        try:
            found = await self._records.find(identifier)
        except InvalidSession:
            return True
        except BrokenSeal:
            found = None
        departure.on_wire = True
        await self._store.close(place_of(identifier) if found is None else found.place)
        if revoke and found is not None and found.session.tokens.refresh_token is not None:
            await self._revoke(found.session.tokens)
        return True

    async def close_all(self, user: str) -> int:
        """End all sessions of a user, without revoking their tokens at the service.

        Returns:
            How many there were. One that is being opened at this moment may stay.
        """
        return sum(await _all(self._store.close(place) for place in await self._records.places(user)))

    async def close_named(self, user: str, name: str) -> bool:
        """End one session of a user by its public name, without revoking its tokens at the service.

        Args:
            user: Whose it is.
            name: Its name, as :meth:`list` gives it.

        Returns:
            Whether there was one.
        """
        # Only what is on the user's list: a name from outside must not lead to another's.
        places = {place.session: place for place in await self._records.places(user)}
        return name in places and await self._store.close(places[name])

    async def list(self, user: str) -> tuple[SessionInfo, ...]:
        """Return a user's sessions, for operators and for the user; none is used by that.

        One that does not open, because its key is not on the ring or it was changed, is in the list without the times
        that are sealed in it.

        Returns:
            What may be known of each, the oldest first, and those that do not open last.
        """
        places = await self._records.places(user)
        known = await _all(self._records.peek(place) for place in places)
        ended = [place for place, info in zip(places, known, strict=True) if info is None]
        # What is left over in the user's list does no harm if it stays for once.
        with suppress(StoreUnavailable):
            await _all(self._store.close(place) for place in ended)
        return tuple(sorted((info for info in known if info is not None), key=_age))

    async def aclose(self, *, grace: float) -> None:
        """End what is under way, after so many seconds."""
        await asyncio.gather(self._refreshes.aclose(grace=grace), self._closings.aclose(grace=grace))


async def _all(questions: Iterable[Awaitable[T]]) -> tuple[T, ...]:
    """Ask the store several things at once, which go in one batch; raises what one raises when all have ended."""
    answers = await asyncio.gather(*questions, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return tuple(answer for answer in answers if not isinstance(answer, BaseException))


def _age(info: SessionInfo) -> tuple[bool, float, str]:
    return info.opened_at is None, info.opened_at or 0.0, info.name


def _concealed(identifier: object) -> Secret:
    """Return an identifier; what is none opens nothing."""
    concealed = conceal(identifier)
    return concealed if isinstance(concealed, Secret) else Secret("")


def _user_of(tokens: TokenSet, user: str | None) -> str:
    if not isinstance(tokens, TokenSet):
        raise UsageError("tokens", f"must be a TokenSet, not {type(tokens).__name__}")
    if user is None and tokens.claims is not None:
        user = tokens.claims.get("sub")
    if user is None:
        raise UsageError("user", "must be given: the tokens have no ID token that names one")
    return _check.bounded("user", user, at_most=_check.MAX_AUDIENCE)
