"""Sends codes to users. ``codes.py`` decides whether a start may be sent, and gets its outcome."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import attrs

from passwordless_async._common.user_address import counted_as
from passwordless_async.auth0.start import start
from passwordless_async.client.events import Operation
from passwordless_async.client.outcomes import Start, StartOutcome
from passwordless_async.client.traffic.dispatcher import Call, Dispatcher
from passwordless_async.client.traffic.retries import ADDRESS_LIMIT_SECONDS, CALLER_LIMIT_SECONDS
from passwordless_async.client.traffic.single_flight import Departure
from passwordless_async.errors import AccessDenied, MalformedAnswer, OutcomeUnknown, PasswordlessError, RateLimited

if TYPE_CHECKING:
    from passwordless_async._common.user_address import IpAddress
    from passwordless_async.auth0.identity import Email, Phone
    from passwordless_async.auth0.tenant import Tenant
    from passwordless_async.client.codes import Codes, StartTicket
    from passwordless_async.client.profile import Profile

T = TypeVar("T")


@attrs.define(eq=False, repr=False)
class Starts:
    """The starts of a client; kept for the client's lifetime."""

    _tenant: Tenant
    _dispatcher: Dispatcher
    _codes: Codes
    _profile: Profile

    async def run(self, who: Email | Phone, forwarded_for: IpAddress | str | None, call: Call[T]) -> T:
        """Make a start. Raises what :meth:`Codes.begin_start <.codes.Codes.begin_start>` and the call raise."""
        address = self._profile.user_address(forwarded_for)
        self._dispatcher.require_open()
        policy = call.policy or self._profile.single
        ticket = await self._codes.begin_start(who, address, patience=policy.patience)
        departure = Departure()
        # An address, or this machine's own if none is given: the service counts the starts of each.
        caller = ("start", address and counted_as(address))
        call = attrs.evolve(call, caller=caller, user=who, channel=who.realm)
        try:
            started = await self._dispatcher.run(call, departure)
        except PasswordlessError as error:
            failure = error.with_traceback(None)
        except BaseException:
            sent = None if departure.on_wire else False
            self._codes.end_start_in_background(ticket, sent=sent, counted=departure.was_sent)
            raise
        else:
            await self._codes.end_start(ticket, sent=True, counted=True)
            return started
        await self._report(failure, ticket, address, counted=departure.was_sent)
        raise failure

    async def _report(
        self, failure: PasswordlessError, ticket: StartTicket, address: IpAddress | None, *, counted: bool
    ) -> None:
        """Report a start that failed, and block the address if it met that address's limit."""
        refused = isinstance(failure, AccessDenied)
        sent = None if refused or _may_have_sent(failure) else False
        await self._codes.end_start(ticket, sent=sent, counted=counted, refused=refused)
        if isinstance(failure, RateLimited):
            await self._block(address, failure.retry_after)

    async def _block(self, address: IpAddress | None, seconds: float | None) -> None:
        """Block the address that a 429 is about, on all machines; without one, this machine's own, in this process.

        Starts for this machine's own address wait for a short time in the dispatcher instead of being refused.
        """
        if seconds and (address is not None or seconds > CALLER_LIMIT_SECONDS):
            await self._codes.block(address, min(seconds, ADDRESS_LIMIT_SECONDS))

    async def outcome(self, start_: Start) -> StartOutcome:
        """Make one of many starts, as patiently as the profile's ``many``: an error is a :class:`StartOutcome`."""
        call = Call(
            Operation.START,
            lambda: start(self._tenant, start_.who, language=start_.language, forwarded_for=start_.forwarded_for),
            policy=self._profile.many,
        )
        try:
            receipt = await self.run(start_.who, start_.forwarded_for, call)
        except PasswordlessError as error:
            return StartOutcome(start_, error=error)
        return StartOutcome(start_, receipt=receipt)


def _may_have_sent(failure: PasswordlessError) -> bool:
    """Return whether a code may be on its way: there was no response, or an unusable one with a success status."""
    if isinstance(failure, MalformedAnswer):
        return failure.status < HTTPStatus.MULTIPLE_CHOICES
    return isinstance(failure, OutcomeUnknown)
