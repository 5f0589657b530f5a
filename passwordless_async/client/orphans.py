"""Orphans: results whose caller has gone. They are passed to the application, or revoked; never dropped.

Invariants:

- Each orphan is passed to ``on_orphan`` once.
- Tokens of a login that ``on_orphan`` did not take are revoked: nothing else would ever end them.
- Each orphan is told by an event, also one whose hand-over or revocation is ended by closing.
- Tokens of a refresh or a second factor stay: a caller that asks again in time receives them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

import attrs

from passwordless_async.auth0.revocation import revoke
from passwordless_async.auth0.tokens import TokenSet, owner_of
from passwordless_async.client.events import CANCELLED, Emitter, Operation, Orphaned, report_failure
from passwordless_async.client.hooks import call_hook
from passwordless_async.client.outcomes import Orphan
from passwordless_async.client.traffic.dispatcher import Call, Dispatcher
from passwordless_async.errors import PasswordlessError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async.auth0.tenant import Tenant

OnOrphan: TypeAlias = "Callable[[Orphan], Awaitable[None] | None]"


@attrs.define(eq=False, repr=False)
class Orphans:
    """The orphans of a client; kept for the client's lifetime."""

    _on_orphan: OnOrphan | None
    _tenant: Tenant
    _dispatcher: Dispatcher
    _events: Emitter

    async def take(self, operation: Operation, orphan: Orphan) -> None:
        """Pass an orphan to the application, and revoke its tokens if that fails. Raises no error of this library."""
        error = None if orphan.error is None else orphan.error.code
        try:
            if not await self._hand_over(orphan) and operation is Operation.EXCHANGE:
                failure = await self._revoke(orphan.tokens)
                error = error if failure is None else failure.code
        except asyncio.CancelledError:
            error = CANCELLED
            raise
        finally:
            self._events.emit(Orphaned(operation, error))

    async def _revoke(self, tokens: TokenSet | None) -> PasswordlessError | None:
        """Revoke tokens, if there are any; return why that failed."""
        if tokens is None or tokens.refresh_token is None:
            return None
        try:
            call = Call(Operation.REVOKE, lambda: revoke(self._tenant, tokens), user=owner_of(tokens))
            await self._dispatcher.run(call)
        except PasswordlessError as failure:
            return failure.with_traceback(None)
        return None

    async def _hand_over(self, orphan: Orphan) -> bool:
        """Pass an orphan to the hook; return whether the hook took it."""
        if self._on_orphan is None:
            return False
        try:
            return await call_hook(self._on_orphan, orphan)
        except Exception as error:  # noqa: BLE001 - a callback of the application's
            report_failure("on_orphan of a PasswordlessClient", error)
            return False


def orphan_of(
    result: TokenSet | PasswordlessError, *, who: object = None, tag: object = None, spent: TokenSet | None = None
) -> Orphan:
    """Return the orphan of a result or an error."""
    tokens = result if isinstance(result, TokenSet) else None
    error = result if isinstance(result, PasswordlessError) else None
    return Orphan(who, tokens=tokens, error=error, tag=tag, spent=spent)  # type: ignore[arg-type] # as the flight has it
