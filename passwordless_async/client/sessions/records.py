"""Stored sessions: sealed for their place, and deleted when they expire.

Invariants:

- The identifier is 256 random bits. The store has only its hash, so a copy of the store opens no session.
- Place, tenant, application, user and key, if there is one, are in the sealed header: a moved session cannot be
  unsealed.
- The end is set at the opening and sealed with the session. A shorter ``absolute`` applies at once, a longer one never.
- No session outlasts the ``session_expiry`` of its ID tokens.
- The ``sid`` of an ID token leads to the user: each session has a sealed entry for it, which no identifier opens. The
  entry is deleted when the session is ended. If the session expires, it stays for the session's maximum lifetime.
- Unsealed tokens are noted as those of their session, so that a refresh of them goes through the session.
"""

from __future__ import annotations

import asyncio
import copy
import math
import secrets
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret, SecretBytes, SecretDict, redacted
from passwordless_async.auth0.clocks import is_time
from passwordless_async.auth0.tokens import require_key
from passwordless_async.client.sessions.cache import SessionCache, Unsealed
from passwordless_async.client.sessions.encoding import decode, encode
from passwordless_async.client.sessions.values import Lifetimes, SessionInfo, StoredSession, hashed
from passwordless_async.errors import BrokenSeal, InvalidSession, StoreUnavailable
from passwordless_async.stores import Place, SessionStore

if TYPE_CHECKING:
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.refreshes import Refreshes
    from passwordless_async.stores import keyring
    from passwordless_async.stores.keyring import KeyRing

_TYPE = "session+jwe"
_SHARED_TYPE = "login+jwe"  # the tokens of a login, for all its sessions
_SID_TYPE = "sid+jwe"  # the user of a session at the provider
_SECRET_CHARACTERS = 43  # 256 bits in base64url; the shard follows
_SHARD = slice(_SECRET_CHARACTERS, None)  # which is no secret
_MAX_SID = 512  # characters; longer ones, which no provider has, lead to no session
_MIN_SECONDS = 0.001  # that a session which has just ended is still kept: stores take no lifetime of 0


@attrs.frozen
class Record:
    """A session as it was read."""

    session: StoredSession
    place: Place
    sealed: str = attrs.field(repr=redacted)  # its text in the store
    # The values sealed with the tokens: user, opened_at, ends_at, sid if it leads here, and login after a refresh.
    members: SecretDict

    @property
    def login(self) -> str:
        """The name of the refresh token that the session was opened with: sessions of one login share a refresh."""
        login: str = self.members.get("login") or _login(self.place, self.session.tokens)
        return login

    def is_refreshed(self, before: Record) -> bool:
        """Return whether it has other tokens than before."""
        return not is_same(self.session.tokens, before.session.tokens)


@attrs.frozen(kw_only=True)
class Wanted:
    """How a session is to be opened.

    Attributes:
        user: The user; None: by the ID token.
        data: The application's own.
        lifetime: Seconds until it ends; None: as long as sessions last.
        by_sid: Whether the ``sid`` of its ID token leads to it.
    """

    user: str | None = attrs.field(repr=redacted)
    data: dict[str, object] = attrs.field(repr=redacted)
    lifetime: float | None = None
    by_sid: bool = False


