"""Which stored sessions have which tokens, as far as this process took them from one or gave them to one.

Invariants:

- It is known for as long as a token set lives that came from a session or went to one, and of the last ones beyond.
- Tokens of one login may be in several sessions: all are known, not the last one alone.
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
    """Do nothing: as an argument of a finalizer the sessions live as long as the tokens."""


class StoredTokens:
    """The sessions of tokens; kept for the client's lifetime.

    Args:
        size: Of how many tokens the sessions are known after the token sets have gone: copies may be in use.
    """

    def __init__(self, size: int) -> None:
        self._known: weakref.WeakValueDictionary[Hashable, _Sessions] = weakref.WeakValueDictionary()
        self._last: Bounded[Hashable, _Sessions] = Bounded(size)

    def __len__(self) -> int:
        return len(self._known)

    def note(self, key: Hashable, tokens: TokenSet, identifier: Secret) -> None:
        """Note that a session has tokens, which are known by a key."""
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
