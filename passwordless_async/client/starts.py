"""When a user may be sent a code: not while one is on its way to them, and so often an hour for one address."""

from __future__ import annotations

import asyncio
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, TypeVar

from passwordless_async.auth0.identity import AuthSession, user
from passwordless_async.client.traffic import Flight, StartRules
from passwordless_async.errors import OutcomeUnknown, PasswordlessError, RateLimited, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async.auth0.identity import Email, Phone
    from passwordless_async.client.shared import SharedChallenges

    Address = IPv4Address | IPv6Address

T = TypeVar("T")


class Starts:
    """The starts of a client; lives as long as it.

    Args:
        rules: What may be when.
        about_one_caller: Seconds; a 429 for longer is about the address that a start was made for.
        challenges: What other machines know of the same users; None: there are none.
    """

    def __init__(
        self, rules: StartRules, *, about_one_caller: float, challenges: SharedChallenges | None = None
    ) -> None:
        self._rules = rules
        self._about_one_caller = about_one_caller
        self._challenges = challenges

    async def run(
        self,
        who: Email | Phone,
        address: Address | None,
        make: Callable[[Flight[Any]], Awaitable[T]],
        *,
        patience: float,
    ) -> T:
        """Make a start, if it may be made.

        Args:
            who: The user.
            address: The end user's address, where the start is made on its behalf.
            make: Makes it; says by ``left`` of what it is given when it has left.
            patience: Seconds that it may wait for its turn.

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
            started = await self._everywhere(who, address, partial(make, flight), flight, patience)
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
                if self._challenges is not None:
                    self._challenges.bar(address, error.retry_after or 0.0)
            raise
        finally:
            self._rules.end(begun, sent=sent, counted=flight.ever_left)
        return started

    async def _everywhere(
        self,
        who: Email | Phone,
        address: Address | None,
        make: Callable[[], Awaitable[T]],
        flight: Flight[Any],
        patience: float,
    ) -> T:
        """Make a start that no other machine stands in the way of, and that stands in theirs."""
        if self._challenges is None:
            return await make()
        ticket = self._challenges.ticket(who, address, patience=patience)
        try:
            await self._challenges.begin(ticket)
            started = await make()
        except asyncio.CancelledError:
            self._challenges.end_soon(ticket, sent=flight.left, counted=flight.ever_left)
            raise
        except PasswordlessError as error:
            unknown = isinstance(error, OutcomeUnknown)  # a code may be on its way
            await self._challenges.end(ticket, sent=unknown, counted=flight.ever_left)
            raise
        await self._challenges.end(ticket, sent=True, counted=True)
        return started

    def over(self, who: Email | Phone | AuthSession) -> None:
        """Let a user have another code at once: the one that was sent is of no more use."""
        self._rules.undo(who.who if isinstance(who, AuthSession) else who)