class SessionRecords:
    """The sessions of one application at one tenant."""

    def __init__(
        self, issuer: str, client_id: str, *, store: SessionStore, lifetimes: Lifetimes, refreshes: Refreshes
    ) -> None:
        self._bound_to = {"typ": _TYPE, "iss": issuer, "client_id": client_id}
        self._known = {"issuer": issuer, "client_id": client_id, "token_type": "DPoP"}
        self._application = f"{issuer} {client_id}"
        self._lifetimes = lifetimes
        self._refreshes = refreshes
        self.cache: SessionCache = SessionCache()
        self.store = store
        self.keys: KeyRing = store.keys

    def new(self, tokens: TokenSet, user: str, wanted: Wanted) -> Record:
        """Make a session of a user's tokens, which :meth:`keep` keeps."""
        pseudonym = self._pseudonym(user)
        shard = self.keys.shard(pseudonym)
        identifier = Secret(secrets.token_urlsafe(32) + shard)
        place = Place(shard, hashed(identifier), pseudonym)
        now = _clock.now()
        absolute = self._lifetimes.absolute
        lifetime = absolute if wanted.lifetime is None else min(wanted.lifetime, absolute)
        members = SecretDict(user=user, opened_at=now, ends_at=min(now + lifetime, _expiry(tokens)))
        if wanted.data:
            members["data"] = wanted.data
        sid = sid_of(tokens)
        if wanted.by_sid and sid is not None:
            members["sid"] = sid
        session = self._session(identifier, tokens, members)
        return Record(session, place, self.seal(place, tokens, **members), members)

    async def keep(self, new: Record) -> None:
        """Store a new session. Idempotent."""
        # The user's list outlasts each session in it, by as much as a machine's clock may be wrong.
        user_seconds = self._lifetimes.absolute + self._lifetimes.idle
        opening = self.store.open(
            new.place, new.sealed, login=new.login, seconds=self.seconds(new), user_seconds=user_seconds
        )
        if "sid" not in new.members:
            await opening
            return
        place = self._leading_place(new.members["sid"], new.place)
        content = SecretBytes(str(new.members["user"]).encode())
        sealed = self.keys.seal(content, {**self._bound_to, "typ": _SID_TYPE, "sid": place.session})
        seconds = self.seconds_to_end(new)
        leading = self.store.open(place, sealed, login=place.session, seconds=seconds, user_seconds=seconds)
        await asyncio.gather(opening, leading)

    async def find(self, identifier: Secret, *, counts_as_use: bool = True) -> Record:
        """Return a session, and restart its idle time if that counts as use. Raises as ``client.sessions.get``."""
        unsealed, sealed, seconds = await self._find(identifier, counts_as_use=counts_as_use)
        members = unsealed.members
        return Record(self._session(identifier, unsealed.tokens, members, seconds), unsealed.place, sealed, members)

    async def use(self, identifier: Secret) -> Unsealed:
        """Return an unsealed session, and restart its idle time. Raises as ``client.sessions.get``."""
        return (await self._find(identifier, counts_as_use=True))[0]

    async def _find(self, identifier: Secret, *, counts_as_use: bool) -> tuple[Unsealed, str, float]:
        """Return a session as it was unsealed, its text, and for how many seconds it is kept from now on."""
        place, seconds = place_of(identifier), self._lifetimes.idle
        if counts_as_use:
            sealed = await self.store.read(place, seconds=seconds)
        else:
            sealed, seconds = await self.store.peek(place) or (None, seconds)
        if sealed is None:
            self.cache.forget(place)
            raise unknown_session()
        unsealed = self.cache.get(place, sealed)
        if unsealed is None:
            unsealed = self._unseal(place, sealed)
            self._refreshes.note_stored(unsealed.tokens, identifier)
            self.cache.put(place, sealed, unsealed)
        place = unsealed.place
        if self._ends_at(unsealed.members) <= _clock.now():
            await self.close(place, unsealed.members)
            raise unknown_session()
        if unsealed.is_stale:
            before, sealed = sealed, self.seal(place, unsealed.tokens, **unsealed.members)
            # If the session has changed, its text is neither of these, and a change by this one finds that out.
            await self.store.reseal(place, before, sealed)
        return unsealed, sealed, seconds

    async def close(self, place: Place, members: SecretDict | None) -> bool:
        """End a session, by the values sealed with its tokens, if known; return whether there was one."""
        self.cache.forget(place)
        existed = await self.store.close(place)
        sid = None if members is None else members.get("sid")
        if sid is not None:
            # Only now: until the session has ended, its provider may end it. A leftover entry leads to no session.
            with suppress(StoreUnavailable):
                await self.store.close(self._leading_place(sid, place))
        return existed

    async def close_at(self, place: Place) -> bool:
        """Read a session, without using it, and end it; returns whether there was one."""
        unsealed = await self.peek(place)
        return await self.close(place, None) if unsealed is None else await self.close(unsealed.place, unsealed.members)

    def _session(
        self, identifier: Secret, tokens: TokenSet, members: SecretDict, seconds: float | None = None
    ) -> StoredSession:
        """Return a session that is kept for ``seconds`` from now on; the idle time unless given."""
        # A copy: other callers may share the members, and only the mapping itself is read-only. Not redacted: it is the
        # application's own.
        ends_at, data = self._ends_at(members), MappingProxyType(copy.deepcopy(dict(members.get("data") or {})))
        idle_ends_at = min(_clock.now() + (self._lifetimes.idle if seconds is None else seconds), ends_at)
        return StoredSession(identifier, tokens, members["user"], members["opened_at"], data, ends_at, idle_ends_at)

    def seal(self, place: Place, tokens: TokenSet, **members: object) -> str:
        """Return the sealed text of a session."""
        return self._seal(tokens, {"sid": place.session, "usr": place.user}, members)

    def with_data(self, record: Record, data: dict[str, object]) -> Record:
        """Return a session with other data of the application."""
        members = SecretDict((name, value) for name, value in record.members.items() if name != "data")
        if data:
            members["data"] = data
        session, place = record.session, record.place
        sealed = self.seal(place, session.tokens, **members)
        return Record(self._session(session.id, session.tokens, members), place, sealed, members)

    def seal_refreshed(self, record: Record, tokens: TokenSet) -> str:
        """Return the sealed text of a session with other tokens of the same login."""
        ends_at = min(record.members["ends_at"], _expiry(tokens))
        return self.seal(record.place, tokens, **{**record.members, "login": record.login, "ends_at": ends_at})

    def seal_shared(self, login: str, tokens: TokenSet) -> str:
        """Return tokens sealed for all sessions of a login."""
        return self._seal(tokens, {"typ": _SHARED_TYPE, "sid": login}, {})

    def unseal_shared(self, login: str, sealed: str) -> TokenSet:
        """Return what :meth:`seal_shared` sealed; raises ``BrokenSeal``."""
        tokens, _ = self._opened(self.keys.unseal(sealed, {**self._bound_to, "typ": _SHARED_TYPE, "sid": login}))
        return tokens

    def _seal(self, tokens: TokenSet, bound_to: dict[str, str], members: dict[str, object]) -> str:
        key = require_key(tokens)
        bound = {} if key is None else {"jkt": key.thumbprint}
        content = encode(tokens, {**self._known, **bound}, **members)
        return self.keys.seal(content, {**self._bound_to, **bound_to, **bound})

    @property
    def idle(self) -> float:
        """How long a store keeps a session after a use, in seconds. What is left of it tells when the last use was."""
        return self._lifetimes.idle

    def seconds(self, new: Record) -> float:
        """Return how long a new session lasts if it is not used."""
        return max(min(self._lifetimes.idle, self._ends_at(new.members) - _clock.now()), _MIN_SECONDS)

    def seconds_to_end(self, record: Record) -> float:
        """Return how long the records about a session may be needed, whatever a machine's clock says."""
        return max(self._ends_at(record.members) - _clock.now(), 0.0) + self._lifetimes.idle

    async def places(self, user: str) -> tuple[Place, ...]:
        """Return where a user's sessions are; some may have ended."""
        pseudonym = self._pseudonym(_check.encodable("user", user, at_most=_check.MAX_AUDIENCE))
        shard = self.keys.shard(pseudonym)
        return tuple(Place(shard, session, pseudonym) for session in await self.store.sessions_of(pseudonym))

    async def user_of(self, sid: str) -> str | None:
        """Return the user that a ``sid`` leads to; None if it leads to none."""
        pseudonym = self._sid_pseudonym(sid)
        shard = self.keys.shard(pseudonym)
        places = [Place(shard, name, pseudonym) for name in await self.store.sessions_of(pseudonym)]
        entries = await asyncio.gather(*(self.store.peek(place) for place in places))
        for place, seen in zip(places, entries, strict=True):
            if seen is not None:
                bound_to = {**self._bound_to, "typ": _SID_TYPE, "sid": place.session}
                return self.keys.unseal(seen[0], bound_to).content.decode()
        return None

    async def sid_at(self, place: Place) -> str | None:
        """Return the ``sid`` of a session without using it; None if it has none, or cannot be read."""
        unsealed = await self.peek(place)
        if unsealed is None:
            return None
        sid: str | None = unsealed.members.get("sid") or sid_of(unsealed.tokens)
        return sid

    async def peek(self, place: Place) -> Unsealed | None:
        """Return a session as it is unsealed, without using it; None if it has ended, or cannot be read."""
        seen = await self.store.peek(place)
        if seen is None:
            return None
        try:
            return self._unseal(place, seen[0])
        except BrokenSeal:
            return None

    def _leading_place(self, sid: str, session: Place) -> Place:
        """Return the place of the entry that leads from a ``sid`` to the user of a session."""
        pseudonym = self._sid_pseudonym(sid)
        return Place(self.keys.shard(pseudonym), hashed(f"{pseudonym} {session.session}"), pseudonym)

    def _sid_pseudonym(self, sid: str) -> str:
        return self.keys.pseudonym(f"sid {self._application} {sid}")

    async def info(self, place: Place) -> SessionInfo | None:
        """Return the public information about a session, without using it; None if it has ended."""
        seen = await self.store.peek(place)
        if seen is None:
            return None
        sealed, seconds = seen
        now = _clock.now()
        try:
            members = self._unseal(place, sealed).members
        except BrokenSeal:
            return SessionInfo(place.session, None, now + seconds, None)
        ends_at = self._ends_at(members)
        if ends_at <= now:
            return None
        idle_ends_at = now + seconds
        return SessionInfo(
            place.session,
            members["opened_at"],
            min(idle_ends_at, ends_at),
            ends_at,
            last_used_at=max(idle_ends_at - self._lifetimes.idle, members["opened_at"]),
            data=MappingProxyType(members.get("data") or {}),
        )

    def _unseal(self, place: Place, sealed: str) -> Unsealed:
        unsealed = self.keys.unseal(sealed, {**self._bound_to, "sid": place.session})
        tokens, members = self._opened(unsealed)
        user = unsealed.header.get("usr", "")
        return Unsealed(tokens, Place(place.shard, place.session, user), members, unsealed.is_stale)

    def _opened(self, unsealed: keyring.Unsealed) -> tuple[TokenSet, SecretDict]:
        # Header and content were sealed together: user and key may be taken from the header.
        header = unsealed.header
        decoded = decode(unsealed.content, {**self._known, **({"jkt": header["jkt"]} if "jkt" in header else {})})
        if decoded is None:
            raise BrokenSeal("form")
        return decoded

    def _ends_at(self, members: SecretDict) -> float:
        # Not longer than at the opening: the user's list of sessions lasts only as long as that.
        return float(min(members["ends_at"], members["opened_at"] + self._lifetimes.absolute))

    def _pseudonym(self, user: str) -> str:
        # With the application in it: a user of the same name at another application is another user.
        return self.keys.pseudonym(f"session {self._application} {user}")


