"""Sessions that outlive a process: opened on one machine, read and refreshed on any, closed everywhere.

The promises: the identifier alone opens a session, and the store holds nothing that does; a session is refreshed by one
process at a time, and a refresh token whose fate nobody knows is not sent again; what was acknowledged is in the store.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async import _check, _clock
from passwordless_async._secret import Secret, always_printable, conceal, redacted
from passwordless_async.errors import (
    BrokenSeal,
    InvalidSession,
    OutcomeUnknown,
    PasswordlessError,
    StoreUnavailable,
    UsageError,
)
from passwordless_async.quota import SingleFlight
from passwordless_async.stores import Begin, Place
from passwordless_async.stores.codec import decode, encode
from passwordless_async.tokens import TokenSet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async.quota import Flight
    from passwordless_async.stores import SessionStore

_TYPE = "session+jwe"
_IDENTIFIER = 43  # characters: 256 bits in base64url
_REFRESH = 20.0  # seconds that a refresh may take, its tries included, before another process asks what became of it
_LOOK_AGAIN = 0.05  # seconds between two looks at a refresh that another process makes
_LOOK_AGAIN_AT_MOST = 0.5  # seconds to which that grows


@attrs.frozen(kw_only=True)
class Lifetimes:
    """How long sessions last.

    Args:
        idle: Seconds after its last use at which a session ends.
        absolute: Seconds after its opening at which it ends, however much it is used.

    Raises:
        UsageError: One is not above 0.
    """

    idle: float = attrs.field(default=7 * 86_400.0, validator=lambda _i, a, value: _check.seconds(a.name, value))
    absolute: float = attrs.field(default=30 * 86_400.0, validator=lambda _i, a, value: _check.seconds(a.name, value))


@always_printable
@attrs.frozen
class StoredSession:
    """One session.

    Attributes:
        id: Its identifier, which opens it: for the user's cookie, and for nobody else.
        tokens: The tokens.
        user: Whose it is.
        opened_at: When it was opened: seconds since the UNIX epoch.
    """

    id: Secret = attrs.field(repr=redacted)
    tokens: TokenSet
    user: str = attrs.field(repr=redacted)
    opened_at: float


@attrs.frozen
class _Found:
    session: StoredSession
    place: Place
    sealed: str = attrs.field(repr=redacted)


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
        self._bound_to = {"typ": _TYPE, "iss": issuer, "client_id": client_id}
        self._names = f"{issuer} {client_id}"
        self._store = store
        self._keys = store.keys
        self._lifetimes = lifetimes
        self._refresh = refresh
        self._revoke = revoke
        self._refreshes: SingleFlight[str, StoredSession] = SingleFlight()

    async def open(self, tokens: TokenSet, *, user: str | None = None) -> Secret:
        """Keep tokens as a session.

        Args:
            tokens: The tokens.
            user: Whose they are; the ``sub`` of their ID token unless given.

        Returns:
            The session's identifier: 256 random bits and 8 characters that say where it lies.

        Raises:
            UsageError: The tokens have no ID token, and no user is given.
        """
        user = _user_of(tokens, user)
        pseudonym = self._pseudonym(user)
        shard = self._keys.shard(pseudonym)
        identifier = Secret(secrets.token_urlsafe(32) + shard)
        place = Place(shard, _hash(identifier), pseudonym)
        sealed = self._seal(place, tokens, user=user, opened_at=_clock.now())
        await self._store.open(
            place, sealed, seconds=self._seconds(_clock.now()), user_seconds=self._lifetimes.absolute
        )
        return identifier

    async def get(self, identifier: str) -> StoredSession:
        """Return a session, whose idle time begins anew.

        Raises:
            InvalidSession: It is unknown, has ended or was closed.
            BrokenSeal: What is kept was changed, moved, or sealed with a key that is not on the ring.
        """
        secret = identifier = _concealed(identifier)
        return (await self._found(secret)).session

    async def refresh(self, identifier: str) -> StoredSession:
        """Refresh a session's tokens; whoever asks at the same time, in whatever process, has those of one refresh.

        Raises:
            InvalidSession: It is unknown, has ended or was closed.
            InvalidRefreshToken: It is over at the service.
            OutcomeUnknown: The refresh token was sent, here or by a process that is gone, and nobody knows what became
                of it: it is not sent again.
            PasswordlessError: As ``client.refresh``.
        """
        secret = identifier = _concealed(identifier)
        return await self._refreshes.run(_hash(secret), lambda flight: self._refreshed(secret, flight))

    async def close(self, identifier: str, *, revoke: bool = True) -> None:
        """End a session; one that has ended already is none to end.

        Args:
            identifier: The session.
            revoke: Whether the refresh token is revoked at the service as well: the logout.
        """
        secret = identifier = _concealed(identifier)
        try:
            found = await self._found(secret)
        except (InvalidSession, BrokenSeal):
            return
        await self._store.close(found.place)
        if revoke and found.session.tokens.refresh_token is not None:
            await self._revoke(found.session.tokens)

    async def close_all(self, user: str) -> int:
        """End all sessions of a user, without revoking their tokens at the service; returns how many there were."""
        places = await self._places(user)
        return sum([await self._store.close(place) for place in places])

    async def of_user(self, user: str) -> tuple[str, ...]:
        """Return names for a user's sessions, for operators: none opens one."""
        return tuple(place.session for place in await self._places(user))

    async def _places(self, user: str) -> list[Place]:
        pseudonym = self._pseudonym(_check.bounded("user", user, at_most=_check.MAX_AUDIENCE))
        shard = self._keys.shard(pseudonym)
        return [Place(shard, session, pseudonym) for session in await self._store.sessions_of(shard, pseudonym)]

    def _pseudonym(self, user: str) -> str:
        # Of one application at one tenant: another one's user of the same name is another user.
        return self._keys.pseudonym(f"session {self._names} {user}")

    async def _found(self, identifier: Secret) -> _Found:
        if not _IDENTIFIER < len(identifier) <= 2 * _IDENTIFIER or not identifier.isascii():
            raise InvalidSession("the session is unknown, or has ended")
        session, shard = _hash(identifier), str(identifier[_IDENTIFIER:])
        sealed = await self._store.read(shard, session, seconds=self._lifetimes.idle)
        if sealed is None:
            raise InvalidSession("the session is unknown, or has ended")
        opened = self._keys.open(sealed, {**self._bound_to, "sid": session})
        content = decode(opened.content)
        if content is None:
            raise BrokenSeal("form")
        tokens, more = content
        place = Place(shard, session, opened.bound_to.get("usr", ""))
        if tokens.key.thumbprint != opened.bound_to.get("jkt") or self._pseudonym(more["user"]) != place.user:
            raise BrokenSeal("place")
        if more["opened_at"] + self._lifetimes.absolute <= _clock.now():
            await self._store.close(place)
            raise InvalidSession("the session is unknown, or has ended")
        if opened.stale:
            await self._store.reseal(place, sealed, self._seal(place, tokens, **more))
        return _Found(StoredSession(identifier, tokens, more["user"], more["opened_at"]), place, sealed)

    async def _refreshed(self, identifier: Secret, flight: Flight[StoredSession]) -> StoredSession:
        found = await self._found(identifier)
        token, wait = secrets.token_urlsafe(16), _LOOK_AGAIN
        spends = _hash(found.session.tokens.refresh_token or "")
        while True:
            begun = await self._store.begin_refresh(found.place, spends=spends, token=token, seconds=_REFRESH)
            if begun is not Begin.BUSY:
                break
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LOOK_AGAIN_AT_MOST)
            newer = await self._found(identifier)
            if newer.session.tokens.refresh_token != found.session.tokens.refresh_token:
                return newer.session
        if begun is Begin.GONE:
            raise InvalidSession("the session is unknown, or has ended")
        if begun is Begin.DOUBTFUL:
            raise OutcomeUnknown("the refresh token left before and no answer came: it was not sent again")
        # From here on it ends though nobody waits for it any more: others ask what became of it.
        flight.left = True
        return await self._spend(found, token)

    async def _spend(self, found: _Found, token: str) -> StoredSession:
        session = found.session
        try:
            renewed = await self._refresh(session.tokens)
        except PasswordlessError as error:
            failure = error.with_traceback(None)
        else:
            return await self._keep(found, renewed, token)
        if isinstance(failure, OutcomeUnknown):
            await self._store.leave_refresh(found.place, token=token)
        else:
            await self._store.end_refresh(found.place, token=token, sealed=None, seconds=self._lifetimes.idle)
        raise failure

    async def _keep(self, found: _Found, renewed: TokenSet, token: str) -> StoredSession:
        session = found.session
        sealed = self._seal(found.place, renewed, user=session.user, opened_at=session.opened_at)
        seconds = self._seconds(session.opened_at)
        kept, wait = False, _LOOK_AGAIN
        ends = _clock.monotonic() + _REFRESH
        while True:
            try:
                kept = await self._store.end_refresh(found.place, token=token, sealed=sealed, seconds=seconds)
                break
            except StoreUnavailable:
                # The old token is spent: what came of it is worth some patience.
                if _clock.monotonic() + wait > ends:
                    raise
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LOOK_AGAIN_AT_MOST)
        if not kept:
            # It was closed meanwhile: the tokens must not outlive it.
            await self._revoke(renewed)
            raise InvalidSession("the session was closed while it was refreshed")
        return attrs.evolve(session, tokens=renewed)

    def _seconds(self, opened_at: float) -> float:
        return max(min(self._lifetimes.idle, opened_at + self._lifetimes.absolute - _clock.now()), 0.001)

    def _seal(self, place: Place, tokens: TokenSet, **more: Any) -> str:  # noqa: ANN401 - what JSON holds
        names = {"sid": place.session, "usr": place.user, "jkt": tokens.key.thumbprint}
        return self._keys.seal(encode(tokens, **more), {**self._bound_to, **names})

    async def aclose(self, *, grace: float) -> None:
        """End refreshes under way, after so many seconds."""
        await self._refreshes.aclose(grace=grace)


def _concealed(identifier: object) -> Secret:
    """Return an identifier; what is none opens nothing."""
    concealed = conceal(identifier)
    return concealed if isinstance(concealed, Secret) else Secret("")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:43]


def _user_of(tokens: TokenSet, user: str | None) -> str:
    if not isinstance(tokens, TokenSet):
        raise UsageError("tokens", f"must be a TokenSet, not {type(tokens).__name__}")
    if user is None and tokens.claims is not None:
        user = tokens.claims.get("sub")
    if user is None:
        raise UsageError("user", "must be given: the tokens have no ID token that names one")
    return _check.bounded("user", user, at_most=_check.MAX_AUDIENCE)
