"""Logins: from a code to tokens. Owns an exchange from the client's call to its result.

Invariants:

- The same code of the same user, exchanged twice at once, is presented once; both callers get the tokens.
- Two codes of one user are sent one after the other, in the order of their calls.
- An exchange that is on the wire runs to its end, even if its callers have gone: its tokens become an orphan.
- Only ``codes.py`` decides whether a code may be presented.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.secret import Secret
from passwordless_async._common.user_address import counted_as
from passwordless_async.auth0.identity import user_of
from passwordless_async.auth0.link import PendingLink, exchange_link
from passwordless_async.auth0.otp import exchange
from passwordless_async.client.codes import Codes, with_attempts_left
from passwordless_async.client.events import Operation
from passwordless_async.client.orphans import Orphans, orphan_of
from passwordless_async.client.outcomes import Outcome
from passwordless_async.client.traffic.dispatcher import Call, Dispatcher
from passwordless_async.client.traffic.single_flight import Departure, Held, SingleFlight
from passwordless_async.errors import PasswordlessError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from passwordless_async._common.user_address import IpAddress
    from passwordless_async.auth0.identity import Login, Recipient
    from passwordless_async.auth0.tenant import Tenant
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.profile import Policy, Profile
    from passwordless_async.client.shared.peers import SharedNonces


@attrs.frozen
class _Code:
    """A code that is exchanged."""

    who: Recipient
    code: Secret
    parameters: Any  # the other parameters of the request: concurrent callers must agree on them
    address: IpAddress | None = None  # the end user's
    purpose: Any = None  # what the tokens are for
    tag: Any = attrs.field(eq=False, default=None)  # the caller's own, for an orphan


@attrs.define(eq=False, repr=False)
class Logins:
    """The logins of a client; kept for the client's lifetime."""

    _tenant: Tenant
    _dispatcher: Dispatcher
    _codes: Codes
    _orphans: Orphans
    _profile: Profile
    _nonces: SharedNonces | None  # that other processes have learned
    _flights: SingleFlight[tuple[Recipient, Secret], TokenSet] = attrs.field(init=False)
    # The results of outcomes that were not taken yet, by the outcome's id. Other callers may have taken the same ones.
    _held: dict[int, Held[TokenSet]] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self._flights = SingleFlight(orphaned=self._orphaned)

    def exchange(
        self, login: Login, *, forwarded_for: IpAddress | str | None = None, purpose: object = None
    ) -> Awaitable[TokenSet]:
        """Exchange a login's code, or join the exchange of it that is in progress.

        Args:
            login: The login.
            forwarded_for: The end user's address.
            purpose: What the tokens are for: concurrent callers must agree on it, as on the parameters.

        Raises:
            UsageError: The code is being exchanged already, with other parameters, or the address cannot be a user's.
            CodeSpent: The code was presented before; nothing was sent.
            WrongCode: The code is wrong, or was refused as wrong before.
            PasswordlessError: What the exchange raises.
        """
        return self._share(*self._exchange_of(login, self._profile.user_address(forwarded_for), None, purpose))

    def _exchange_of(
        self, login: Login, address: IpAddress | None, policy: Policy | None, purpose: object = None
    ) -> tuple[_Code, Call[TokenSet]]:
        code = _Code(login.who, login.otp, login, address, purpose, login.tag)
        call = Call(
            Operation.EXCHANGE,
            partial(exchange, self._tenant, login, address),
            is_proven=self._tenant.dpop != "off",
            policy=policy,
            # Auth0 counts the logins of a user by address.
            caller=login.who if address is None else (login.who, counted_as(address)),
            user=user_of(login.who),
        )
        return code, call

    def exchange_link(self, pending: PendingLink, callback_url: str) -> Awaitable[TokenSet]:
        """Exchange the code of a link's callback. Raises as :meth:`exchange`."""
        # A link has one code, however its callback URL is spelled.
        code = _Code(pending.who, Secret(pending.state), (pending, callback_url))
        call = Call(
            Operation.EXCHANGE,
            lambda: exchange_link(self._tenant, pending, callback_url),
            is_proven=pending.key is not None,
            caller=pending.who,
            user=pending.who,
        )
        return self._share(code, call)

    async def outcome(self, login: Login) -> Outcome:
        """Exchange one of many logins, as patiently as the profile's ``many``: an error is an :class:`Outcome`.

        Call :meth:`taken` or :meth:`untaken` for each outcome. A cancelled caller waits, before it raises, for an
        exchange that is on the wire.
        """
        code, call = self._exchange_of(login, None, self._profile.many)
        try:
            self._require_admissible(code)
            held = await self._flights.hold(
                (code.who, code.code),
                partial(self._present, code, call),
                detail=code,
                queue=code.who,
                finish=True,
            )
        except PasswordlessError as error:
            return Outcome(login, error=error)
        if isinstance(held.result, PasswordlessError):
            outcome = Outcome(login, error=held.result)
        else:
            outcome = Outcome(login, tokens=held.result)
        self._held[id(outcome)] = held
        return outcome

    def taken(self, outcome: Outcome) -> None:
        """Report that the consumer receives an outcome."""
        if (held := self._held.pop(id(outcome), None)) is not None:
            held.receive()

    async def untaken(self, outcome: Outcome) -> None:
        """Report that the consumer did not receive an outcome: it is an orphan, unless others took the same result."""
        held = self._held.pop(id(outcome), None)
        handover = None if held is None else held.give_back()
        if handover is not None:
            await asyncio.wait([handover])

    def _require_admissible(self, code: _Code) -> None:
        """Refuse a call before it writes to a store: a closing client sends nothing more."""
        self._dispatcher.require_open()
        shared: _Code | None = self._flights.detail((code.who, code.code))
        if shared is not None and shared != code:
            raise UsageError("otp", "is being exchanged already, with other parameters: a code is presented once")

    def _share(self, code: _Code, call: Call[TokenSet]) -> Awaitable[TokenSet]:
        self._require_admissible(code)
        return self._flights.run((code.who, code.code), partial(self._present, code, call), detail=code, queue=code.who)

    async def _present(self, code: _Code, call: Call[TokenSet], departure: Departure) -> TokenSet:
        """Present a code if the store allows it, and report the outcome to the store."""
        claim = self._codes.name(code.who, code.code)
        attempts_left: int | None = None
        try:
            # Both calls to the store begin before either is awaited: one round trip.
            polled = None if self._nonces is None else self._nonces.poll()
            attempts_left = await self._codes.claim(claim)
            if polled is not None:
                await asyncio.wait([polled])
            tokens = await self._dispatcher.run(call, departure)
        except PasswordlessError as error:
            if attempts_left is None:
                raise  # the store did not allow it, so there is nothing to report
            failure = error.with_traceback(None)
        except BaseException:
            self._codes.cancelled(claim, departure)
            raise
        else:
            await self._codes.accepted(claim)
            return tokens
        await self._codes.refused(claim, failure, departure, attempts_left)
        raise with_attempts_left(failure, attempts_left)

    async def _orphaned(self, code: _Code, result: TokenSet | PasswordlessError) -> None:
        await self._orphans.take(Operation.EXCHANGE, orphan_of(result, who=code.who, tag=code.tag))

    async def aclose(self, *, grace: float) -> tuple[Recipient, ...]:
        """Wait ``grace`` seconds for exchanges on the wire, cancel the rest; return the users of abandoned ones."""
        return tuple(who for who, _ in await self._flights.aclose(grace=grace))
