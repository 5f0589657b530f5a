"""The operations of a store, as small protocols. ``MemoryStore`` and ``RedisStore`` implement all of them.

Invariants of every call:

- It is one round trip at most, and atomic: no other call comes between its parts.
- A call that is repeated with the same ``token``, because its answer was lost, gets the same answer again.
- The store sees only sealed texts and pseudonyms. Without the key ring, neither reveals anything.
- It raises :class:`~passwordless_async.StoreUnavailable` if the store is unreachable; its wait is bounded.

All durations are seconds from now.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

import attrs

from passwordless_async._common.secret import redacted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passwordless_async.stores.keyring import KeyRing


@attrs.frozen
class Place:
    """The place of a session in the store.

    Attributes:
        shard: The first characters of the user's pseudonym. They put a user's keys on one node of a cluster.
        session: The hash of the session's identifier.
        user: The user's pseudonym.
    """

    shard: str
    session: str
    user: str


class RefreshLease(enum.Enum):
    """The answer to a process that wants to spend a refresh token."""

    GRANTED = "granted"
    """The process may refresh; all others must wait until it reports the end, or its lease expires."""
    BUSY = "busy"
    """Another process holds the lease."""
    CHANGED = "changed"
    """The session has changed since the caller read it: its refresh token may be spent."""
    REPLACED = "replaced"
    """The refresh token was spent for another session of the same login: the answer has the tokens that replaced it."""
    DOUBTFUL = "doubtful"
    """Another process held the lease and never reported the end: the refresh token may be spent."""
    REFUSED = "refused"
    """The service has refused the refresh token: it no longer works."""
    GONE = "gone"
    """The session does not exist."""


@attrs.frozen
class RefreshTurn:
    """The answer of :meth:`SessionStore.begin_refresh`.

    Attributes:
        lease: The answer.
        elapsed: If granted: seconds since the first attempt to send the refresh token, unless it is certain that it was
            not sent; None if there was no such attempt.
        tokens: If replaced: the sealed tokens.
    """

    lease: RefreshLease
    elapsed: float | None = None
    tokens: str | None = attrs.field(default=None, repr=redacted)


class RefreshEnd(enum.Enum):
    """The answer to a report of new tokens."""

    KEPT = "kept"
    """The session has the new tokens."""
    CHANGED = "changed"
    """The session's text has changed since the caller read it, and is kept; its login has the new tokens."""
    CLOSED = "closed"
    """The session was closed meanwhile, and other sessions of the same login have the new tokens."""
    PASSED = "passed"
    """The lease has passed to another process: nothing was kept, but sessions of the login are alive."""
    VOID = "void"
    """The session was closed, and its login has no other: no caller will ever get the new tokens."""


class SessionStore(Protocol):
    """Keeps sessions.

    Attributes:
        keys: The key ring that seals the values.
    """

    keys: KeyRing

    async def ping(self) -> None:
        """Write a test value, and return when the store has it. Raises ``StoreUnavailable`` if that fails."""

    async def open(self, place: Place, sealed: str, *, login: str, seconds: float, user_seconds: float) -> None:
        """Keep a new session's text for ``seconds``, and the user's list of sessions for ``user_seconds`` at least.

        ``login`` names the refresh token that the session is opened with: its sessions share one refresh.

        Sessions that have ended do not pile up in the list, even if a user opens many and closes none.
        """

    async def read(self, place: Place, *, seconds: float) -> str | None:
        """Return a session's text and keep it for ``seconds`` from now; None if it does not exist."""

    async def peek(self, place: Place) -> tuple[str, float] | None:
        """Return a session's text and the seconds that it has left, unchanged; None if it does not exist."""

    async def reseal(self, place: Place, before: str, sealed: str) -> bool:
        """Replace the text ``before`` and keep the expiry; False if the session's text has changed since."""

    async def close(self, place: Place) -> bool:
        """Delete a session; False if it does not exist."""

    async def sessions_of(self, user: str) -> tuple[str, ...]:
        """Return the hashes of a user's sessions; some may have ended."""

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
        """Ask for the lease to refresh a session. All sessions of one login share the lease.

        Args:
            place: The session.
            login: The session's login.
            sealed: The session's text as the caller has read it. It must still be the stored one.
            spends: Names the refresh token that will be spent.
            token: Names the caller. The end is reported by the same token.
            seconds: When the lease expires.
            overlap: Seconds for which the service accepts a refresh token again after its first use.
            remember: How long the store remembers that the refresh token may be spent, unless the end is reported.
        """

    async def hold_refresh(self, place: Place, *, login: str, token: str, seconds: float) -> None:
        """Set when the lease expires. 0: now, with an unknown outcome: other callers get ``DOUBTFUL``, not ``BUSY``.

        Has no effect if the lease has ended or passed to another process.
        """

    async def release_refresh(self, place: Place, *, login: str, token: str, refused: bool) -> None:
        """Report that nothing was spent, or that the service has refused the refresh token for good."""

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
        """Report new tokens, by the token of :meth:`begin_refresh`.

        Args:
            place: The session.
            login: The session's login.
            token: Names the caller.
            texts: The session's text as the caller has read it, and its new one, which is kept for ``seconds``. Another
                text than the first is not replaced.
            replacement: Names the new refresh token.
            tokens: The new tokens, sealed for the other sessions of the login. They are kept while there are any, for
                ``remember`` seconds at most, and for a minute if there are none, for one that is just being opened.
            seconds: How long the session is kept.
            remember: How long its login's other sessions may need the tokens.
        """


@attrs.frozen
class RefusedCode:
    """The answer of :meth:`CodeStore.begin_attempt` for a code that the service has refused as wrong before.

    Attributes:
        attempts: How many attempts were made.
    """

    attempts: int


