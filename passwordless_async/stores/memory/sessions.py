"""Sessions in this process: sealed texts, a user's list of them, and who refreshes one."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.errors import StoreError
from passwordless_async.stores.protocols import RefreshLease

if TYPE_CHECKING:
    from passwordless_async.stores.protocols import Place


@attrs.define(eq=False)
class _Session:
    sealed: str
    until: float
    user: str
    spends: str | None = None
    holder: str | None = None
    held_until: float = 0.0


class MemorySessions:
    """See :class:`SessionStore <passwordless_async.stores.SessionStore>`.

    Args:
        at_most: How many sessions are kept.
    """

    def __init__(self, at_most: int) -> None:
        self._max_sessions = at_most
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._users: dict[str, set[str]] = {}

    async def open(self, place: Place, sealed: str, *, seconds: float, user_seconds: float) -> None:  # noqa: ARG002
        """See :meth:`SessionStore.open <passwordless_async.stores.SessionStore.open>`."""
        if len(self._sessions) >= self._max_sessions:
            self._tidy()
        if len(self._sessions) >= self._max_sessions:
            raise StoreError(f"the store is full: {self._max_sessions} sessions, none of them ended")
        self._sessions[place.session] = _Session(sealed, _clock.monotonic() + seconds, place.user)
        self._users.setdefault(place.user, set()).add(place.session)

    async def read(self, shard: str, session: str, *, seconds: float) -> str | None:  # noqa: ARG002
        """See :meth:`SessionStore.read <passwordless_async.stores.SessionStore.read>`."""
        kept = self._alive(session)
        if kept is None:
            return None
        kept.until = _clock.monotonic() + seconds
        return kept.sealed

    async def peek(self, shard: str, session: str) -> tuple[str, float] | None:  # noqa: ARG002
        """See :meth:`SessionStore.peek <passwordless_async.stores.SessionStore.peek>`."""
        kept = self._alive(session)
        return None if kept is None else (kept.sealed, kept.until - _clock.monotonic())

    async def reseal(self, place: Place, before: str, sealed: str) -> bool:
        """See :meth:`SessionStore.reseal <passwordless_async.stores.SessionStore.reseal>`."""
        kept = self._alive(place.session)
        if kept is None or kept.sealed != before:
            return False
        kept.sealed = sealed
        return True

    async def close(self, place: Place) -> bool:
        """See :meth:`SessionStore.close <passwordless_async.stores.SessionStore.close>`."""
        alive = self._alive(place.session) is not None
        self._forget(place.session)
        return alive

    async def sessions_of(self, shard: str, user: str) -> tuple[str, ...]:  # noqa: ARG002
        """See :meth:`SessionStore.sessions_of <passwordless_async.stores.SessionStore.sessions_of>`."""
        return tuple(session for session in list(self._users.get(user, ())) if self._alive(session) is not None)

    async def begin_refresh(
        self,
        place: Place,
        *,
        sealed: str,
        spends: str,
        token: str,
        seconds: float,
        remember: float,  # noqa: ARG002
    ) -> RefreshLease:
        """See :meth:`SessionStore.begin_refresh <passwordless_async.stores.SessionStore.begin_refresh>`."""
        kept, now = self._alive(place.session), _clock.monotonic()
        if kept is None:
            return RefreshLease.GONE
        if kept.spends == spends and kept.holder == token:
            return RefreshLease.GRANTED
        if kept.sealed != sealed:
            return RefreshLease.CHANGED
        if kept.spends == spends:
            return RefreshLease.BUSY if kept.held_until > now else RefreshLease.DOUBTFUL
        kept.spends, kept.holder, kept.held_until = spends, token, now + seconds
        return RefreshLease.GRANTED

    async def abandon_refresh(self, place: Place, *, token: str) -> None:
        """See :meth:`SessionStore.abandon_refresh <passwordless_async.stores.SessionStore.abandon_refresh>`."""
        kept = self._alive(place.session)
        if kept is not None and kept.holder == token:
            kept.held_until = 0.0

    async def end_refresh(self, place: Place, *, token: str, sealed: str | None, seconds: float) -> bool:
        """See :meth:`SessionStore.end_refresh <passwordless_async.stores.SessionStore.end_refresh>`."""
        kept = self._alive(place.session)
        if kept is not None and kept.sealed == sealed:
            return True
        if kept is None or kept.holder != token:
            return False
        kept.holder, kept.spends = None, None
        if sealed is not None:
            kept.sealed, kept.until = sealed, _clock.monotonic() + seconds
        return True

    def _alive(self, session: str) -> _Session | None:
        kept = self._sessions.get(session)
        if kept is not None and kept.until <= _clock.monotonic():
            self._forget(session)
            return None
        return kept

    def _forget(self, session: str) -> None:
        kept = self._sessions.pop(session, None)
        if kept is not None:
            sessions = self._users[kept.user]
            sessions.discard(session)
            if not sessions:
                del self._users[kept.user]

    def _tidy(self) -> None:
        for session in list(self._sessions):
            self._alive(session)
