"""Decides whether a user may be sent a code, and whether a code may be presented. The records are in a store.

Invariants:

- A code is presented once, by one process. An attempt is undone only if the service did not look at the code.
- A code that was refused as wrong is refused as wrong again, without a request; this does not count as an attempt.
- Attempts at a code are counted across all processes that share the store.
- Presented codes and attempts are forgotten when a new code is confirmed as sent. A start that failed forgets nothing.
- Within the cool-down of a code, and while a start is in progress, the user is sent no other code: a new code
  invalidates the previous one. A code that no longer works ends the cool-down.
- A start that failed before the service sent a code begins no cool-down. If the service did not see the start, it does
  not count for its address either.
- A start locks its user: no other start begins meanwhile. In a shared store, this lock expires after a minute and is
  renewed during the start, so it soon ends if the process dies.
- If the store is unreachable, each process falls back to its own memory. When the store is back, both records count:
  a process never presents a code again that it has presented, and its attempts are added to the store's.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import attrs

from passwordless_async import errors
from passwordless_async._common import clock as _clock
from passwordless_async._common.expiring import Expiring
from passwordless_async._common.secret import conceal
from passwordless_async._common.user_address import counted_as
from passwordless_async.auth0.identity import AuthSession, Email, Phone, Recipient, user, user_of
from passwordless_async.auth0.mfa.state import MfaRequired
from passwordless_async.client.events import Use
from passwordless_async.stores.memory.codes import MemoryCodes
from passwordless_async.stores.protocols import RefusedCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from passwordless_async._common.user_address import IpAddress
    from passwordless_async.client.profile import Profile
    from passwordless_async.client.shared.availability import Availability
    from passwordless_async.client.traffic.single_flight import Departure
    from passwordless_async.stores import CodeStore

T = TypeVar("T")

_MAX_ATTEMPTS = 3  # failures after which a code no longer works at Auth0
_MAX_DISTINCT_CODES = 10  # remembered for one user: a caller that tries more is guessing
_REMEMBERED_SECONDS = 3600.0  # records are kept for longer than codes are valid
_ADDRESS_WINDOW_SECONDS = 3600.0  # Auth0 counts the starts of an address by the hour
_HOLD_SECONDS = 60.0  # until a hold in a shared store expires, unless it is renewed
_RENEW_SECONDS = 20.0  # between two renewals: if the process dies, 40 seconds or more of the hold are left
_MAX_ALONE = 65_536  # users with attempts that the store does not know; the memory store keeps as many
_OWN_ADDRESS = "own address"  # the name of this machine's own address; no pseudonym looks like it
# The request was not sent, or the server refused it before it looked at the code (RFC 9449 §5, RFC 6749 §5.2).
_BEFORE_THE_CODE = (
    errors.NotSent,
    errors.QuotaExceeded,
    errors.RateLimited,
    errors.InvalidClient,
    errors.UnauthorizedClient,
    errors.DPoPRequired,
    errors.InvalidDPoPProof,
    errors.UseDPoPNonce,
    errors.NonceChallengeRepeated,
)
# So do these error codes of a plain OAuthError: the form of the request is wrong (RFC 6749 §5.2).
_ABOUT_THE_FORM = frozenset({"invalid_request", "invalid_scope", "unsupported_grant_type"})
# The service accepted the code; a later step failed.
_AFTER_THE_CODE = (MfaRequired, errors.NotSenderConstrained, errors.SenderConstrained, errors.InvalidIdToken)


class _Unreachable(enum.Enum):
    UNREACHABLE = enum.auto()


_UNREACHABLE: Final = _Unreachable.UNREACHABLE


@attrs.define(eq=False)
class StartTicket:
    """A start that was allowed. Its user and address have the names that the store knows them by."""

    user: str
    address: str | None  # None: this machine's own
    token: str  # identifies this start
    longest: float  # seconds that the start may take
    mark: int | None = None  # the user's last attempt before the start, by the store; None: unknown
    own_mark: int | None = None  # the same, by this process's own memory
    renewal: asyncio.Task[None] | None = None  # renews the hold; None: the start ends before the hold expires


class Claim(NamedTuple):
    """An attempt at a code. The user and the code have the names that the store knows them by."""

    user: str
    code: str
    token: str  # identifies this attempt


class Codes:
    """The codes of a client's users; kept for the client's lifetime."""

    def __init__(self, availability: Availability, *, issuer: str, client_id: str, profile: Profile) -> None:
        self._availability = availability
        self._own = MemoryCodes()
        self._alone: Expiring[str, bool] = Expiring(_MAX_ALONE)  # users with attempts that the store does not know
        # The last start of users that sent a code while the store was unreachable, and when it ended.
        self._unreported: Expiring[str, tuple[StartTicket, float]] = Expiring(_MAX_ALONE)
        self._scope = f"{issuer} {client_id}"
        self._profile = profile
        # A token for each start and each attempt, unique among all processes.
        self._tokens = map(f"{_clock.unique_id()}{{}}".format, itertools.count())

    async def begin_start(self, who: Email | Phone, address: IpAddress | None, *, patience: float) -> StartTicket:
        """Ask whether a user may be sent a code. The caller reports the outcome by :meth:`end_start`.

        ``patience`` is how many seconds the start may wait for its turn.

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
            # No hold, just the mark: it tells the attempts before the start from later ones.
            _, ticket.own_mark = await self._hold(self._own, ticket, 0.0)
        longest = ticket.longest if is_local else min(ticket.longest, _HOLD_SECONDS)
        hold = max(longest, cool_down) if cool_down else 0.0
        answer = await self._ask(lambda store: self._hold(store, ticket, hold))
        if answer is _UNREACHABLE:
            # This memory ends with its process, so the hold need not expire before the start does.
            left, _ = await self._hold(self._own, ticket, max(ticket.longest, cool_down) if cool_down else 0.0)
        else:
            left, ticket.mark = answer
        return left

    def _hold(self, store: CodeStore, ticket: StartTicket, seconds: float) -> Awaitable[tuple[float, int]]:
        return store.begin_start(ticket.user, token=ticket.token, seconds=seconds, remember=_REMEMBERED_SECONDS)

    def _renew(self, ticket: StartTicket) -> None:
        """Renew the hold of a start that may take longer, in a store that outlives this process."""
        is_long = ticket.longest > _HOLD_SECONDS and self._profile.cool_down
        if is_long and not self._availability.is_local:
            ticket.renewal = asyncio.create_task(self._keep_renewing(ticket))

    async def _keep_renewing(self, ticket: StartTicket) -> None:
        hold = max(_HOLD_SECONDS, self._profile.cool_down)
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            await self._ask(lambda store: self._hold(store, ticket, hold))

    async def _begin_for_address(self, ticket: StartTicket) -> float:
        if ticket.address is None:
            # The service counts this machine's own address; other machines have other addresses.
            return await self._own.begin_address_start(_OWN_ADDRESS, token=ticket.token, max_starts=None, window=0.0)
        question = partial(self._count, address=ticket.address, token=ticket.token)
        if self._availability.is_local:
            return await question(self._availability.store)
        # Counted here too: an unreachable store must not allow more starts.
        if used_up := await question(self._own):
            return used_up
        answer = await self._ask(question)
        return 0.0 if answer is _UNREACHABLE else answer

    def _count(self, store: CodeStore, *, address: str, token: str) -> Awaitable[float]:
        return store.begin_address_start(
            address, token=token, max_starts=self._profile.starts_per_hour, window=_ADDRESS_WINDOW_SECONDS
        )

    async def end_start(self, ticket: StartTicket, *, sent: bool | None, counted: bool, refused: bool = False) -> None:
        """Report how a start ended.

        Args:
            ticket: The start.
            sent: True: a code was sent, so the cool-down begins and the record of earlier codes is forgotten. None: a
                code may have been sent, so the cool-down begins and nothing is forgotten. False: no code was sent.
            counted: Whether the service saw the request, which it then counts for the address.
            refused: Whether the service refused the user, with ``sent`` None. The cool-down begins, and attempts are
                limited as if a code had been sent. Otherwise a second start, or a further attempt, would reveal by its
                response and its duration whether a user has an account.
        """
        await self._shield(self._end_start(ticket, sent=sent, counted=counted, refused=refused))

    async def _end_start(self, ticket: StartTicket, *, sent: bool | None, counted: bool, refused: bool = False) -> None:
        if ticket.renewal is not None:
            ticket.renewal.cancel()
        if self._profile.cool_down or sent or refused:
            await self._end_user_start(ticket, sent=sent, refused=refused)
        address = ticket.address
        if address is not None and not counted:
            await self._write(lambda store: store.end_address_start(address, token=ticket.token, blocked=0.0))

    async def _end_user_start(self, ticket: StartTicket, *, sent: bool | None, refused: bool) -> None:
        seconds = 0.0 if sent is False else self._profile.cool_down
        nothing_forgotten = 0 if refused else None  # attempts are numbered from 1
        mark, own_mark = (ticket.mark, ticket.own_mark) if sent else (nothing_forgotten, nothing_forgotten)
        end = partial(self._end_for_user, ticket=ticket, seconds=seconds)
        answer = await self._write(partial(end, mark=mark), partial(end, mark=own_mark))
        if answer is _UNREACHABLE and sent and mark is not None:
            self._unreported.put(ticket.user, (ticket, _clock.monotonic()), _REMEMBERED_SECONDS)

    def _end_for_user(
        self, store: CodeStore, *, ticket: StartTicket, seconds: float, mark: int | None
    ) -> Awaitable[None]:
        return store.end_start(
            ticket.user, token=ticket.token, seconds=seconds, mark=mark, remember=_REMEMBERED_SECONDS
        )

    def end_start_in_background(self, ticket: StartTicket, *, sent: bool | None, counted: bool) -> None:
        """Do as :meth:`end_start`, without waiting for the store."""
        self._availability.in_background(self._end_start(ticket, sent=sent, counted=counted))

    async def block(self, address: IpAddress | None, seconds: float) -> None:
        """Block starts for an address for ``seconds``; None: this machine's own address, only in this process."""
        name = self._address(address)
        if name is None:
            await self._own.end_address_start(_OWN_ADDRESS, token=None, blocked=seconds)
        else:
            await self._write_behind(lambda store: store.end_address_start(name, token=None, blocked=seconds))

    def name(self, who: Recipient, code: str) -> Claim:
        """Return a new attempt at a user's code, for :meth:`claim`."""
        name = self._user(who)
        text = f"{who.auth_session} {code}" if isinstance(who, AuthSession) else code
        return Claim(
            name, self._name(text if self._availability.is_local else f"code {name} {text}"), next(self._tokens)
        )

    async def claim(self, claim: Claim) -> int:
        """Count an attempt at a code, and return how many failures are left to the code after this one.

        Raises:
            CodeSpent: The code was presented before, or has no attempts left; nothing was sent.
            WrongCode: The code was refused as wrong before; nothing was sent.
        """
        local = self._availability.store if self._availability.is_local else None
        attempts = await (self._begin_attempt(claim) if local is None else self._count_attempt(local, claim))
        if attempts is None:
            raise errors.CodeSpent("the code was presented before, and is not presented again")
        if attempts == 0:
            raise errors.CodeSpent("the code has no attempts left", attempts_left=0)
        if isinstance(attempts, RefusedCode):
            raise _refused_again(max(_MAX_ATTEMPTS - attempts.attempts, 0))
        return max(_MAX_ATTEMPTS - attempts, 0)

    async def _begin_attempt(self, claim: Claim) -> int | RefusedCode | None:
        """Count an attempt in a store that may be unreachable, and here."""
        # This process remembers what it has presented, also while the store is unreachable.
        own = await self._count_attempt(self._own, claim)
        if not isinstance(own, int):
            return await self._presented_here(claim, own)
        attempts = await self._count_in_store(claim)
        if attempts is _UNREACHABLE:
            self._alone.put(claim.user, value=True, seconds=_REMEMBERED_SECONDS)
            return own
        if not own and isinstance(attempts, int) and attempts > _MAX_ATTEMPTS:
            # The code has no attempts left here, and the store has no newer code: it counts attempts at this one.
            await self._undo(claim)
            return 0
        if not attempts or isinstance(attempts, RefusedCode):
            await self._own.undo_attempt(claim.user, claim.code, token=claim.token)
        return attempts

    async def _presented_here(self, claim: Claim, own: RefusedCode | None) -> RefusedCode | None:
        """Return the result of a code that this process has presented.

        If it was wrong, the store is asked for the attempts of all processes.
        """
        if own is None:
            return None
        attempts = await self._count_in_store(claim)
        if isinstance(attempts, RefusedCode):
            return attempts
        await self._undo(claim)  # counted where the store never had the code, or has forgotten it
        return own

    async def _count_in_store(self, claim: Claim) -> int | RefusedCode | _Unreachable | None:
        """Count an attempt in the store, and before it the attempts of this process that the store does not know."""
        if (late := self._unreported.get(claim.user)) is not None:
            if await self._ask(partial(self._end_late, ticket=late[0], ended_at=late[1])) is _UNREACHABLE:
                return _UNREACHABLE
            self._unreported.discard(claim.user)
        unknown = self._own.presented(claim.user) if self._alone.get(claim.user) else []
        answer: int | RefusedCode | _Unreachable | None = None
        for each in (*(Claim(claim.user, *known) for known in unknown if known[1] != claim.token), claim):
            answer = await self._ask(partial(self._count_attempt, claim=each))
            if answer is _UNREACHABLE:
                return answer
        self._alone.discard(claim.user)
        return answer

    def _end_late(self, store: CodeStore, *, ticket: StartTicket, ended_at: float) -> Awaitable[None]:
        """Report a start that sent a code. The attempts that came after it stay: its mark is from before."""
        left = max(ended_at + self._profile.cool_down - _clock.monotonic(), 0.0)
        return self._end_for_user(store, ticket=ticket, seconds=left, mark=ticket.mark)

    def _count_attempt(self, store: CodeStore, claim: Claim) -> Awaitable[int | RefusedCode | None]:
        return store.begin_attempt(
            claim.user,
            claim.code,
            token=claim.token,
            max_attempts=_MAX_ATTEMPTS,
            max_codes=_MAX_DISTINCT_CODES,
            remember=_REMEMBERED_SECONDS,
        )

    async def accepted(self, claim: Claim) -> None:
        """Report that a code was right. It ends the cool-down."""
        await self._write_behind(_retirement(claim, correct=True))

    async def refused(
        self, claim: Claim, error: errors.PasswordlessError, departure: Departure, attempts_left: int = _MAX_ATTEMPTS
    ) -> None:
        """Report how an attempt failed.

        If the service did not look at the code, the attempt is undone. Otherwise the code is never presented again. A
        code that no longer works, and is not just wrong, ends the cool-down: the user needs a new one.
        """
        if not departure.was_sent or _is_before_the_code(error):
            await self._shield(self._undo(claim))
        elif isinstance(error, errors.WrongCode) or (isinstance(error, errors.TooManyAttempts) and not attempts_left):
            # The service says which wrong code was the last one, but only for users that have an account.
            await self._write_behind(
                lambda store: store.refuse_code(claim.user, claim.code, token=claim.token, is_last=not attempts_left)
            )
        else:
            await self._write_behind(_retirement(claim, correct=isinstance(error, _AFTER_THE_CODE)))

    def cancelled(self, claim: Claim, departure: Departure) -> None:
        """Report that an attempt was cancelled, on the wire or between two transmissions."""
        if departure.on_wire:
            self._availability.in_background(self._write(_retirement(claim, correct=False)))
        else:
            # The request was to be sent again, so the service has not looked at the code.
            self._availability.in_background(self._undo(claim))

    async def _undo(self, claim: Claim) -> None:
        await self._write(lambda store: store.undo_attempt(claim.user, claim.code, token=claim.token))

    async def _shield(self, report: Coroutine[Any, Any, None]) -> None:
        """Complete a report even if the caller is cancelled: otherwise its attempt or hold would stay in the store.

        A report that closing ends does not cancel the caller.
        """
        if self._availability.is_local:
            await report  # never suspends
        else:
            task = self._availability.in_background(report)
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async def _ask(self, question: Callable[[CodeStore], Awaitable[T]]) -> T | _Unreachable:
        """Ask the store; ``_UNREACHABLE`` if it cannot be reached."""
        if self._availability.is_local:
            return await question(self._availability.store)
        return await self._availability.ask(Use.CODES, partial(question, self._availability.store), _UNREACHABLE)

    async def _write(
        self,
        report: Callable[[CodeStore], Awaitable[None]],
        own_report: Callable[[CodeStore], Awaitable[None]] | None = None,
    ) -> _Unreachable | None:
        """Report to the store and to this process's own memory. Each ignores a token that it does not know."""
        if not self._availability.is_local:
            await (own_report or report)(self._own)
        return await self._ask(report)

    async def _write_behind(self, report: Callable[[CodeStore], Awaitable[None]]) -> None:
        """Report at once in this process, and to a shared store in the background."""
        await report(self._availability.store if self._availability.is_local else self._own)
        if not self._availability.is_local:
            self._availability.in_background(self._ask(report))

    def _user(self, who: Recipient) -> str:
        user_ = user_of(who)
        return self._name(f"user {self._scope} {user_.realm} {user_.identity}")

    def _address(self, address: IpAddress | None) -> str | None:
        return None if address is None else self._name(f"address {self._scope} {counted_as(address)}")

    def _name(self, text: str) -> str:
        # A pseudonym hides the text from readers of the store. In this process's memory it is not worth its cost.
        return conceal(text) if self._availability.is_local else self._availability.keys.pseudonym(text)


