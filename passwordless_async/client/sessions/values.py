"""What applications and operators see of sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import always_printable, redacted

if TYPE_CHECKING:
    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.tokens import TokenSet


@attrs.frozen(kw_only=True)
class Lifetimes:
    """How long sessions last.

    A session ends at the time that was set when it was opened, or earlier where ``absolute`` has been shortened since;
    ``idle`` counts as it is now.

    Args:
        idle: Seconds after its last use at which a session ends.
        absolute: Seconds after its opening at which it ends, however much it is used.

    Raises:
        UsageError: One is not above 0.
    """

    idle: float = attrs.field(default=7 * 86_400.0, validator=lambda _i, a, value: _check.seconds(a.name, value))
    absolute: float = attrs.field(default=30 * 86_400.0, validator=lambda _i, a, value: _check.seconds(a.name, value))


@always_printable
@attrs.frozen
class StoredSession:
    """One session.

    Attributes:
        id: Its identifier, which opens it: for the user's cookie, and for nobody else.
        tokens: The tokens.
        user: Whose it is.
        opened_at: When it was opened: seconds since the UNIX epoch.
    """

    id: Secret = attrs.field(repr=redacted)
    tokens: TokenSet
    user: str = attrs.field(repr=redacted)
    opened_at: float


@attrs.frozen
class SessionInfo:
    """What operators, and users who look at their own sessions, may know of one; times are seconds since the epoch.

    Attributes:
        name: Its public name, which opens nothing.
        opened_at: When it was opened; None where it does not open with the keys on the ring, or was changed.
        idle_ends_at: When it ends unless it is used before.
        ends_at: When it ends however much it is used; None where ``opened_at`` is.
    """

    name: str
    opened_at: float | None
    idle_ends_at: float
    ends_at: float | None