def sid_of(tokens: TokenSet) -> str | None:
    """Return the ``sid`` of an ID token: the session at the provider (OpenID Connect Back-Channel Logout 1.0 §2.1)."""
    sid = (tokens.claims or {}).get("sid")
    return sid if isinstance(sid, str) and 0 < len(sid) <= _MAX_SID and _check.is_encodable(sid) else None


def _expiry(tokens: TokenSet) -> float:
    """Return when the provider's session ends, by ``session_expiry``: seconds since the UNIX epoch."""
    expiry: object = (tokens.claims or {}).get("session_expiry")
    return float(expiry) if is_time(expiry) else math.inf


def is_same(tokens: TokenSet, other: TokenSet) -> bool:
    """Return whether two token sets came with the same answer."""
    # Without rotation the refresh token stays the same.
    return (tokens.refresh_token, tokens.access_token) == (other.refresh_token, other.access_token)


def place_of(identifier: Secret) -> Place:
    """Return the place of a session by its identifier, which does not reveal the user."""
    if not _SECRET_CHARACTERS < len(identifier) <= 2 * _SECRET_CHARACTERS or not identifier.isascii():
        raise unknown_session()
    return Place(str.__getitem__(identifier, _SHARD), hashed(identifier), "")


def _login(place: Place, tokens: TokenSet) -> str:
    return place.session if tokens.refresh_token is None else hashed(tokens.refresh_token)


def unknown_session() -> InvalidSession:
    """Return the error for an identifier that opens no session."""
    return InvalidSession("the session is unknown, or has ended")
