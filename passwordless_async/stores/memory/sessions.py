"""Sessions in this process: sealed texts, each user's list of them, and each login's lease of refreshes."""

from __future__ import annotations

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async._common.expiring import GIVEN_BACK_AT_ONCE, Deadlines, Expiring
from passwordless_async.errors import StoreError
from passwordless_async.stores.protocols import Place, RefreshEnd, RefreshLease, RefreshTurn, SessionStore

_GIVEN_BACK_IF_FULL = 1000  # about a millisecond: all of a full store would hold the event loop up for seconds
_SHARED_SECONDS = 60.0  # for which new tokens are kept for a session of the same login that is just being opened


@attrs.define(eq=False)
class _Session:
    """A session. Times are those of the monotonic clock."""

    sealed: str
    expires: float
    step: int  # of its deadline
    user: str
    login: str


@attrs.define(eq=False)
class _Login:
    """What the sessions of one login share. Times are those of the monotonic clock."""

    sessions: set[str] = attrs.field(factory=set)
    spends: str | None = None  # names the refresh token that may be spent
    since: float = 0.0  # when it was first about to be sent
    is_doubtful: bool = False  # a process before the holder did not report the end
    holder: str | None = None  # the token of the lease
    lease_expires: float = 0.0
    refused: str | None = None  # names the refresh token that the service has refused
    newest: tuple[str, str] | None = None  # the name of the newest refresh token, and the tokens, sealed for the others


