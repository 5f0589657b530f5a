"""Sends codes to users. ``codes.py`` decides whether a start may be sent, and gets its outcome."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import attrs

from passwordless_async._common.user_address import counted_as
from passwordless_async.auth0.database import start_database
from passwordless_async.auth0.link import start_link
from passwordless_async.auth0.start import start
from passwordless_async.client.events import Operation
from passwordless_async.client.outcomes import Start, StartOutcome
from passwordless_async.client.traffic.dispatcher import Call, Dispatcher
from passwordless_async.client.traffic.retries import ADDRESS_LIMIT_SECONDS, CALLER_LIMIT_SECONDS
from passwordless_async.client.traffic.single_flight import Departure
from passwordless_async.errors import AccessDenied, MalformedAnswer, OutcomeUnknown, PasswordlessError, RateLimited

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from passwordless_async._common.user_address import IpAddress
    from passwordless_async.auth0.identity import AuthSession, Email, User
    from passwordless_async.auth0.link import PendingLink
    from passwordless_async.auth0.tenant import Flow, Tenant
    from passwordless_async.auth0.tokens import StartReceipt
    from passwordless_async.client.codes import Codes, StartTicket
    from passwordless_async.client.profile import Policy, Profile

T = TypeVar("T")
_Address: TypeAlias = "IpAddress | str | None"


@attrs.define(eq=False, repr=False)
class Starts:
    """The starts of a client; kept for the client's lifetime."""

    _tenant: Tenant
    _dispatcher: Dispatcher
    _codes: Codes
    _profile: Profile

    def start(self, who: User, forwarded_for: _Address, **parameters: object) -> Awaitable[StartReceipt]:
        """Send a code or a link. The parameters are those of :func:`~passwordless_async.auth0.start.start`."""
        return self._run(start, who, forwarded_for, parameters)

    def start_link(self, who: Email, forwarded_for: _Address, **parameters: object) -> Awaitable[PendingLink]:
        """Send a link. The parameters are those of :func:`~passwordless_async.auth0.link.start_link`."""
        return self._run(start_link, who, forwarded_for, parameters)

    def start_database(self, who: User, forwarded_for: _Address, **parameters: object) -> Awaitable[AuthSession]:
        """Send a code. The parameters are those of :func:`~passwordless_async.auth0.database.start_database`."""
        return self._run(start_database, who, forwarded_for, parameters)

    async def outcome(self, start_: Start) -> StartOutcome:
        """Make one of many starts, as patiently as the profile's ``many``: an error is a :class:`StartOutcome`."""
        parameters = {"language": start_.language}
        try:
            receipt = await self._run(start, start_.who, start_.forwarded_for, parameters, self._profile.many)
        except PasswordlessError as error:
            return StartOutcome(start_, error=error)
        return StartOutcome(start_, receipt=receipt)

    async def _run(
        self,
        flow: Callable[..., Flow[T]],
        who: User,
        forwarded_for: _Address,
        parameters: Mapping[str, object],
        policy: Policy | None = None,
    ) -> T:
        """Make a start. Raises what :meth:`Codes.begin_start <.codes.Codes.begin_start>` and the flow raise."""
        address = self._profile.user_address(forwarded_for)
        self._dispatcher.require_open()
        patience = (policy or self._profile.single).patience
        ticket = await self._codes.begin_start(who, address, patience=patience)
        departure = Departure()
        call = Call(
            Operation.START,
            lambda: flow(self._tenant, who, forwarded_for=forwarded_for, **parameters),
            policy=policy,
            # An address, or this machine's own if none is given: the service counts the starts of each.
            caller=("start", address and counted_as(address)),
            user=who,
            channel=who.realm,
        )
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


def _may_have_sent(failure: PasswordlessError) -> bool:
    """Return whether a code may be on its way: there was no response, or an unusable one with a success status."""
    if isinstance(failure, MalformedAnswer):
        return failure.status < HTTPStatus.MULTIPLE_CHOICES
    return isinstance(failure, OutcomeUnknown)
