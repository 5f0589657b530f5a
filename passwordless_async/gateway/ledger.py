"""Counts starts and guesses for one address, one user, and in total, and refuses them before anything is sent.

Invariants:

- The store counts all budgets of a request at once, before the request continues: a hundred simultaneous requests
  exceed no limit, on any number of machines.
- The counts do not depend on whether the user has an account, so neither do the response and its duration.
- If the store is unreachable, no code is sent and none is presented: the session could not be stored, so the code would
  be spent in vain, and uncounted messages cost money. The code that the user has stays valid meanwhile.
- The store sees only pseudonyms.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Self, TypeAlias

import attrs

from passwordless_async import errors
from passwordless_async._common import clock as _clock
from passwordless_async._common.user_address import IpAddress, counted_as
from passwordless_async.auth0.identity import Phone
from passwordless_async.stores import Counter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from passwordless_async.auth0.identity import User
    from passwordless_async.client.client import PasswordlessClient
    from passwordless_async.gateway.budgets import Budgets, Sms
    from passwordless_async.stores import CounterStore, KeyRing

_HOUR, _DAY = 3600.0, 86_400.0  # seconds
_UNDO_SECONDS = 120.0  # longer than a start or an exchange takes, with its retries
# What is counted, its name (None: unknown), the limit (None: any number), and the window in seconds.
_Limit: TypeAlias = tuple[str, str | None, int | None, float]
_Errors: TypeAlias = tuple[type[errors.PasswordlessError], ...]

# No code was sent, for a reason that does not depend on the user.
_NOTHING_SENT: _Errors = (
    errors.NotSent,
    errors.QuotaExceeded,
    errors.RateLimited,
    errors.UsageError,
    errors.VerificationRequired,
)
# The code was wrong, or may have been wrong. After any other result, the attempt was not a guess.
_GUESSES: _Errors = (errors.WrongCode, errors.TooManyAttempts, errors.CodeExpired, errors.OutcomeUnknown)


@attrs.frozen(repr=False)
class Ledger:
    """Counts what the budgets allow; kept for the gateway's lifetime.

    Attributes:
        store: Keeps the counters. Those of a gateway are one group, so they are on one node of a cluster.
        keys: The key ring that makes pseudonyms.
        scope: Names the application: its users and addresses are counted separately from another's.
        budgets: The limits.
        sms: The limits on messages to phones.
        is_behind_proxies: Whether there are proxies in front: then all requests without an address share one count.
    """

    store: CounterStore
    keys: KeyRing
    scope: str
    budgets: Budgets
    sms: Sms
    is_behind_proxies: bool = False
    _group: str = attrs.field(init=False)

    @_group.default
    def _name(self) -> str:
        return self.keys.pseudonym(f"counters {self.scope}")

    @classmethod
    def of(cls, client: PasswordlessClient, budgets: Budgets, sms: Sms, *, is_behind_proxies: bool) -> Self:
        """Return the ledger of a client's users, in the client's store."""
        scope = f"{client.issuer} {client.client_id}"
        return cls(client.store, client.store.keys, scope, budgets, sms, is_behind_proxies)

    @asynccontextmanager
    async def start(self, who: User, address: IpAddress | None) -> AsyncIterator[None]:
        """Count a start; make it within the context.

        Raises:
            QuotaExceeded: A budget is used up.
            RegionNotAllowed: The phone is of another country.
            StoreUnavailable: The store is unreachable.
        """
        budgets, user, place = self.budgets, _identity(who), self._address(address)
        limits = [
            ("start-address", place, budgets.starts_per_address, _HOUR),
            ("start-user", user, budgets.starts_per_user, _HOUR),
            ("start-user-address", place and f"{user} {place}", budgets.starts_per_user_and_address, _HOUR),
        ]
        if isinstance(who, Phone):
            limits += self._phone_limits(who.number, place)
        async with self._count_message(limits):
            yield

    @asynccontextmanager
    async def factor_message(
        self, who: User, address: IpAddress | None, *, to_phone: bool, number: str | None = None
    ) -> AsyncIterator[None]:
        """Count a message to a second factor; send it within the context. ``number`` is that of a new one.

        Raises:
            QuotaExceeded, RegionNotAllowed, StoreUnavailable: As for :meth:`start`.
        """
        budgets, place = self.budgets, self._address(address)
        limits = [
            ("factor-address", place, budgets.factor_messages_per_address, _HOUR),
            ("factor-user", _identity(who), budgets.factor_messages_per_user, _HOUR),
        ]
        if to_phone:
            limits += self._phone_limits(number, place)
        async with self._count_message(limits):
            yield

    async def poll(self, who: User, address: IpAddress | None) -> None:
        """Count a poll for a user's approval of a login on another device.

        Raises:
            QuotaExceeded: A budget is used up.
            StoreUnavailable: The store is unreachable.
        """
        budgets = self.budgets
        limits: list[_Limit] = [
            ("poll-address", self._address(address), budgets.polls_per_address, _HOUR),
            ("poll-user", _identity(who), budgets.polls_per_user, _HOUR),
        ]
        await self._count(self._counters(limits))

    def _phone_limits(self, number: str | None, place: str | None) -> list[_Limit]:
        """Return the counts for a message that costs money; ``number``: its destination, if known."""
        sms = self.sms
        if number is not None:
            sms.require_allowed(number)
        return [
            ("sms-address", place, sms.per_address, _HOUR),
            ("sms-hour", "", sms.per_hour, _HOUR),
            ("sms-day", "", sms.per_day, _DAY),
        ]

    @asynccontextmanager
    async def _count_message(self, limits: Iterable[_Limit]) -> AsyncIterator[None]:
        """Count a message, unless it turns out that none was sent."""
        counters = self._counters(limits)
        token = await self._count(counters)
        try:
            yield
        except _NOTHING_SENT:
            await self._undo(counters, token)
            raise

    @asynccontextmanager
    async def attempt(self, who: User, address: IpAddress | None) -> AsyncIterator[None]:
        """Count an attempt at a code, of any factor; present the code within the context.

        Only a wrong code stays counted, and only once: a repeated one was not presented.

        Raises:
            QuotaExceeded: A budget is used up.
            StoreUnavailable: The store is unreachable.
        """
        budgets, user, place = self.budgets, _identity(who), self._address(address)
        counters = self._counters(
            [
                ("wrong-address", place, budgets.wrong_codes_per_address, _HOUR),
                ("wrong-user", user, budgets.wrong_codes_per_user, _HOUR),
                ("wrong-user-address", place and f"{user} {place}", budgets.wrong_codes_per_user_and_address, _HOUR),
            ]
        )
        token = await self._count(counters)
        try:
            yield
        except Exception as error:
            if not isinstance(error, _GUESSES) or (isinstance(error, errors.WrongCode) and error.repeated):
                await self._undo(counters, token)
            raise
        await self._undo(counters, token)

    @asynccontextmanager
    async def once(self, what: str, name: str, seconds: float) -> AsyncIterator[bool]:
        """Return whether something occurs for the first time within ``seconds``; not counted if the context raises.

        Raises:
            StoreUnavailable: The store is unreachable, so a repetition could not be detected.
        """
        counters = [Counter(what, self.keys.pseudonym(f"once {self.scope} {what} {name}"), 1, seconds)]
        token = _clock.unique_id()
        left = await self.store.count(self._group, counters, token=token, remember=_UNDO_SECONDS)
        try:
            yield not any(left)
        except BaseException:
            await self._undo(counters, token)
            raise

    async def _count(self, counters: list[Counter]) -> str:
        token = _clock.unique_id()
        if not counters:
            return token
        left = await self.store.count(self._group, counters, token=token, remember=_UNDO_SECONDS)
        if any(left):
            used_up = ", ".join(counter.kind for counter, wait in zip(counters, left, strict=True) if wait)
            raise errors.QuotaExceeded(f"a budget is used up: {used_up}", retry_after=max(left))
        return token

    async def _undo(self, counters: list[Counter], token: str) -> None:
        # It stays counted, which affects only its own user and address.
        with suppress(errors.StoreUnavailable):
            if counters:
                await self.store.undo_count(self._group, counters, token=token)

    def _counters(self, limits: Iterable[_Limit]) -> list[Counter]:
        """Return the counters of a request, with pseudonyms, for limits that are set and values that are known."""
        return [
            Counter(kind, self.keys.pseudonym(f"counter {self.scope} {kind} {name}"), limit, window)
            for kind, name, limit, window in limits
            if limit is not None and name is not None
        ]

    def _address(self, address: IpAddress | None) -> str | None:
        if address is not None:
            return counted_as(address)
        return "unknown" if self.is_behind_proxies else None


def _identity(who: User) -> str:
    return f"{who.realm} {who.identity}"
