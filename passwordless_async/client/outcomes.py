"""What goes into calls for many users, and what comes of them: starts, outcomes, orphans and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async.auth0.identity import user

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from passwordless_async.auth0.identity import AuthSession, Email, Login, Phone
    from passwordless_async.auth0.tokens import StartReceipt, TokenSet
    from passwordless_async.errors import PasswordlessError


@attrs.frozen
class Start:
    """One user who is to be sent a code, among many.

    Args:
        who: The user.
        language: The language of the message, a BCP 47 tag.
        forwarded_for: The end user's address, as for ``start``.
        tag: The caller's own, handed back untouched in the :class:`~passwordless_async.StartOutcome`.

    Raises:
        UsageError: An argument is not of its form.
    """

    who: Email | Phone = attrs.field(validator=lambda _start, _attribute, value: user("who", value))
    language: str | None = attrs.field(default=None, kw_only=True, converter=_check.language_tag)
    forwarded_for: IPv4Address | IPv6Address | None = attrs.field(default=None, kw_only=True)
    tag: Any = attrs.field(default=None, kw_only=True, eq=False)


@attrs.frozen
class Outcome:
    """What became of one login: tokens or an error, never both.

    Attributes:
        login: The login, with its ``tag``.
        tokens: The tokens; None where it failed.
        error: Why it failed; None where it did not.
    """

    login: Login
    tokens: TokenSet | None = None
    error: PasswordlessError | None = None


@attrs.frozen
class Orphan:
    """What became of a login or a refresh that nobody waited for any more: it had left, so it was not ended.

    Attributes:
        who: The user; None where a refresh is meant.
        tokens: The tokens; None where it failed.
        error: Why it failed; None where it did not.
        tag: The caller's own, of a :class:`~passwordless_async.Login` that had one.
        spent: The tokens that were refreshed; None where a login is meant.
    """

    who: Email | Phone | AuthSession | None
    tokens: TokenSet | None = None
    error: PasswordlessError | None = None
    tag: Any = attrs.field(default=None, eq=False)
    spent: TokenSet | None = None


@attrs.frozen
class StartOutcome:
    """What became of one start: a receipt or an error, never both.

    Attributes:
        start: What was asked for, with its ``tag``.
        receipt: That the service took it; None where it failed.
        error: Why it failed; None where it did not.
    """

    start: Start
    receipt: StartReceipt | None = None
    error: PasswordlessError | None = None


@attrs.frozen
class Progress:
    """How far many logins, or starts, have come.

    Attributes:
        done: How many have ended, failed ones included.
        failed: How many of them failed.
        in_flight: How many are under way.
        seconds: Since the first was begun.
    """

    done: int
    failed: int
    in_flight: int
    seconds: float


@attrs.frozen
class ClosingReport:
    """What a client that was closed had to abandon: nobody knows what became of it.

    Attributes:
        exchanges: The users whose codes had left and were not answered within the grace period.
        refreshes: How many refreshes, likewise.
        factors: How many second factors, likewise.
        others: How many starts, revocations and calls of userinfo, likewise.
    """

    exchanges: tuple[Email | Phone | AuthSession, ...] = ()
    refreshes: int = 0
    factors: int = 0
    others: int = 0
