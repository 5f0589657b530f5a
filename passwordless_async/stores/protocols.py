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


class Begin(enum.Enum):
    """What a process is told that wants to refresh a session."""

    BEGUN = "begun"
    """It may: nobody else does until it says that it has ended, or its time is over."""
    BUSY = "busy"
    """Another one is at it."""
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
        """Keep a new session for so many seconds, and the user's list of them for as long as ``user_seconds``."""

    async def read(self, shard: str, session: str, *, seconds: float) -> str | None:
        """Return a session and keep it for so many seconds from now; None where it is not there."""

    async def reseal(self, place: Place, before: str, sealed: str) -> bool:
        """Put another text in the place of one, for as long as that was kept; False where it is another by now."""

    async def close(self, place: Place) -> bool:
        """Forget a session; False where it is not there."""

    async def sessions_of(self, shard: str, user: str) -> tuple[str, ...]:
        """Return the hashes of a user's sessions; some may have ended."""

    async def begin_refresh(self, place: Place, *, spends: str, token: str, seconds: float) -> Begin:
        """Ask to refresh a session.

        Args:
            place: The session.
            spends: Names the refresh token that is to be spent.
            token: Names whoever asks, to end it by.
            seconds: After which it counts as ended.
        """

    async def leave_refresh(self, place: Place, *, token: str) -> None:
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