class MemorySessions(SessionStore):
    """The :class:`SessionStore <passwordless_async.stores.SessionStore>` in memory, of ``size`` sessions at most."""

    def __init__(self, size: int) -> None:
        self._max_sessions = size
        self._sessions: dict[str, _Session] = {}
        self._deadlines: Deadlines[str] = Deadlines()
        self._users: dict[str, set[str]] = {}
        self._logins: dict[str, _Login] = {}
        # The newest of logins that have no session to share them with, all for the same time: as in ``_Login``.
        self._newest: Expiring[str, tuple[str, str]] = Expiring(size)

    async def ping(self) -> None:
        """Return: this store is always ready."""

    async def open(self, place: Place, sealed: str, *, login: str, seconds: float, user_seconds: float) -> None:
        del user_seconds  # a user's list ends with its sessions, and so do the records of a login
        self._make_room(place.user)
        self._forget(place.session)
        now = _clock.monotonic()
        step = self._deadlines.add(place.session, now + seconds, now)
        self._sessions[place.session] = _Session(sealed, now + seconds, step, place.user, login)
        self._users.setdefault(place.user, set()).add(place.session)
        known = self._logins.setdefault(login, _Login())
        known.sessions.add(place.session)
        known.newest = self._newest_of(login)
        self._newest.discard(login)

    async def read(self, place: Place, *, seconds: float) -> str | None:
        found = self._alive(place.session)
        if found is None:
            return None
        self._extend(place.session, found, seconds)
        return found.sealed

    async def peek(self, place: Place) -> tuple[str, float] | None:
        found = self._alive(place.session)
        return None if found is None else (found.sealed, found.expires - _clock.monotonic())

    async def reseal(self, place: Place, before: str, sealed: str) -> bool:
        found = self._alive(place.session)
        if found is None or found.sealed != before:
            return False
        found.sealed = sealed
        return True

    async def close(self, place: Place) -> bool:
        existed = self._alive(place.session) is not None
        self._forget(place.session)
        return existed

    async def sessions_of(self, user: str) -> tuple[str, ...]:
        return tuple(session for session in list(self._users.get(user, ())) if self._alive(session) is not None)

    async def begin_refresh(
        self,
        place: Place,
        *,
        login: str,
        sealed: str,
        spends: str,
        token: str,
        seconds: float,
        overlap: float,
        remember: float,
    ) -> RefreshTurn:
        del remember  # the records of a login end with its sessions
        found, now = self._alive(place.session), _clock.monotonic()
        known = self._logins.get(login)
        if found is None or known is None:
            return RefreshTurn(RefreshLease.GONE)
        if (known.spends, known.holder) != (spends, token):
            if found.sealed != sealed:
                return RefreshTurn(RefreshLease.CHANGED)
            refusal = self._refusal(login, known, spends, overlap)
            if refusal is not None:
                return refusal
            known.is_doubtful = known.spends == spends
            known.since = known.since if known.is_doubtful else now
            known.spends, known.holder = spends, token
        known.lease_expires = now + seconds
        return RefreshTurn(RefreshLease.GRANTED, now - known.since if known.is_doubtful else None)

    def _refusal(self, name: str, login: _Login, spends: str, overlap: float) -> RefreshTurn | None:
        newest = self._newest_of(name)
        if newest is not None and newest[0] != spends:
            return RefreshTurn(RefreshLease.REPLACED, tokens=newest[1])
        if login.refused == spends:
            return RefreshTurn(RefreshLease.REFUSED)
        if login.spends == spends:
            now = _clock.monotonic()
            if login.holder is not None and login.lease_expires > now:
                return RefreshTurn(RefreshLease.BUSY)
            if now - login.since >= overlap:
                return RefreshTurn(RefreshLease.DOUBTFUL)
        return None

    async def hold_refresh(self, place: Place, *, login: str, token: str, seconds: float) -> None:
        del place  # a login is found by its name
        known = self._logins.get(login)
        if known is not None and known.holder == token:
            known.lease_expires = _clock.monotonic() + seconds

    async def release_refresh(self, place: Place, *, login: str, token: str, refused: bool) -> None:
        del place  # a login is found by its name
        known = self._logins.get(login)
        if known is None or known.holder != token:
            return
        known.holder = None
        if refused:
            known.refused = known.spends
        if not known.is_doubtful:
            known.spends = None

    async def end_refresh(
        self,
        place: Place,
        *,
        login: str,
        token: str,
        texts: tuple[str, str],
        replacement: str,
        tokens: str,
        seconds: float,
        remember: float,
    ) -> RefreshEnd:
        del remember  # the records of a login end with its sessions
        found, is_shared = self._alive(place.session), self._is_shared(login, place)
        known = self._logins.get(login)  # it ends with the last of its sessions
        reported = _end_of(found, texts)
        if (replacement, tokens) == self._newest_of(login) or _text_of(found) == texts[1]:
            return reported
        if known is None:
            return RefreshEnd.VOID
        if known.holder != token:
            return RefreshEnd.PASSED
        known.holder, known.spends, known.refused = None, None, None
        known.newest = (replacement, tokens)
        if not is_shared and reported is not RefreshEnd.CHANGED:
            self._newest_for_a_moment(login, known)
        self._keep(place.session, found if reported is RefreshEnd.KEPT else None, texts[1], seconds)
        return reported

    def _newest_of(self, login: str) -> tuple[str, str] | None:
        known = self._logins.get(login)
        return self._newest.get(login) if known is None or known.newest is None else known.newest

    def _newest_for_a_moment(self, name: str, login: _Login) -> None:
        """Keep the newest tokens of a login only for a session that is just being opened."""
        if login.newest is not None:
            self._newest.put(name, login.newest, _SHARED_SECONDS)
            login.newest = None

    def _keep(self, name: str, session: _Session | None, sealed: str, seconds: float) -> None:
        if session is not None:
            session.sealed = sealed
            self._extend(name, session, seconds)

    def _extend(self, name: str, session: _Session, seconds: float) -> None:
        now = _clock.monotonic()
        session.expires = now + seconds
        self._deadlines.remove(name, session.step)
        session.step = self._deadlines.add(name, session.expires, now)
        self._drop_ended(GIVEN_BACK_AT_ONCE)

    def _is_shared(self, login: str, place: Place) -> bool:
        """Return whether a login has other sessions than one."""
        known = self._logins.get(login, _Login())
        return any(self._alive(session) is not None for session in known.sessions - {place.session})

    def _alive(self, session: str) -> _Session | None:
        found = self._sessions.get(session)
        if found is not None and found.expires <= _clock.monotonic():
            self._forget(session)
            return None
        return found

    def _forget(self, session: str) -> None:
        found = self._sessions.get(session)
        if found is not None:
            self._deadlines.remove(session, found.step)
            self._drop(session)

    def _drop(self, session: str) -> None:
        """Drop a session that has no deadline any more; if it was the last, also the records of its user and login."""
        found = self._sessions.pop(session)
        sessions, login = self._users[found.user], self._logins[found.login]
        sessions.discard(session)
        login.sessions.discard(session)
        if not sessions:
            del self._users[found.user]
        if not login.sessions:
            self._newest_for_a_moment(found.login, login)
            del self._logins[found.login]

    def _drop_ended(self, at_most: int) -> None:
        for ended in self._deadlines.take(_clock.monotonic(), at_most):
            self._drop(ended)

    def _make_room(self, user: str) -> None:
        """Drop ended sessions, and refuse another one if a user has as many as are free, so that others have room."""
        for at_most in (GIVEN_BACK_AT_ONCE, _GIVEN_BACK_IF_FULL):
            self._drop_ended(at_most)
            held, free = len(self._users.get(user, ())), self._max_sessions - len(self._sessions)
            if held < free:
                return
        if free <= 0:
            raise StoreError(f"the store is full: {self._max_sessions} sessions")
        raise StoreError(f"one user has {held} of the store's {self._max_sessions} sessions; {free} are free")


def _end_of(session: _Session | None, texts: tuple[str, str]) -> RefreshEnd:
    """Return what becomes of a session that was refreshed, by its text."""
    text = _text_of(session)
    if text is None:
        return RefreshEnd.CLOSED
    return RefreshEnd.KEPT if text in texts else RefreshEnd.CHANGED


def _text_of(session: _Session | None) -> str | None:
    return None if session is None else session.sealed