def _retirement(claim: Claim, *, correct: bool) -> Callable[[CodeStore], Awaitable[None]]:
    """Return a report that a code no longer works; ``correct``: because it was accepted."""
    return lambda store: store.retire_code(claim.user, claim.code, token=claim.token, correct=correct)


def _refused_again(attempts_left: int) -> errors.WrongCode:
    """Return the error for a code that the service has refused as wrong before, with that response."""
    problem = "the code was refused before, and was not sent again"
    return errors.WrongCode(
        status=HTTPStatus.FORBIDDEN,
        error="invalid_grant",
        error_description=problem,
        attempts_left=attempts_left,
        repeated=True,
    )


def _is_before_the_code(error: errors.PasswordlessError) -> bool:
    """Return whether the request failed before the service looked at the code."""
    if type(error) is errors.OAuthError:
        return error.error in _ABOUT_THE_FORM
    return isinstance(error, _BEFORE_THE_CODE)


def with_attempts_left(error: errors.PasswordlessError, attempts_left: int) -> errors.PasswordlessError:
    """Add to a ``WrongCode`` how many failures are left to the code; any other error stays as it is."""
    return error.with_facts(attempts_left=attempts_left) if isinstance(error, errors.WrongCode) else error


def _used_up(address: IpAddress | None) -> str:
    if address is None:
        return "the service takes no more starts from this machine for now: name the end user by forwarded_for"
    return "no more codes may be asked for on behalf of this address for now"
