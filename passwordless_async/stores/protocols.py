"""What a store has to do, in small protocols; the embedded default and the one on Redis keep the same promises.

A store sees sealed texts and names that mean nothing without the key ring: hashes of session identifiers, and
pseudonyms of users.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from passwordless_async.stores.keyring import KeyRing


@attrs.frozen
class Place:
    """Where a session is kept.

    Attributes:
        shard: What the keys that are used together have in common; of a user, so that their sessions lie together.
        session: The hash of the session's identifier.
        user: The user's pseudonym.
    """

    shard: str
    session: str
    user: str


class RefreshLease(enum.Enum):
    """What a process is told that wants to refresh a session."""

    GRANTED = "granted"
    """It may: nobody else does until it says that it has ended, or its time is over."""
    BUSY = "busy"
    """Another one is at it."""
    CHANGED = "changed"
    """The session is another than the caller has read: its refresh token may be spent."""
    DOUBTFUL = "doubtful"
    """Another one was at it and never said how it ended: the refresh token may be spent."""
    GONE = "gone"
    """The session is not there."""


class SessionStore(Protocol):
    """Keeps sessions; each call is one round trip at the most, and one step that no other can come between.

    Each raises :class:`~passwordless_async.StoreUnavailable` where the store cannot be reached.

    Attributes:
        keys: What the values are sealed with.
    """

    keys: KeyRing

    async def open(self, place: Place, sealed: str, *, seconds: float, user_seconds: float) -> None:
        """Keep a new session for so many seconds, and the user's list of them for as long as ``user_seconds``.

        Names of sessions that have ended do not gather in that list, however many a user opens and never closes.
        """

    async def read(self, shard: str, session: str, *, seconds: float) -> str | None:
        """Return a session and keep it for so many seconds from now; None where it is not there."""

    async def peek(self, shard: str, session: str) -> tuple[str, float] | None:
        """Return a session and the seconds for which it is kept, and leave it so; None where it is not there."""

    async def reseal(self, place: Place, before: str, sealed: str) -> bool:
        """Put another text in the place of one, for as long as that was kept; False where it is another by now."""

    async def close(self, place: Place) -> bool:
        """Forget a session; False where it is not there."""

    async def sessions_of(self, shard: str, user: str) -> tuple[str, ...]:
        """Return the hashes of a user's sessions; some may have ended."""

    async def begin_refresh(
        self, place: Place, *, sealed: str, spends: str, token: str, seconds: float, remember: float
    ) -> RefreshLease:
        """Ask to refresh a session.

        Args:
            place: The session.
            sealed: The session as the caller has read it: what is spent must be what it still has.
            spends: Names the refresh token that is to be spent.
            token: Names whoever asks, to end it by.
            seconds: After which it counts as ended.
            remember: For how many seconds to know that the refresh token may be spent, unless it is ended.
        """

    async def abandon_refresh(self, place: Place, *, token: str) -> None:
        """Say that nobody is at it any more, and that nobody knows how it ended: others are told so at once."""

    async def end_refresh(self, place: Place, *, token: str, sealed: str | None, seconds: float) -> bool:
        """Say how a refresh ended.

        Args:
            place: The session.
            token: Who says it.
            sealed: The session's new text; None: nothing was spent.
            seconds: For how long to keep it.

        Returns:
            Whether it counts: False where its time was over and another one was let in, or the session was closed.
        """


