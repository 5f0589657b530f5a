"""A cache of unsealed sessions: their next use needs no unsealing, no parsing and no loading of their keys.

Invariants:

- Every use reads the store. An entry is used only if the store still has the text that it was unsealed from: what any
  process has closed, refreshed or changed takes effect at once.
- At most ``_MAX_SESSIONS`` are kept, of about 15 KB each: 30 MB. Those that were not used for
  ``_KEEP_SECONDS`` are dropped when another one is used, and all of them when the client is closed.
- No repr shows its contents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async._common.bounded import Bounded
from passwordless_async._common.secret import redacted

if TYPE_CHECKING:
    from passwordless_async._common.secret import SecretDict
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.api.user_session import UserSession
    from passwordless_async.stores import Place

_MAX_SESSIONS = 2000
_KEEP_SECONDS = 60.0


@attrs.frozen(eq=False)
class Unsealed:
    """An unsealed session. All uses share this object; only ``apis`` changes.

    Attributes:
        tokens: The tokens, with their key.
        place: Where it is stored, with its user.
        members: The values that are sealed with the tokens.
        is_stale: Whether it was sealed with another key than the newest.
        apis: The objects that call APIs with its tokens, by the origins that they are for.
    """

    tokens: TokenSet
    place: Place
    members: SecretDict
    is_stale: bool
    apis: dict[tuple[str, ...] | None, UserSession] = attrs.field(factory=dict, repr=redacted)


@attrs.define(eq=False)
class _Entry:
    sealed: str = attrs.field(repr=redacted)
    unsealed: Unsealed
    used_at: float  # by the monotonic clock


class SessionCache:
    """The sessions that one client has unsealed."""

    def __init__(self) -> None:
        self._entries: Bounded[str, _Entry] = Bounded(_MAX_SESSIONS)  # the least recently used one first

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, place: Place, sealed: str) -> Unsealed | None:
        """Return the unsealed session of a text at a place; None if it is not cached."""
        now = _clock.monotonic()
        self._drop_unused(now)
        entry = self._entries.get(place.session)
        if entry is None or entry.sealed != sealed:
            return None
        entry.used_at = now
        return entry.unsealed

    def put(self, place: Place, sealed: str, unsealed: Unsealed) -> None:
        """Cache the unsealed session of a text at a place, instead of that of an older text."""
        self._entries[place.session] = _Entry(sealed, unsealed, _clock.monotonic())

    def _drop_unused(self, now: float) -> None:
        entries = self._entries
        while entries and now - dict.__getitem__(entries, first := next(iter(entries))).used_at > _KEEP_SECONDS:
            del entries[first]

    def forget(self, place: Place) -> None:
        """Forget a session: it has ended."""
        self._entries.pop(place.session, None)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
