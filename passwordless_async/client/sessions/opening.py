"""A login and its stored session in one step.

Invariants:

- After the exchange, the tokens are in a session, with the caller, with ``on_orphan``, or revoked: never dropped.
- A closing client gives up the tokens that the store did not take in time, before it closes its connections.
- If the caller is cancelled after the exchange, no session stays that only this caller could have opened.
- Concurrent calls with the same code get the same session, and must agree on its user and data.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common.secret import Secret
from passwordless_async.client.events import Operation
from passwordless_async.client.orphans import Orphans, orphan_of
from passwordless_async.client.refreshes import token_hash
from passwordless_async.client.sessions.records import Record, SessionRecords, Wanted, place_of
from passwordless_async.client.sessions.refreshing import patiently
from passwordless_async.client.traffic.single_flight import SingleFlight
from passwordless_async.errors import PasswordlessError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async._common.user_address import IpAddress
    from passwordless_async.auth0.identity import Login
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.logins import Logins
    from passwordless_async.client.sessions.values import StoredSession

_PATIENCE_SECONDS = 5.0  # for which writes to an unreachable store are retried: the user waits, and the code is spent
_START_AGAIN = (
    "Start again: the code is spent. If it lasts, check the store, its address and the permissions of its user."
)
_KEEP_SECONDS = 30.0  # for which the same tokens, kept again, lead to the same session: a double click
_CLOSING_SECONDS = 1.0  # for giving up the tokens of a session that is not open when the client is closed


@attrs.frozen
class Opening:
    """Tokens for which a session is being opened."""

    who: object
    tokens: TokenSet


@attrs.define(eq=False, repr=False)
class Openings:
    """The logins of a client that end in a stored session; kept for the client's lifetime."""

    _records: SessionRecords
    _logins: Logins
    _orphans: Orphans
    _flights: SingleFlight[tuple[bytes, str], StoredSession] = attrs.field(init=False)
    _keepings: SingleFlight[tuple[bytes, str], StoredSession] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._flights = SingleFlight(orphaned=self._orphaned)
        self._keepings = SingleFlight(keep=_KEEP_SECONDS, orphaned=self._orphaned)

    async def keep(self, opening: Opening, user_of: Callable[[TokenSet], str], wanted: Wanted) -> StoredSession:
        """Open a session with tokens from another kind of login; only one, even if it is called again."""
        return await self._open_in(self._keepings, opening, user_of, wanted)

    async def run(
        self,
        login: Login,
        user_of: Callable[[TokenSet], str],
        *,
        forwarded_for: IpAddress | str | None,
        wanted: Wanted,
    ) -> StoredSession:
        """Exchange a login's code and open a session with its tokens.

        Raises ``UsageError`` if the code is being exchanged already, for another session or none.
        """
        data = Secret(json.dumps(wanted.data, sort_keys=True))
        purpose = ("session", wanted.user, data, wanted.lifetime, wanted.by_sid)
        tokens = await self._logins.exchange(login, forwarded_for=forwarded_for, purpose=purpose)
        # No await in between: from here a flight has the tokens, however the caller ends.
        return await self._open_in(self._flights, Opening(login.who, tokens), user_of, wanted)

    async def _open_in(
        self,
        flights: SingleFlight[tuple[bytes, str], StoredSession],
        opening: Opening,
        user_of: Callable[[TokenSet], str],
        wanted: Wanted,
    ) -> StoredSession:
        tokens = opening.tokens
        return await flights.run(
            (token_hash(tokens), tokens.access_token),
            lambda _departure: self._open(opening, user_of, wanted),
            detail=opening,
            on_wire=True,
        )

    async def _open(
        self,
        opening: Opening,
        user_of: Callable[[TokenSet], str],
        wanted: Wanted,
    ) -> StoredSession:
        try:
            new = self._records.new(opening.tokens, user_of(opening.tokens), wanted)
            await self._keep(opening, new)
        except Exception as error:
            # Any exception: the store may be the application's own.
            await self._give_up(opening)
            if isinstance(error, StoreUnavailable):
                raise error.with_facts(retryable=False, advice=_START_AGAIN) from error.__cause__
            raise
        return new.session

    async def _keep(self, opening: Opening, new: Record) -> None:
        try:
            await patiently(lambda: self._records.keep(new), seconds=_PATIENCE_SECONDS)
        except asyncio.CancelledError:
            # The client is closed. This task must end, and the tokens must not be lost with it.
            withdrawing = asyncio.create_task(self._withdraw(opening, self._records.close(new.place, new.members)))
            await asyncio.wait([withdrawing], timeout=_CLOSING_SECONDS)
            withdrawing.cancel()
            await asyncio.gather(withdrawing, return_exceptions=True)
            raise

    async def _withdraw(self, opening: Opening, closing: Awaitable[bool]) -> None:
        """Give up the tokens of a session that the store may have, and close it.

        At once: neither a store nor an application that hangs until the closing keeps the other one from its part. If
        the store is unreachable, the session may stay: no caller has the identifier that opens it.
        """
        await asyncio.gather(closing, self._give_up(opening), return_exceptions=True)

    async def _give_up(self, opening: Opening) -> None:
        """Pass the tokens to the application, or revoke them."""
        orphan = orphan_of(opening.tokens, who=opening.who)
        await self._orphans.take(Operation.EXCHANGE, orphan)

    async def _orphaned(self, opening: Opening, result: StoredSession | PasswordlessError) -> None:
        if isinstance(result, PasswordlessError):
            return  # the tokens were given up when it failed
        await self._withdraw(opening, self._records.close_at(place_of(result.id)))

    async def aclose(self, *, grace: float) -> None:
        """Cancel pending openings after ``grace`` seconds, and give up their tokens."""
        # A caller starts its opening in the step in which it receives its tokens: no login is between the two.
        await asyncio.gather(self._flights.aclose(grace=grace), self._keepings.aclose(grace=grace))