class CodeStore(Protocol):
    """Keeps what is known of the codes that users were sent; each call is one round trip at the most, and one step.

    Users and codes are pseudonyms: of a code as of a user, no name tells what it is of. Each call raises
    :class:`~passwordless_async.StoreUnavailable` where the store cannot be reached.
    """

    async def begin_start(self, user: str, *, token: str, seconds: float, remember: float) -> float:
        """Ask for leave to send a user a code; what was known of the code before is forgotten then.

        Args:
            user: The user.
            token: Names whoever asks, to end it by.
            seconds: For how long nobody else has it; 0: not at all.
            remember: For how many seconds to know that there is a code.

        Returns:
            0.0 where it may be sent, else the seconds until it may.
        """

    async def end_start(self, user: str, *, token: str, seconds: float) -> None:
        """Say for how many seconds from now the user is sent no other code.

        Args:
            user: The user.
            token: Who began the start; what another one began is left alone.
            seconds: For how long; 0: they may have another one at once.
        """

    async def begin_address_start(self, address: str, *, token: str, max_starts: int | None, window: float) -> float:
        """Ask for leave to have a code sent on behalf of an address, and count it.

        Args:
            address: The address.
            token: Names whoever asks, to take it back by.
            max_starts: How many there may be in a window; None: any number.
            window: Seconds.

        Returns:
            0.0 where there is room, else the seconds until there is.
        """

    async def end_address_start(self, address: str, *, token: str | None, blocked: float) -> None:
        """Take back what was counted for an address, or bar it.

        Args:
            address: The address.
            token: What was counted; None: it stays counted.
            blocked: Seconds for which no code is sent on its behalf.
        """

    async def begin_attempt(
        self, user: str, code: str, *, token: str, max_attempts: int, max_codes: int, remember: float
    ) -> int | None:
        """Ask for leave to present a code, and count it as an attempt.

        Args:
            user: The user.
            code: The code.
            token: Names whoever asks.
            max_attempts: How many attempts there are at a code that :meth:`begin_start` made room for.
            max_codes: How many different codes of a user are remembered; there is no leave for more.
            remember: For how many seconds to remember it.

        Returns:
            How many attempts were made, this one included; 0 where there are no more; None where this code was
            presented before.
        """

    async def undo_attempt(self, user: str, code: str, *, token: str) -> None:
        """Say that a code was not presented after all."""

    async def retire_code(self, user: str, code: str, *, token: str, correct: bool) -> None:
        """Say that a code is of no more use, so that there may be another one at once.

        Args:
            user: The user.
            code: The code; where another one was asked for since, nothing changes.
            token: Who presented it.
            correct: Whether it was correct: its attempts do not count then.
        """


class QuotaStore(Protocol):
    """Shares a tenant's quota among processes; each call is one round trip at the most, and one step.

    Each raises :class:`~passwordless_async.StoreUnavailable` where the store cannot be reached.
    """

    async def reserve(self, quota: str, *, requests: int, interval: float) -> float:
        """Take the next places in the line of all requests, and return the seconds until the first of them.

        Args:
            quota: Which one.
            requests: How many places.
            interval: Seconds from one to the next.
        """

    async def pause(self, quota: str, seconds: float) -> None:
        """Let nobody have a place for so many seconds."""


class NonceStore(Protocol):
    """Shares a server's nonces among processes; each call is one round trip at the most, and one step.

    Each raises :class:`~passwordless_async.StoreUnavailable` where the store cannot be reached.
    """

    async def nonce(self, origin: str) -> str | None:
        """Return the newest nonce of an origin, empty where it demands none; None: nobody knows."""

    async def nonce_or_turn(self, origin: str, *, seconds: float) -> str | bool:
        """Return the newest nonce, or ask to be the one who fetches it.

        Args:
            origin: The origin.
            seconds: For how long nobody else is.

        Returns:
            The nonce as :meth:`nonce`, or True: it is the caller's turn, or False: another one's.
        """

    async def release_turn(self, origin: str) -> None:
        """Say that the nonce could not be fetched: it is the next one's turn. Only whoever had it says so."""

    async def put_nonce(self, origin: str, nonce: str, *, seconds: float) -> None:
        """Keep a nonce for so many seconds, empty where none is demanded; whoever waits for it need not any more."""


class Store(SessionStore, CodeStore, QuotaStore, NonceStore, Protocol):
    """All that the processes of an application share."""
