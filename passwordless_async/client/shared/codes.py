"""Users' codes, shared: no machine kills a code that another has just asked for, and none presents what another did.

The promises: a code is presented by one machine, once; its attempts are counted wherever they are made; a user who is
being sent a code, or was just now, is sent no other; and what provably came to nothing is taken back.
"""

from __future__ import annotations

import asyncio
import enum
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.identity import AuthSession
from passwordless_async.client.events import Use
from passwordless_async.errors import (
    CodeExpired,
    CodeSpent,
    CoolingDown,
    InvalidClient,
    InvalidDPoPProof,
    NonceChallengeRepeated,
    NotSent,
    PasswordlessError,
    QuotaExceeded,
    RateLimited,
    TooManyAttempts,
    UnauthorizedClient,
    UseDPoPNonce,
    WrongCode,
)
from passwordless_async.stores.memory.codes import MemoryCodes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async.auth0 import IpAddress
    from passwordless_async.auth0.identity import Email, Phone
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.profile import Profile
    from passwordless_async.client.shared.availability import Availability
    from passwordless_async.client.traffic import Flight
    from passwordless_async.stores import CodeStore

_ATTEMPTS = 3  # that a code has at Auth0
_DIFFERENT = 10  # codes of a user that are remembered: whoever tries more is guessing
_REMEMBERED = 3600.0  # seconds; longer than codes live
_HOUR = 3600.0  # seconds
_HELD = 60.0  # seconds at the most that a start which has not ended keeps others back: its process may be gone
_USERS = 100_000  # that this process remembers while the store is away
# Nothing was sent, or the server refuses it before it looks at the code (RFC 9449 §5, RFC 6749 §5.2).
_NOT_LOOKED_AT = (
    NotSent,
    QuotaExceeded,
    RateLimited,
    InvalidClient,
    UnauthorizedClient,
    InvalidDPoPProof,
    UseDPoPNonce,
    NonceChallengeRepeated,
)


T = TypeVar("T")


class _Away(enum.Enum):
    AWAY = enum.auto()


_AWAY: Final = _Away.AWAY


@attrs.frozen
class Ticket:
    """A start that this process makes.

    Attributes:
        user: The user's pseudonym.
        address: That of the address it is made for.
        token: Names the start.
        held: Seconds for which others are kept back while it is made.
    """

    user: str
    address: str | None
    token: str
    held: float


