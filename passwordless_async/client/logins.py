"""One user's codes in order, and nothing of a login that has left is lost.

The promises: the same code of the same user, asked for twice at once, is presented once and both get the result; two
codes of one user go one after the other; an exchange that has left ends though nobody waits for it any more, and its
tokens are given to the application or revoked, never dropped.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from passwordless_async.auth0.tokens import TokenSet
from passwordless_async.client.events import Operation, Orphaned
from passwordless_async.client.outcomes import Orphan
from passwordless_async.client.traffic import SingleFlight
from passwordless_async.errors import PasswordlessError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.identity import AuthSession, Email, Phone
    from passwordless_async.client.events import OnEvent
    from passwordless_async.client.traffic import Flight

    OnOrphan: TypeAlias = "Callable[[Orphan], Awaitable[None] | None]"
    _Key: TypeAlias = "tuple[Email | Phone | AuthSession, Secret]"


@attrs.frozen
class Presented:
    """A code that is presented.

    Attributes:
        who: Whose it is.
        code: The code.
        details: What else is asked for with it; it must be the same where two ask at once.
        tag: The caller's own.
    """

    who: Email | Phone | AuthSession
    code: Secret
    details: Any
    tag: Any = attrs.field(eq=False, default=None)


class Exchanges:
    """The exchanges of all users of a client; lives as long as it.

    Args:
        orphans: Takes what nobody waits for any more.
    """

    def __init__(self, orphans: Orphans) -> None:
        self._orphans = orphans
        self._flights: SingleFlight[_Key, TokenSet] = SingleFlight(orphaned=self._orphaned)

    def run(
        self, presented: Presented, make: Callable[[Flight[TokenSet]], Awaitable[TokenSet]], *, stay: bool = False
    ) -> Awaitable[TokenSet]:
        """Exchange a code, or share what is under way for it.

        Args:
            presented: The code.
            make: Exchanges it.
            stay: Whether whoever is cancelled stays until what has left has ended.

        Raises:
            UsageError: The code is being exchanged already, and something else is asked for with it.
        """
        key = (presented.who, presented.code)
        if self._flights.about(key) not in {None, presented}:
            raise UsageError("otp", "is being exchanged already, with other parameters: a code is presented once")

        return self._flights.run(key, make, about=presented, line=presented.who, stay=stay)

    async def _orphaned(self, presented: Presented, result: TokenSet | PasswordlessError) -> None:
        await self._orphans.take(Operation.EXCHANGE, result, who=presented.who, tag=presented.tag)

    async def aclose(self, *, grace: float) -> tuple[Email | Phone | AuthSession, ...]:
        """End what has not left, give the rest so many seconds, and return whose exchanges had to be abandoned."""
        return tuple(who for who, _ in await self._flights.aclose(grace=grace))


class Orphans:
    """Takes tokens that nobody waits for any more: the application keeps them, or they are revoked.

    Args:
        on_orphan: The application's; None: the tokens of an exchange are revoked, and those of a refresh or a second
            factor are still given to whoever asks again in time.
        revoke: Revokes tokens.
        tell: Takes events.
    """

    def __init__(
        self,
        on_orphan: OnOrphan | None,
        revoke: Callable[[TokenSet], Awaitable[None]],
        tell: OnEvent,
    ) -> None:
        self._on_orphan = on_orphan
        self._revoke = revoke
        self._tell = tell

    async def take(
        self,
        operation: Operation,
        result: TokenSet | PasswordlessError,
        *,
        who: Email | Phone | AuthSession | None = None,
        tag: object = None,
        spent: TokenSet | None = None,
    ) -> None:
        """Take what became of a call; raises nothing."""
        error = result if isinstance(result, PasswordlessError) else None
        tokens = result if isinstance(result, TokenSet) else None
        taken = await self._given(Orphan(who, tokens=tokens, error=error, tag=tag, spent=spent))
        if not taken and operation is Operation.EXCHANGE and tokens is not None and tokens.refresh_token is not None:
            try:
                await self._revoke(tokens)
            except PasswordlessError as failure:
                error = failure.with_traceback(None)
        self._tell(Orphaned(operation, None if error is None else error.code))

    async def _given(self, orphan: Orphan) -> bool:
        if self._on_orphan is None:
            return False
        try:
            kept = self._on_orphan(orphan)
            if inspect.isawaitable(kept):
                await kept
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if own is not None and own.cancelling():
                raise
            # Something that the callback waited for was cancelled, and not this.
            return False
        except Exception as error:  # noqa: BLE001 - a callback of the application's
            context = {"message": "on_orphan of a PasswordlessClient has failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            return False
        return True
