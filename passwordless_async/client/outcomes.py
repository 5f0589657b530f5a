"""The values of calls for many users: starts, outcomes, progress; and orphans and the closing report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import always_printable
from passwordless_async._common.user_address import IpAddress, user_address
from passwordless_async.auth0.identity import Login, Recipient, User, user

if TYPE_CHECKING:
    from passwordless_async.auth0.tokens import StartReceipt, TokenSet
    from passwordless_async.errors import PasswordlessError


def _address(value: IpAddress | str | None) -> IpAddress | None:
    return None if value is None else user_address("forwarded_for", value)


@always_printable
@attrs.frozen
class Start:
    """One user to send a code to: the input of ``start_many``.

    Args:
        who: The user.
        language: The language of the message, a BCP 47 tag.
        forwarded_for: The end user's address, as for ``start``.
        tag: Any value of your own, returned in the :class:`~passwordless_async.StartOutcome`.

    Raises:
        UsageError: An argument is invalid.
    """

    who: User = attrs.field(validator=lambda _start, _attribute, value: user("who", value))
    language: str | None = attrs.field(default=None, kw_only=True, converter=_check.language_tag)
    forwarded_for: IpAddress | None = attrs.field(default=None, kw_only=True, converter=_address)
    tag: Any = attrs.field(default=None, kw_only=True, eq=False)


@attrs.frozen
class Outcome:
    """The outcome of one login: tokens or an error, never both.

    Attributes:
        login: The login, with its ``tag``.
        tokens: The tokens; None if it failed.
        error: Why it failed; None if it succeeded.
    """

    login: Login
    tokens: TokenSet | None = None
    error: PasswordlessError | None = None


@attrs.frozen
class Orphan:
    """The result of a login or a refresh whose caller has gone. It was sent, so it was not cancelled.

    Attributes:
        who: The user; None for a refresh.
        tokens: The tokens; None if it failed.
        error: Why it failed; None if it succeeded.
        tag: The ``tag`` of the :class:`~passwordless_async.Login`.
        spent: The tokens that were refreshed; None for a login.
    """

    who: Recipient | None
    tokens: TokenSet | None = None
    error: PasswordlessError | None = None
    tag: Any = attrs.field(default=None, eq=False)
    spent: TokenSet | None = None


@attrs.frozen
class StartOutcome:
    """The outcome of one start: a receipt or an error, never both.

    Attributes:
        start: The start, with its ``tag``.
        receipt: The receipt; None if it failed.
        error: Why it failed; None if it succeeded.
    """

    start: Start
    receipt: StartReceipt | None = None
    error: PasswordlessError | None = None


@attrs.frozen
class Progress:
    """The progress of a call for many users.

    Attributes:
        done: How many have ended, including failed ones.
        failed: How many of them failed.
        in_flight: How many are in flight.
        seconds: Seconds since the first began.
    """

    done: int
    failed: int
    in_flight: int
    seconds: float


@attrs.frozen
class ClosingReport:
    """The requests that a closing client abandoned: they were sent, and no response came within the grace period.

    Attributes:
        exchanges: The users of abandoned exchanges: their codes may be spent.
        refreshes: The number of abandoned refreshes.
        factors: The number of abandoned second factors.
        others: The number of abandoned starts, revocations and calls of userinfo.
    """

    exchanges: tuple[Recipient, ...] = ()
    refreshes: int = 0
    factors: int = 0
    others: int = 0
