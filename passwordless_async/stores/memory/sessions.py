"""Sessions in this process: sealed texts, each user's list of them, and the leases of refreshes."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.errors import StoreError
from passwordless_async.stores.protocols import Place, RefreshLease

_CHECKED_AT_ONCE = 2  # sessions for which each new one checks whether they have ended


@attrs.define(eq=False)
class _Session:
    """A session. Times are those of the monotonic clock."""

    sealed: str
    expires: float
    user: str
    spends: str | None = None  # names the refresh token of the last lease, until its end is reported
    holder: str | None = None  # the token of that lease
    lease_expires: float = 0.0


class MemorySessions:
    """The :class:`SessionStore <passwordless_async.stores.SessionStore>` in memory, of ``size`` sessions at most."""

    def __init__(self, size: int) -> None:
        self._max_sessions = size
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._users: dict[str, set[str]] = {}

    async def open(self, place: Place, sealed: str, *, seconds: float, user_seconds: float) -> None:  # noqa: ARG002 - no list outlives its sessions here
        """Keep a new session."""
        full = len(self._sessions) >= self._max_sessions
        self._drop_ended(len(self._sessions) if full else _CHECKED_AT_ONCE)
        if len(self._sessions) >= self._max_sessions:
            raise StoreError(f"the store is full: {self._max_sessions} sessions, none of them ended")
        self._sessions[place.session] = _Session(sealed, _clock.monotonic() + seconds, place.user)
        self._users.setdefault(place.user, set()).add(place.session)

    async def read(self, place: Place, *, seconds: float) -> str | None:
        """Return a session's text and keep it for ``seconds`` from now."""
        found = self._alive(place.session)
        if found is None:
            return None
        found.expires = _clock.monotonic() + seconds
        return found.sealed

    async def peek(self, place: Place) -> tuple[str, float] | None:
        """Return a session's text and the seconds that it has left."""
        found = self._alive(place.session)
        return None if found is None else (found.sealed, found.expires - _clock.monotonic())

    async def reseal(self, place: Place, before: str, sealed: str) -> bool:
        """Replace a session's text and keep its expiry."""
        found = self._alive(place.session)
        if found is None or found.sealed != before:
            return False
        found.sealed = sealed
        return True

    async def close(self, place: Place) -> bool:
        """Delete a session."""
        existed = self._alive(place.session) is not None
        self._forget(place.session)
        return existed

    async def sessions_of(self, user: str) -> tuple[str, ...]:
        """Return the hashes of a user's sessions."""
        return tuple(session for session in list(self._users.get(user, ())) if self._alive(session) is not None)

    async def begin_refresh(
        self,
        place: Place,
        *,
        sealed: str,
        spends: str,
        token: str,
        seconds: float,
        remember: float,  # noqa: ARG002 - what is known of a session ends with it
    ) -> RefreshLease:
        """Ask for the lease to refresh a session."""
        found, now = self._alive(place.session), _clock.monotonic()
        if found is None:
            return RefreshLease.GONE
        if found.spends == spends and found.holder == token:
            return RefreshLease.GRANTED
        if found.sealed != sealed:
            return RefreshLease.CHANGED
        if found.spends == spends:
            return RefreshLease.BUSY if found.lease_expires > now else RefreshLease.DOUBTFUL
        found.spends, found.holder, found.lease_expires = spends, token, now + seconds
        return RefreshLease.GRANTED

    async def abandon_refresh(self, place: Place, *, token: str) -> None:
        """End the lease with the outcome unknown."""
        found = self._alive(place.session)
        if found is not None and found.holder == token:
            found.lease_expires = 0.0

    async def end_refresh(self, place: Place, *, token: str, sealed: str | None, seconds: float) -> bool:
        """Report how a refresh ended."""
        found = self._alive(place.session)
        if found is not None and found.sealed == sealed:
            return True
        if found is None or found.holder != token:
            return False
        found.holder, found.spends = None, None
        if sealed is not None:
            found.sealed, found.expires = sealed, _clock.monotonic() + seconds
        return True

    def _alive(self, session: str) -> _Session | None:
        found = self._sessions.get(session)
        if found is not None and found.expires <= _clock.monotonic():
            self._forget(session)
            return None
        return found

    def _forget(self, session: str) -> None:
        found = self._sessions.pop(session, None)
        if found is not None:
            sessions = self._users[found.user]
            sessions.discard(session)
            if not sessions:
                del self._users[found.user]

    def _drop_ended(self, checked: int) -> None:
        for session in list(islice(self._sessions, checked)):
            if self._alive(session) is not None:
                # To the end, so that each has its turn to be checked.
                self._sessions.move_to_end(session)
