"""One rule for codes: may a user be sent one, and may a code be presented. Always through a store.

Invariants:

- A code is presented once, by one process. Only an attempt that the service did not look at is undone.
- Attempts at a code are counted wherever they are made.
- Both are forgotten when it is confirmed that a new code was sent, by no start that came to nothing.
- A user who is being sent a code, or was sent one within the cool-down, is sent no other: a new code kills the first.
  A code that is dead ends the cool-down.
- A start that came to nothing neither cools the user down nor counts for an address.
- A start holds its user for as long as it takes. Only if its process may have died, which a store in this process
  survives as little, the hold ends within a minute: while the start lasts it is renewed.
- If the store is unreachable, each process falls back to its own memory. When the store is back either record refuses:
  what this process has presented is never presented by it again, and its attempts are added to the store's.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import attrs

from passwordless_async import errors
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret
from passwordless_async._common.user_address import counted_as
from passwordless_async.auth0.identity import AuthSession, Email, Phone, Recipient, user
from passwordless_async.auth0.mfa.state import MfaRequired
from passwordless_async.client.events import Use
from passwordless_async.stores.memory.codes import MemoryCodes
from passwordless_async.stores.memory.expiring import Expiring

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from passwordless_async._common.user_address import IpAddress
    from passwordless_async.client.profile import Profile
    from passwordless_async.client.shared.availability import Availability
    from passwordless_async.client.traffic.single_flight import Departure
    from passwordless_async.stores import CodeStore

T = TypeVar("T")

_MAX_ATTEMPTS = 3  # failures that kill a code at Auth0
_MAX_DISTINCT_CODES = 10  # of one user that are remembered: a caller that tries more is guessing
_REMEMBERED_SECONDS = 3600.0  # longer than codes live
_ADDRESS_WINDOW_SECONDS = 3600.0  # in which Auth0 counts the starts of an address
_HOLD_SECONDS = 60.0  # for which a start holds its user in a store that survives its process, unless it is renewed
_RENEW_SECONDS = 20.0  # after which it is: a code sent last of all cools its user down, even if the process dies then
_MAX_ALONE = 65_536  # users with attempts that the store does not know: as many as are remembered
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
# The service took the code: what failed came after it.
_AFTER_THE_CODE = (MfaRequired, errors.NotSenderConstrained, errors.InvalidIdToken)
# Likewise these codes of RFC 6749 §5.2, unless their description says more: they are about the request's form.
_ABOUT_THE_FORM = frozenset({"invalid_request", "invalid_scope", "unsupported_grant_type"})


class _Unreachable(enum.Enum):
    UNREACHABLE = enum.auto()


_UNREACHABLE: Final = _Unreachable.UNREACHABLE


@attrs.define(eq=False)
class StartTicket:
    """Leave to send a user a code, in the store's names."""

    user: str
    address: str | None  # None: the start names none
    token: str  # names this start
    longest: float  # seconds that it may take
    mark: int | None = None  # the user's last attempt before it; None: unknown
    own_mark: int | None = None  # likewise in this process's own memory
    renewal: asyncio.Task[None] | None = None  # of the hold, where it may outlast one


class Claim(NamedTuple):
    """Leave to present a code, in the store's names."""

    user: str
    code: str
    token: str  # names this attempt