class CodeStore(Protocol):
    """Keeps the state of users' one-time codes. Users, codes and addresses are pseudonyms."""

    async def begin_start(self, user: str, *, token: str, seconds: float, remember: float) -> tuple[float, int]:
        """Ask whether a user may be sent a code.

        The end is reported by the same ``token``. Until then, but no longer than ``seconds``, all other starts of the
        user are refused; 0: they are not. A repeated call restarts ``seconds``. The state of the user's codes is kept
        for ``remember`` more seconds.

        Returns:
            The seconds until the code may be sent, 0.0 if it may be now; and a mark, for :meth:`end_start`: the number
            of the user's last attempt.
        """

    async def end_start(self, user: str, *, token: str, seconds: float, mark: int | None, remember: float) -> None:
        """Set the seconds until the user may be sent another code; 0: at once.

        A start that another caller, with another ``token``, has begun since is not changed.

        Pass the ``mark`` of :meth:`begin_start` if the service confirmed that it sent a code. Attempts up to the mark
        were at codes that no longer work: they are forgotten. For ``remember`` seconds, the user counts as having a
        code. None: nothing is forgotten.
        """

    async def begin_address_start(self, address: str, *, token: str, max_starts: int | None, window: float) -> float:
        """Ask whether a code may be sent on behalf of an address, and count it. The same ``token`` undoes the count.

        ``max_starts`` is the maximum number of starts in a window; None: any number.

        Returns:
            0.0 if there is room, else the seconds until there is.
        """

    async def end_address_start(self, address: str, *, token: str | None, blocked: float) -> None:
        """Undo the count of the start ``token``, unless it is None, and send no code for ``blocked`` seconds."""

    async def begin_attempt(
        self, user: str, code: str, *, token: str, max_attempts: int, max_codes: int, remember: float
    ) -> int | RefusedCode | None:
        """Ask whether a code may be presented, and remember the attempt for ``remember`` seconds.

        A code that :meth:`end_start` confirmed as sent allows ``max_attempts``. The store remembers ``max_codes``
        distinct codes of a user, and refuses more.

        Returns:
            How many attempts were made, this one included; 0 if there are none left. If this code was presented
            before: a :class:`RefusedCode` if :meth:`refuse_code` said that it was wrong, else None.
        """

    async def undo_attempt(self, user: str, code: str, *, token: str) -> None:
        """Forget an attempt: the code was not presented after all."""

    async def refuse_code(self, user: str, code: str, *, token: str, is_last: bool) -> None:
        """Report that a code was wrong: the attempt has ended, and counts.

        Nothing changes if another ``token`` presented the code. ``is_last``: the code that the user was sent has no
        attempts left, so another one may be sent at once, as after :meth:`retire_code`.
        """

    async def retire_code(self, user: str, code: str, *, token: str, correct: bool) -> None:
        """Report that a code no longer works: the user may be sent another one at once.

        Nothing changes if the user was sent another one since, or if another ``token`` presented it. A start in
        progress is not changed. A ``correct`` code does not count as an attempt, and the codes before it are forgotten.
        """


class QuotaStore(Protocol):
    """Shares a tenant's quota among processes: one queue of evenly spaced requests (GCRA)."""

    async def reserve(self, quota: str, *, requests: int, interval: float) -> float:
        """Reserve a slot for each request, ``interval`` seconds apart, and return the seconds until the first."""

    async def pause(self, quota: str, seconds: float) -> None:
        """Give no process a slot for this many seconds."""


class NonceStore(Protocol):
    """Shares a server's nonces among processes."""

    async def nonce(self, origin: str) -> str | None:
        """Return the newest nonce of an origin; empty if the origin demands none, None if it is not known."""

    async def nonce_or_turn(self, origin: str, *, token: str, seconds: float) -> str | bool:
        """Return the newest nonce, or ask for the turn to fetch it, which expires after ``seconds``.

        ``token`` names the caller. The turn is released by the same token.

        Returns:
            The nonce, as :meth:`nonce`; True if it is the caller's turn; False if another caller has the turn.
        """

    async def release_turn(self, origin: str, *, token: str) -> None:
        """Pass the turn on: the nonce could not be fetched.

        Has no effect if the turn has expired, or passed to another caller.
        """

    async def put_nonce(self, origin: str, nonce: str, *, seconds: float) -> None:
        """Keep a nonce, empty if the origin demands none, and end the turn."""


@attrs.frozen
class Counter:
    """A limit on how often something may be counted in a window; the window begins with the first.

    Attributes:
        kind: A short word for what is counted. A flood of counters of one kind does not evict those of another.
        name: A pseudonym, or a text that reveals nothing. In one call, each name of a kind occurs once.
        limit: The maximum count in a window; 0: none.
        window: Seconds from the first count until all are forgotten.
    """

    kind: str
    name: str
    limit: int
    window: float


class CounterStore(Protocol):
    """Counts in fixed windows, in several counters at once: either all have room and count one, or none counts.

    A counter exists while its window lasts. A refused call stores nothing, so it costs no memory.
    """

    async def count(self, group: str, counters: Sequence[Counter], *, token: str, remember: float) -> tuple[float, ...]:
        """Add one to each counter if all have room, otherwise to none.

        Args:
            group: A pseudonym. The counters of a group are on one node of a cluster, and are counted at once.
            counters: The counters.
            token: Names this count; the same token undoes it.
            remember: Seconds for which it can be undone.

        Returns:
            For each counter, the seconds until it has room; all 0.0 if this call was counted.
        """

    async def undo_count(self, group: str, counters: Sequence[Counter], *, token: str) -> None:
        """Undo the count of a token, in the windows that have not ended."""


class Store(SessionStore, CodeStore, QuotaStore, NonceStore, CounterStore, Protocol):
    """All state that the processes of an application share."""
