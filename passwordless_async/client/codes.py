"""One rule for codes: may a user be sent one, and may a code be presented. Always through a store.

Invariants:

- A code is presented once, by one process. Only an attempt that the service did not look at is undone.
- Attempts at a code are counted wherever they are made.
- A user who is being sent a code, or was sent one within the cool-down, is sent no other: a new code kills the first.
- A start that came to nothing neither cools the user down nor counts for an address.
- If the store is unreachable, each process falls back to its own memory.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from passwordless_async import errors
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.identity import AuthSession, Email, Phone, Recipient, user
from passwordless_async.client.events import Use
from passwordless_async.stores.memory.codes import MemoryCodes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from passwordless_async.auth0.requests import IpAddress
    from passwordless_async.client.profile import Profile
    from passwordless_async.client.shared.availability import Availability
    from passwordless_async.client.traffic.single_flight import Departure
    from passwordless_async.stores import CodeStore

T = TypeVar("T")

_MAX_ATTEMPTS = 3  # failures that kill a code at Auth0
_MAX_DISTINCT_CODES = 10  # of one user that are remembered: a caller that tries more is guessing
_REMEMBERED_SECONDS = 3600.0  # longer than codes live
_ADDRESS_WINDOW_SECONDS = 3600.0  # in which Auth0 counts the starts of an address
_MAX_START_SECONDS = 60.0  # that a start which has not ended keeps others back: its process may have died
_OWN_ADDRESS = "own address"  # under which this process's own address is blocked; no pseudonym looks like it
# The request was not sent, or the server refuses it before it looks at the code (RFC 9449 §5, RFC 6749 §5.2).
_BEFORE_THE_CODE = (
    errors.NotSent,
    errors.QuotaExceeded,
    errors.RateLimited,
    errors.InvalidClient,
    errors.UnauthorizedClient,
    errors.InvalidDPoPProof,
    errors.UseDPoPNonce,
    errors.NonceChallengeRepeated,
)
# Likewise these codes of RFC 6749 §5.2, unless their description says more: they are about the request's form.
_ABOUT_THE_FORM = frozenset({"invalid_request", "invalid_scope", "unsupported_grant_type"})


class _Unreachable(enum.Enum):
    UNREACHABLE = enum.auto()


_UNREACHABLE: Final = _Unreachable.UNREACHABLE


@attrs.frozen
class StartTicket:
    """Leave to send a user a code, in the store's names."""

    user: str
    address: str | None  # None: the start names none
    token: str  # names this start
    seconds: float  # for which other starts of the user are kept back while this one is made


@attrs.frozen
class Claim:
    """Leave to present a code, in the store's names."""

    user: str
    code: str
    token: str  # names this attempt