class Codes:
    """The codes of a client's users; lives as long as the client."""

    def __init__(self, availability: Availability, *, issuer: str, client_id: str, profile: Profile) -> None:
        self._availability = availability
        self._own = MemoryCodes()
        self._alone: Expiring[bool] = Expiring(_MAX_ALONE)  # users with attempts that the store does not know
        self._scope = f"{issuer} {client_id}"
        self._profile = profile
        # A name for each start and each attempt, unlike those of all processes.
        self._tokens = map(f"{_clock.unique_id()}{{}}".format, itertools.count())

    async def begin_start(self, who: Email | Phone, address: IpAddress | None, *, patience: float) -> StartTicket:
        """Ask for leave to send a user a code; the caller reports by :meth:`end_start` how the start ended.

        The start may wait ``patience`` seconds for its turn.

        Raises:
            CoolingDown: The user was sent a code within the cool-down, or is being sent one.
            QuotaExceeded: The address has used up its starts.
        """
        name = self._user(user("who", who))
        ticket = StartTicket(name, self._address(address), next(self._tokens), patience + self._profile.timeout)
        try:
            cooling, used_up = await asyncio.gather(self._begin_for_user(ticket), self._begin_for_address(ticket))
        except BaseException:
            self.end_start_in_background(ticket, sent=False, counted=False)
            raise
        if not cooling and not used_up:
            self._renew(ticket)
            return ticket
        await self.end_start(ticket, sent=False, counted=False)
        if cooling:
            raise errors.CoolingDown(retry_after=cooling)
        raise errors.QuotaExceeded(_used_up(address), retry_after=used_up)

    async def _begin_for_user(self, ticket: StartTicket) -> float:
        cool_down, is_local = self._profile.cool_down, self._availability.is_local
        if not is_local and (left := self._own.cooling_left(ticket.user)):
            return left
        if not is_local:
            # Without a hold: this only says which attempts come before the start.
            _, ticket.own_mark = await self._hold(self._own, ticket, 0.0)
        longest = ticket.longest if is_local else min(ticket.longest, _HOLD_SECONDS)
        hold = max(longest, cool_down) if cool_down else 0.0
        answer = await self._reach(lambda store: self._hold(store, ticket, hold))
        if answer is _UNREACHABLE:
            # This memory ends with the process, and so with the start.
            left, _ = await self._hold(self._own, ticket, max(ticket.longest, cool_down) if cool_down else 0.0)
        else:
            left, ticket.mark = answer
        return left

    def _hold(self, store: CodeStore, ticket: StartTicket, seconds: float) -> Awaitable[tuple[float, int]]:
        return store.begin_start(ticket.user, token=ticket.token, seconds=seconds, remember=_REMEMBERED_SECONDS)

    def _renew(self, ticket: StartTicket) -> None:
        """Renew the hold of a start while it lasts, where it is kept in a store that survives this process."""
        is_long = ticket.longest > _HOLD_SECONDS and self._profile.cool_down
        if is_long and not self._availability.is_local:
            ticket.renewal = asyncio.create_task(self._keep_renewing(ticket))

    async def _keep_renewing(self, ticket: StartTicket) -> None:
        hold = max(_HOLD_SECONDS, self._profile.cool_down)
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            await self._reach(lambda store: self._hold(store, ticket, hold))

    async def _begin_for_address(self, ticket: StartTicket) -> float:
        if ticket.address is None:
            # This machine's own address, which the service counts: other machines have others.
            return await self._own.begin_address_start(_OWN_ADDRESS, token=ticket.token, max_starts=None, window=0.0)
        question = partial(self._count, address=ticket.address, token=ticket.token)
        if self._availability.is_local:
            return await question(self._availability.store)
        # Also here, so that a store that was unreachable, or becomes so, allows no more.
        if used_up := await question(self._own):
            return used_up
        answer = await self._reach(question)
        return 0.0 if answer is _UNREACHABLE else answer

    def _count(self, store: CodeStore, *, address: str, token: str) -> Awaitable[float]:
        return store.begin_address_start(
            address, token=token, max_starts=self._profile.starts_per_hour, window=_ADDRESS_WINDOW_SECONDS
        )

    async def end_start(self, ticket: StartTicket, *, sent: bool | None, counted: bool) -> None:
        """Report how a start ended.

        Args:
            ticket: The start.
            sent: Whether a code was sent: what is known of the codes before is forgotten, and the cool-down begins.
                None: that is not known, so the cool-down begins and nothing is forgotten.
            counted: Whether the service saw the request, and so counts it for the address.
        """
        await self._finish(self._end_start(ticket, sent=sent, counted=counted))

    async def _end_start(self, ticket: StartTicket, *, sent: bool | None, counted: bool) -> None:
        if ticket.renewal is not None:
            ticket.renewal.cancel()
        cool_down = 0.0 if sent is False else self._profile.cool_down
        address, mark, own_mark = ticket.address, ticket.mark, ticket.own_mark
        if not sent:
            mark = own_mark = None
        if self._profile.cool_down or sent:
            end = partial(self._end_for_user, ticket=ticket, seconds=cool_down)
            await self._tell(partial(end, mark=mark), partial(end, mark=own_mark))
        if address is not None and not counted:
            await self._tell(lambda store: store.end_address_start(address, token=ticket.token, blocked=0.0))

    def _end_for_user(
        self, store: CodeStore, *, ticket: StartTicket, seconds: float, mark: int | None
    ) -> Awaitable[None]:
        return store.end_start(
            ticket.user, token=ticket.token, seconds=seconds, mark=mark, remember=_REMEMBERED_SECONDS
        )

    def end_start_in_background(self, ticket: StartTicket, *, sent: bool | None, counted: bool) -> None:
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
        text = f"{who.auth_session} {code}" if isinstance(who, AuthSession) else code
        return Claim(
            name, self._name(text if self._availability.is_local else f"code {name} {text}"), next(self._tokens)
        )

    async def claim(self, claim: Claim) -> int:
        """Ask for leave to present a code, count the attempt, and return how many failures the code survives after it.

        Raises:
            CodeSpent: The code was presented before, or has no attempts left; nothing was sent.
        """
        attempts = await self._begin_attempt(claim)
        if attempts is None:
            raise errors.CodeSpent("the code was presented before, and is not presented again")
        if attempts == 0:
            raise errors.CodeSpent("the code has no attempts left")
        return max(_MAX_ATTEMPTS - attempts, 0)

    async def _begin_attempt(self, claim: Claim) -> int | None:
        if self._availability.is_local:
            return await self._count_attempt(self._availability.store, claim)
        # What this process has presented it knows itself, whenever the store was unreachable.
        own = await self._count_attempt(self._own, claim)
        if own is None:
            return None
        attempts = await self._count_in_store(claim)
        if attempts is _UNREACHABLE:
            self._alone.put(claim.user, value=True, seconds=_REMEMBERED_SECONDS)
            return own
        self._alone.discard(claim.user)
        if not own and attempts and attempts > _MAX_ATTEMPTS:
            # The code was used up here, and the store knows of no newer one: the attempts that it counts go on from it.
            await self._undo(claim)
            return 0
        if not attempts:
            await self._own.undo_attempt(claim.user, claim.code, token=claim.token)
        return attempts

    async def _count_in_store(self, claim: Claim) -> int | _Unreachable | None:
        """Count an attempt in the store, after those of this process that it does not know."""
        unknown = self._own.presented(claim.user) if self._alone.get(claim.user) else []
        answer: int | _Unreachable | None = 0
        for each in (*(Claim(claim.user, *known) for known in unknown if known[1] != claim.token), claim):
            answer = await self._reach(partial(self._count_attempt, claim=each))
            if answer is _UNREACHABLE:
                break
        return answer

    async def _count_attempt(self, store: CodeStore, claim: Claim) -> int | None:
        return await store.begin_attempt(
            claim.user,
            claim.code,
            token=claim.token,
            max_attempts=_MAX_ATTEMPTS,
            max_codes=_MAX_DISTINCT_CODES,
            remember=_REMEMBERED_SECONDS,
        )

    async def accepted(self, claim: Claim) -> None:
        """Report that a code was right: its user may be sent another at once."""
        await self._report(_retirement(claim, correct=True))

    async def refused(
        self, claim: Claim, error: errors.PasswordlessError, departure: Departure, attempts_left: int = _MAX_ATTEMPTS
    ) -> None:
        """Report how an attempt failed.

        One that the service did not look at is undone. After every other the code that was presented is not presented
        again. Unless it was only wrong, it may have been the newest one: its user needs another, and may be sent it.
        """
        if not departure.was_sent or _is_before_the_code(error):
            await self._finish(self._undo(claim))
        elif not (isinstance(error, errors.WrongCode) and attempts_left):
            await self._report(_retirement(claim, correct=isinstance(error, _AFTER_THE_CODE)))

    def cancelled(self, claim: Claim, departure: Departure) -> None:
        """Report that an attempt was cancelled: between two transmissions, or while one is on the wire."""
        if departure.on_wire:
            self._availability.in_background(self._tell(_retirement(claim, correct=False)))
        else:
            # It would have been sent again, so the service has not looked at the code.
            self._availability.in_background(self._undo(claim))

    async def _undo(self, claim: Claim) -> None:
        await self._tell(lambda store: store.undo_attempt(claim.user, claim.code, token=claim.token))

    async def _finish(self, report: Coroutine[Any, Any, None]) -> None:
        """Make a report to its end, even if the caller is cancelled: what it undoes would stay for an hour."""
        if self._availability.is_local:
            await report  # never suspends
        else:
            await asyncio.shield(self._availability.in_background(report))

    async def _reach(self, question: Callable[[CodeStore], Awaitable[T]]) -> T | _Unreachable:
        """Ask the store, as far as it can be reached."""
        if self._availability.is_local:
            return await question(self._availability.store)
        return await self._availability.ask(Use.CODES, partial(question, self._availability.store), _UNREACHABLE)

    async def _tell(
        self,
        report: Callable[[CodeStore], Awaitable[None]],
        own_report: Callable[[CodeStore], Awaitable[None]] | None = None,
    ) -> None:
        """Make a report to the store, and to this process's own memory: each knows by the token whether it is meant."""
        if not self._availability.is_local:
            await (own_report or report)(self._own)
        await self._reach(report)

    async def _report(self, report: Callable[[CodeStore], Awaitable[None]]) -> None:
        """Tell the store what the caller need not wait for; a store in this process hears it at once."""
        await report(self._availability.store if self._availability.is_local else self._own)
        if not self._availability.is_local:
            self._availability.in_background(self._reach(report))

    def _user(self, who: Recipient) -> str:
        who = who.who if isinstance(who, AuthSession) else who
        return self._name(f"user {self._scope} {who.realm} {who.identity}")

    def _address(self, address: IpAddress | None) -> str | None:
        return None if address is None else self._name(f"address {self._scope} {counted_as(address)}")

    def _name(self, text: str) -> str:
        # A pseudonym hides it from those who read a store. In this process it would cost a login more than the rest.
        return Secret(text) if self._availability.is_local else self._availability.keys.pseudonym(text)


def _retirement(claim: Claim, *, correct: bool) -> Callable[[CodeStore], Awaitable[None]]:
    """Return the report that a code is dead."""
    return lambda store: store.retire_code(claim.user, claim.code, token=claim.token, correct=correct)


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
