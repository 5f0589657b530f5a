"""The values of stored sessions that applications and operators see."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import base64url as _base64url
from passwordless_async._common.secret import Secret, always_printable, redacted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.auth0.tokens import TokenSet


_NAME_BYTES = 21  # of a hash: 168 bits, which are 28 characters


def hashed(secret: str) -> str:
    """Return the hash of a secret: a name that does not reveal it."""
    return _base64url.encode_text(hashlib.sha256(secret.encode()).digest()[:_NAME_BYTES])


@attrs.frozen(kw_only=True)
class Lifetimes:
    """How long sessions last.

    A session ends at the time that was set when it was opened, or earlier if ``absolute`` has been shortened since. For
    ``idle``, the current value always applies. The store forgets a sealed session ``idle`` seconds after its last use,
    or when it is asked for after its end.

    Args:
        idle: Seconds from its last use to its end.
        absolute: Seconds from its opening to its end, even if it is used.

    Raises:
        UsageError: One is not above 0.
    """

    idle: float = attrs.field(default=7 * 86_400.0, validator=lambda _i, a, value: _check.seconds(a.name, value))
    absolute: float = attrs.field(default=30 * 86_400.0, validator=lambda _i, a, value: _check.seconds(a.name, value))


@always_printable
@attrs.frozen
class StoredSession:
    """A stored session, with its tokens.

    Attributes:
        id: Its identifier, which opens the session: put it only into the user's cookie.
        tokens: The tokens.
        user: The user.
        opened_at: When it was opened: seconds since the UNIX epoch.
        data: Your application's data; read-only.
        ends_at: When it ends even if it is used: seconds since the UNIX epoch; None if unknown.
        idle_ends_at: When it ends if it is not used again; None if unknown. Ignored in comparisons.
    """

    id: Secret = attrs.field(repr=redacted)
    tokens: TokenSet
    user: str = attrs.field(repr=redacted)
    opened_at: float
    data: Mapping[str, Any] = attrs.field(factory=dict, repr=redacted)
    ends_at: float | None = None
    idle_ends_at: float | None = attrs.field(default=None, eq=False)

    @property
    def identifier(self) -> Secret:
        """The identifier, as :attr:`id`."""
        return self.id

    @property
    def name(self) -> str:
        """The session's public name, as in :class:`SessionInfo`; it opens nothing."""
        return hashed(self.id)


@attrs.frozen
class SessionInfo:
    """The public information about a session, for operators and the user. Times are seconds since the UNIX epoch.

    Attributes:
        name: Its public name, which does not open it.
        opened_at: When it was opened; None if no key on the ring unseals it, or it was changed.
        idle_ends_at: When it ends if it is not used.
        ends_at: When it ends even if it is used; None if ``opened_at`` is.
        last_used_at: When it was last used; None if ``opened_at`` is.
        data: Your application's data, as given when the session was opened; read-only.
    """

    name: str
    opened_at: float | None
    idle_ends_at: float
    ends_at: float | None
    last_used_at: float | None = None
    data: Mapping[str, Any] = attrs.field(factory=dict, repr=redacted)