class SharedChallenges:
    """The codes of an application's users; lives as long as its client.

    Args:
        availability: The store.
        issuer: The tenant.
        client_id: The application.
        profile: How long a user cools down, and how many starts an address has.
    """

    def __init__(self, availability: Availability, issuer: str, client_id: str, profile: Profile) -> None:
        self._availability = availability
        self._own = MemoryCodes(_USERS)
        self._names = f"{issuer} {client_id}"
        self._profile = profile

    def ticket(self, who: Email | Phone, address: IpAddress | None, *, patience: float) -> Ticket:
        """Return what a start goes by that may wait so many seconds for its turn."""
        cool_down, longest = self._profile.cool_down, patience + self._profile.timeout
        # One that has ended by then needs no second word: its cool-down counts from its beginning.
        held = cool_down if longest <= cool_down or not cool_down else min(longest, _HELD) + cool_down
        return Ticket(self._user(who), self._address(address), _clock.unique_id(), held)

    async def begin(self, ticket: Ticket) -> None:
        """Ask for leave to make a start; whoever asked says by :meth:`end` how it ended, though it was refused.

        Raises:
            CoolingDown: The user was sent a code just now, by whatever machine, or is being sent one.
            QuotaExceeded: The address has had its share of this hour.
        """
        user, address = await asyncio.gather(self._begin_for_user(ticket), self._begin_for_address(ticket))
        if user:
            raise CoolingDown(retry_after=user)
        if address:
            raise QuotaExceeded("no more codes may be asked for on behalf of this address for now", retry_after=address)

    async def _begin_for_user(self, ticket: Ticket) -> float:
        return await self._ask(
            lambda store: store.begin_start(ticket.user, token=ticket.token, seconds=ticket.held, remember=_REMEMBERED)
        )

    async def _begin_for_address(self, ticket: Ticket) -> float:
        address, at_most = ticket.address, self._profile.starts_per_hour
        if address is None:
            return 0.0
        return await self._ask(
            lambda store: store.begin_address_start(address, token=ticket.token, max_starts=at_most, window=_HOUR)
        )

    async def end(self, ticket: Ticket, *, sent: bool, counted: bool) -> None:
        """Say how a start ended: whether a code was sent, or may have been, and whether the service counts it."""
        address, cool_down = ticket.address, self._profile.cool_down if sent else 0.0
        if ticket.held and cool_down != ticket.held:
            await self._ask(lambda store: store.end_start(ticket.user, token=ticket.token, seconds=cool_down))
        if address is not None and not counted:
            await self._ask(lambda store: store.end_address_start(address, token=ticket.token, blocked=0.0))

    def end_soon(self, ticket: Ticket, *, sent: bool, counted: bool) -> None:
        """See :meth:`end`; nobody waits for it."""
        self._availability.in_background(self.end(ticket, sent=sent, counted=counted))

    def bar(self, address: IpAddress | None, seconds: float) -> None:
        """Let no machine make a start on behalf of an address for so many seconds."""
        name = self._address(address)
        if name is not None:
            self._tell(lambda store: store.end_address_start(name, token=None, blocked=seconds))

    async def present(
        self,
        who: Email | Phone | AuthSession,
        code: str,
        exchange: Callable[[], Awaitable[TokenSet]],
        flight: Flight[TokenSet],
    ) -> TokenSet:
        """Exchange a code that no machine has presented.

        Args:
            who: Whose it is.
            code: The code.
            exchange: Exchanges it.
            flight: Knows whether it has left.

        Raises:
            CodeSpent: It was presented before, or has no attempts left; nothing was sent.
            PasswordlessError: As the exchange.
        """
        user, token = self._user(who), _clock.unique_id()
        name = self._code(user, who, code)

        def withdraw(store: CodeStore) -> Awaitable[None]:
            return store.undo_attempt(user, name, token=token)

        made = 0
        try:
            made = await self._made(user, name, token)
            tokens = await exchange()
        except asyncio.CancelledError:
            if not flight.ever_left:
                self._tell(withdraw)
            raise
        except PasswordlessError as error:
            if _not_looked_at(error, flight):
                await self._ask(withdraw)
            if isinstance(error, WrongCode):
                error.attempts_left = max(_ATTEMPTS - made, 0)
            if isinstance(error, CodeExpired | TooManyAttempts):
                self._tell(lambda store: store.retire_code(user, name, token=token, correct=False))
            raise
        self._tell(lambda store: store.retire_code(user, name, token=token, correct=True))
        return tokens

    async def _made(self, user: str, code: str, token: str) -> int:
        made = await self._ask(
            lambda store: store.begin_attempt(
                user, code, token=token, max_attempts=_ATTEMPTS, max_codes=_DIFFERENT, remember=_REMEMBERED
            )
        )
        if made is None:
            raise CodeSpent("the code was presented before, and is not presented again")
        if made == 0:
            raise CodeSpent("the code has no attempts left")
        return made

    async def _ask(self, question: Callable[[CodeStore], Awaitable[T]]) -> T:
        """Ask the store, and where it cannot be reached, what this process knows itself."""
        answer = await self._availability.ask(Use.CODES, partial(question, self._availability.store), _AWAY)
        return await question(self._own) if answer is _AWAY else answer

    def _tell(self, question: Callable[[CodeStore], Awaitable[None]]) -> None:
        self._availability.in_background(self._ask(question))

    def _user(self, who: Email | Phone | AuthSession) -> str:
        who = who.who if isinstance(who, AuthSession) else who
        return self._availability.keys.pseudonym(f"user {self._names} {who.realm} {who.username}")

    def _code(self, user: str, who: Email | Phone | AuthSession, code: str) -> str:
        session = who.auth_session if isinstance(who, AuthSession) else ""
        return self._availability.keys.pseudonym(f"code {user} {session} {code}")

    def _address(self, address: IpAddress | None) -> str | None:
        return None if address is None else self._availability.keys.pseudonym(f"address {self._names} {address}")


def _not_looked_at(error: PasswordlessError, flight: Flight[TokenSet]) -> bool:
    """Tell whether a code is as good as before: it did not leave, or was refused before anybody looked at it."""
    return not isinstance(error, CodeSpent) and (not flight.ever_left or isinstance(error, _NOT_LOOKED_AT))
