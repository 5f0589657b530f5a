"""Records which stored sessions have which tokens: those that this process read from a session, or stored in one.

Invariants:

- An entry is kept as long as such a token set is in use; the latest entries are kept longer.
- Tokens of one login may be in several sessions: all of these are recorded, not only the last one.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from passwordless_async._common.bounded import Bounded

if TYPE_CHECKING:
    from collections.abc import Hashable

    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.tokens import TokenSet


class _Sessions(dict["Secret", None]):
    """The identifiers of the sessions that have the same tokens, the last one last."""

    __slots__ = ("__weakref__",)


def _held_until_now(_sessions: _Sessions) -> None:
    """Do nothing: a finalizer with the sessions as its argument keeps them as long as the tokens."""


class StoredTokens:
    """The sessions of tokens; kept for the client's lifetime.

    Args:
        size: The number of entries kept after their token sets have gone, because copies may be in use.
    """

    def __init__(self, size: int) -> None:
        self._known: weakref.WeakValueDictionary[Hashable, _Sessions] = weakref.WeakValueDictionary()
        self._last: Bounded[Hashable, _Sessions] = Bounded(size)

    def __len__(self) -> int:
        return len(self._known)

    def note(self, key: Hashable, tokens: TokenSet, identifier: Secret) -> None:
        """Record that a session has tokens, which a key identifies."""
        sessions = self._known.get(key)
        if sessions is None:
            sessions = self._known[key] = _Sessions()
        sessions.pop(identifier, None)
        sessions[identifier] = None
        self._last[key] = sessions
        weakref.finalize(tokens, _held_until_now, sessions).atexit = False

    def sessions(self, key: Hashable) -> tuple[Secret, ...]:
        """Return the identifiers of the sessions that have the tokens, the last one first."""
        return tuple(reversed(self._known.get(key, ())))

    def forget(self, key: Hashable, identifier: Secret) -> None:
        """Forget a session: it has ended."""
        sessions = self._known.get(key)
        if sessions is not None:
            sessions.pop(identifier, None)