class Codes:
    """The codes of a client's users; lives as long as the client."""

    def __init__(self, availability: Availability, *, issuer: str, client_id: str, profile: Profile) -> None:
        self._availability = availability
        self._own = MemoryCodes()
        self._scope = f"{issuer} {client_id}"
        self._profile = profile
        # A name for each start and each attempt, unlike those of all processes.
        self._tokens = map(f"{_clock.unique_id()}{{}}".format, itertools.count())

    async def begin_start(self, who: Email | Phone, address: IpAddress | None, *, patience: float) -> StartTicket:
        """Ask for leave to send a user a code; the caller reports by :meth:`end_start` how the start ended.

        The start may wait ``patience`` seconds for its turn.

        Raises:
            UsageError: ``address`` is not an IP address.
            CoolingDown: The user was sent a code within the cool-down, or is being sent one.
            QuotaExceeded: The address has used up its starts.
        """
        user("who", who)
        if type(address) not in {type(None), IPv4Address, IPv6Address}:
            raise errors.UsageError("forwarded_for", "must be one ipaddress.ip_address(...)")
        ticket = self._ticket(who, address, patience)
        try:
            cooling, used_up = await asyncio.gather(self._begin_for_user(ticket), self._begin_for_address(ticket))
        except asyncio.CancelledError:
            self.end_start_in_background(ticket, sent=False, counted=False)
            raise
        if not cooling and not used_up:
            return ticket
        await self.end_start(ticket, sent=False, counted=False)
        if cooling:
            raise errors.CoolingDown(retry_after=cooling)
        raise errors.QuotaExceeded(_used_up(address), retry_after=used_up)

    def _ticket(self, who: Email | Phone, address: IpAddress | None, patience: float) -> StartTicket:
        cool_down, longest = self._profile.cool_down, patience + self._profile.timeout
        # A start that has ended within the cool-down needs no second report: its cool-down counts from its beginning.
        seconds = cool_down if longest <= cool_down or not cool_down else min(longest, _MAX_START_SECONDS) + cool_down
        return StartTicket(self._user(who), self._address(address), next(self._tokens), seconds)

    async def _begin_for_user(self, ticket: StartTicket) -> float:
        return await self._ask(
            lambda store: store.begin_start(
                ticket.user, token=ticket.token, seconds=ticket.seconds, remember=_REMEMBERED_SECONDS
            )
        )

    async def _begin_for_address(self, ticket: StartTicket) -> float:
        address, max_starts = ticket.address, self._profile.starts_per_hour
        if address is None:
            # This machine's own address, which the service counts: other machines have others.
            return await self._own.begin_address_start(_OWN_ADDRESS, token=ticket.token, max_starts=None, window=0.0)
        return await self._ask(
            lambda store: store.begin_address_start(
                address, token=ticket.token, max_starts=max_starts, window=_ADDRESS_WINDOW_SECONDS
            )
        )

    async def end_start(self, ticket: StartTicket, *, sent: bool, counted: bool) -> None:
        """Report how a start ended.

        If a code was ``sent``, or may have been, the user's cool-down begins. A start is ``counted`` for its address if
        the service saw the request.
        """
        await self._finish(self._end_start(ticket, sent=sent, counted=counted))

    async def _end_start(self, ticket: StartTicket, *, sent: bool, counted: bool) -> None:
        address, cool_down = ticket.address, self._profile.cool_down if sent else 0.0
        if ticket.seconds and cool_down != ticket.seconds:
            await self._ask(lambda store: store.end_start(ticket.user, token=ticket.token, seconds=cool_down))
        if address is not None and not counted:
            await self._ask(lambda store: store.end_address_start(address, token=ticket.token, blocked=0.0))

    def end_start_in_background(self, ticket: StartTicket, *, sent: bool, counted: bool) -> None:
        """Report as :meth:`end_start`, without waiting for the store."""
        self._availability.in_background(self._end_start(ticket, sent=sent, counted=counted))

    async def block(self, address: IpAddress | None, seconds: float) -> None:
        """Allow no start for an address for so many seconds; None: for this machine's own, here alone."""
        name = self._address(address)
        if name is None:
            await self._own.end_address_start(_OWN_ADDRESS, token=None, blocked=seconds)
        else:
            await self._report(lambda store: store.end_address_start(name, token=None, blocked=seconds))

    def name(self, who: Recipient, code: str) -> Claim:
        """Return what an attempt at a user's code is known by."""
        name = self._user(who)
        handle = who.auth_session if isinstance(who, AuthSession) else ""
        return Claim(name, self._name(f"code {name} {handle} {code}"), next(self._tokens))

    async def claim(self, claim: Claim) -> int:
        """Ask for leave to present a code, count the attempt, and return how many failures the code survives after it.

        Raises:
            CodeSpent: The code was presented before, or has no attempts left; nothing was sent.
        """
        attempts = await self._ask(
            lambda store: store.begin_attempt(
                claim.user,
                claim.code,
                token=claim.token,
                max_attempts=_MAX_ATTEMPTS,
                max_codes=_MAX_DISTINCT_CODES,
                remember=_REMEMBERED_SECONDS,
            )
        )
        if attempts is None:
            raise errors.CodeSpent("the code was presented before, and is not presented again")
        if attempts == 0:
            raise errors.CodeSpent("the code has no attempts left")
        return max(_MAX_ATTEMPTS - attempts, 0)

    async def accepted(self, claim: Claim) -> None:
        """Report that a code was right: its user may be sent another at once."""
        await self._report(lambda store: store.retire_code(claim.user, claim.code, token=claim.token, correct=True))

    async def refused(self, claim: Claim, error: errors.PasswordlessError, departure: Departure) -> None:
        """Report how an attempt failed. One that the service did not look at is undone; an ended code is retired."""
        if not departure.was_sent or _is_before_the_code(error):
            await self._finish(self._undo(claim))
        elif isinstance(error, errors.CodeExpired | errors.TooManyAttempts):
            await self._report(
                lambda store: store.retire_code(claim.user, claim.code, token=claim.token, correct=False)
            )

    def cancelled(self, claim: Claim, departure: Departure) -> None:
        """Report that an attempt was cancelled."""
        if not departure.was_sent:
            self._availability.in_background(self._undo(claim))

    async def _undo(self, claim: Claim) -> None:
        await self._ask(lambda store: store.undo_attempt(claim.user, claim.code, token=claim.token))

    async def _finish(self, report: Coroutine[Any, Any, None]) -> None:
        """Make a report to its end, even if the caller is cancelled: what it undoes would stay for an hour."""
        if self._availability.is_local:
            await report  # never suspends
        else:
            await asyncio.shield(self._availability.in_background(report))

    async def _ask(self, question: Callable[[CodeStore], Awaitable[T]]) -> T:
        """Ask the store, and this process's own memory where it is unreachable."""
        if self._availability.is_local:
            return await question(self._availability.store)
        answer = await self._availability.ask(Use.CODES, partial(question, self._availability.store), _UNREACHABLE)
        return await question(self._own) if answer is _UNREACHABLE else answer

    async def _report(self, question: Callable[[CodeStore], Awaitable[None]]) -> None:
        """Tell the store what the caller need not wait for; a store in this process hears it at once."""
        if self._availability.is_local:
            await question(self._availability.store)
        else:
            self._availability.in_background(self._ask(question))

    def _user(self, who: Recipient) -> str:
        who = who.who if isinstance(who, AuthSession) else who
        return self._name(f"user {self._scope} {who.realm} {who.username}")

    def _address(self, address: IpAddress | None) -> str | None:
        return None if address is None else self._name(f"address {self._scope} {address}")

    def _name(self, text: str) -> str:
        # A pseudonym hides it from those who read a store. In this process it would cost a login more than the rest.
        return Secret(text) if self._availability.is_local else self._availability.keys.pseudonym(text)


def _is_before_the_code(error: errors.PasswordlessError) -> bool:
    """Return whether the service refused a request before it looked at the code."""
    if type(error) is errors.OAuthError:
        return error.error in _ABOUT_THE_FORM
    return isinstance(error, _BEFORE_THE_CODE)


def with_attempts_left(error: errors.PasswordlessError, attempts_left: int) -> errors.PasswordlessError:
    """Return an error that says how many failures the code survives, where the error is about a wrong code."""
    return error.with_facts(attempts_left=attempts_left) if isinstance(error, errors.WrongCode) else error


def _used_up(address: IpAddress | None) -> str:
    if address is None:
        return "the service takes no more starts from this machine for now: name the end user by forwarded_for"
    return "no more codes may be asked for on behalf of this address for now"
