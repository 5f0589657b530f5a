"""Sessions as they are in the store: sealed, each in its place, and gone when their time is over."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import base64url as _base64url
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret, SecretDict, redacted
from passwordless_async.client.sessions.encoding import decode, encode
from passwordless_async.client.sessions.values import SessionInfo, StoredSession
from passwordless_async.errors import BrokenSeal, InvalidSession
from passwordless_async.stores import Place

if TYPE_CHECKING:
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.sessions.values import Lifetimes
    from passwordless_async.stores import SessionStore

_TYPE = "session+jwe"
_IDENTIFIER = 43  # characters: 256 bits in base64url
_NAME = 21  # bytes of a hash: 168 bits, which are 28 characters


@attrs.frozen
class Record:
    """A session as it was read.

    Attributes:
        session: The session.
        place: Where it is.
        sealed: Its text in the store.
        more: What is sealed beside the tokens: ``user``, ``opened_at`` and ``ends_at``.
    """

    session: StoredSession
    place: Place
    sealed: str = attrs.field(repr=redacted)
    more: SecretDict

    def is_refreshed(self, before: Record) -> bool:
        """Tell whether it has other tokens than before."""
        now, then = self.session.tokens, before.session.tokens
        # Without rotation the refresh token stays the same.
        return (now.refresh_token, now.access_token) != (then.refresh_token, then.access_token)


@attrs.frozen
class _Opened:
    tokens: TokenSet
    place: Place
    more: SecretDict
    stale: bool


class SessionRecords:
    """The sessions of one application at one tenant.

    Args:
        issuer: The tenant.
        client_id: The application.
        store: Where sessions are kept.
        lifetimes: How long they last.
    """

    def __init__(self, issuer: str, client_id: str, *, store: SessionStore, lifetimes: Lifetimes) -> None:
        self._bound_to = {"typ": _TYPE, "iss": issuer, "client_id": client_id}
        self._known = {"issuer": issuer, "client_id": client_id, "token_type": "DPoP"}
        self._names = f"{issuer} {client_id}"
        self._lifetimes = lifetimes
        self.store = store
        self.keys = store.keys

    async def open(self, tokens: TokenSet, *, user: str) -> Secret:
        """Keep tokens as a new session, and return its identifier."""
        pseudonym = self._pseudonym(user)
        shard = self.keys.shard(pseudonym)
        identifier = Secret(secrets.token_urlsafe(32) + shard)
        place = Place(shard, hashed(identifier), pseudonym)
        now, idle, absolute = _clock.now(), self._lifetimes.idle, self._lifetimes.absolute
        sealed = self.seal(place, tokens, user=user, opened_at=now, ends_at=now + absolute)
        # The user's list outlasts each of the sessions in it, by as much as a machine's clock may be wrong.
        await self.store.open(place, sealed, seconds=min(idle, absolute), user_seconds=absolute + idle)
        return identifier

    async def find(self, identifier: Secret) -> Record:
        """Return a session, whose idle time begins anew.

        Raises:
            InvalidSession: It is unknown, has ended or was closed.
            BrokenSeal: It does not open.
        """
        place = place_of(identifier)
        sealed = await self.store.read(place, seconds=self._lifetimes.idle)
        if sealed is None:
            raise unknown()
        opened = self._open(place, sealed)
        place = opened.place
        if self._ends_at(opened.more) <= _clock.now():
            await self.store.close(place)
            raise unknown()
        if opened.stale:
            again = self.seal(place, opened.tokens, **opened.more)
            if await self.store.reseal(place, sealed, again):
                sealed = again
        session = StoredSession(identifier, opened.tokens, opened.more["user"], opened.more["opened_at"])
        return Record(session, place, sealed, opened.more)

    def seal(self, place: Place, tokens: TokenSet, **more: Any) -> str:  # noqa: ANN401 - what JSON holds
        """Return the text that a session is kept as."""
        jkt = tokens.key.thumbprint
        header = {**self._bound_to, "sid": place.session, "usr": place.user, "jkt": jkt}
        return self.keys.seal(encode(tokens, {**self._known, "jkt": jkt}, **more), header)

    def seconds(self, found: Record) -> float:
        """Return for how long a session is kept from now on unless it is used."""
        return max(min(self._lifetimes.idle, self._ends_at(found.more) - _clock.now()), 0.001)

    def seconds_to_end(self, found: Record) -> float:
        """Return for how long what is known of a session may matter, whatever a machine's clock says."""
        return max(self._ends_at(found.more) - _clock.now(), 0.0) + self._lifetimes.idle

    async def places(self, user: str) -> tuple[Place, ...]:
        """Return where a user's sessions are; some may have ended."""
        pseudonym = self._pseudonym(_check.bounded("user", user, at_most=_check.MAX_AUDIENCE))
        shard = self.keys.shard(pseudonym)
        return tuple(Place(shard, session, pseudonym) for session in await self.store.sessions_of(pseudonym))

    async def peek(self, place: Place) -> SessionInfo | None:
        """Return what is known of a session, without using it; None where it has ended."""
        seen = await self.store.peek(place)
        if seen is None:
            return None
        sealed, seconds = seen
        now = _clock.now()
        try:
            more = self._open(place, sealed).more
        except BrokenSeal:
            return SessionInfo(place.session, None, now + seconds, None)
        ends_at = self._ends_at(more)
        if ends_at <= now:
            return None
        return SessionInfo(place.session, more["opened_at"], min(now + seconds, ends_at), ends_at)

    def _open(self, place: Place, sealed: str) -> _Opened:
        opened = self.keys.open(sealed, {**self._bound_to, "sid": place.session})
        # Header and content were sealed together: user and key are the header's.
        content = decode(opened.content, {**self._known, "jkt": opened.bound_to.get("jkt", "")})
        if content is None:
            raise BrokenSeal("form")
        place = Place(place.shard, place.session, opened.bound_to.get("usr", ""))
        return _Opened(content[0], place, SecretDict(content[1]), opened.stale)

    def _ends_at(self, more: SecretDict) -> float:
        # What was set at the opening, for the user's list was made to last as long; a shorter life counts at once.
        return float(min(more["ends_at"], more["opened_at"] + self._lifetimes.absolute))

    def _pseudonym(self, user: str) -> str:
        # Of one application at one tenant: another one's user of the same name is another user.
        return self.keys.pseudonym(f"session {self._names} {user}")


def place_of(identifier: Secret) -> Place:
    """Return where a session is by its identifier; whose it is, that does not tell.

    Raises:
        InvalidSession: It is no identifier.
    """
    if not _IDENTIFIER < len(identifier) <= 2 * _IDENTIFIER or not identifier.isascii():
        raise unknown()
    return Place(str(identifier[_IDENTIFIER:]), hashed(identifier), "")


def hashed(secret: str) -> str:
    """Return a name for a secret that tells nothing of it."""
    return _base64url.encode_text(hashlib.sha256(secret.encode()).digest()[:_NAME])


def unknown() -> InvalidSession:
    """Return what those are told who come with what opens nothing."""
    return InvalidSession("the session is unknown, or has ended")
