"""When a user may be sent a code: not while one is on its way to them, and so often an hour for one address."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, TypeVar

from passwordless_async.errors import OutcomeUnknown, RateLimited, UsageError
from passwordless_async.identity import AuthSession, user
from passwordless_async.quota import Flight, StartRules

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async.identity import Email, Phone

    Address = IPv4Address | IPv6Address

T = TypeVar("T")


class Starts:
    """The starts of a client; lives as long as it.

    Args:
        rules: What may be when.
        about_one_caller: Seconds; a 429 for longer is about the address that a start was made for.
    """

    def __init__(self, rules: StartRules, *, about_one_caller: float) -> None:
        self._rules = rules
        self._about_one_caller = about_one_caller

    async def run(self, who: Email | Phone, address: Address | None, make: Callable[[Flight[Any]], Awaitable[T]]) -> T:
        """Make a start, if it may be made.

        Args:
            who: The user.
            address: The end user's address, where the start is made on its behalf.
            make: Makes it; says by ``left`` of what it is given when it has left.

        Raises:
            UsageError: An argument is not of its form.
            CoolingDown: The user was sent a code just now, or is being sent one.
            QuotaExceeded: The address has had its share of this hour.
        """
        if type(address) not in {type(None), IPv4Address, IPv6Address}:
            raise UsageError("forwarded_for", "must be one ipaddress.ip_address(...)")
        begun = self._rules.begin(user("who", who), address)
        flight: Flight[Any] = Flight()
        flight.waiting = 1
        sent = False
        try:
            started = await make(flight)
            sent = True
        except OutcomeUnknown:
            sent = True  # a code may be on its way
            raise
        except asyncio.CancelledError:
            sent = flight.left
            raise
        except RateLimited as error:
            if (error.retry_after or 0.0) > self._about_one_caller:
                self._rules.bar(address, error.retry_after or 0.0)
            raise
        finally:
            self._rules.end(begun, sent=sent, counted=flight.ever_left)
        return started

    def over(self, who: Email | Phone | AuthSession) -> None:
        """Let a user have another code at once: the one that was sent is of no more use."""
        self._rules.undo(who.who if isinstance(who, AuthSession) else who)
