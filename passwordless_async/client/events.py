"""The events that a client emits, for metrics and traces: small frozen values without secrets.

``on_event`` of :class:`~passwordless_async.PasswordlessClient` receives them in order, in the event loop, and must not
block. Durations are seconds; an error is named by its ``code``.
"""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, TypeAlias

import attrs

from passwordless_async._common.arguments import plain_functions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "CANCELLED",
    "Challenged",
    "Done",
    "Event",
    "OnEvent",
    "Operation",
    "Orphaned",
    "Paced",
    "Retried",
    "Sent",
    "StoreLost",
    "StoreRegained",
    "UnboundTokens",
    "Use",
]

CANCELLED = "cancelled"
"""The ``error`` of an operation whose caller was cancelled, and of an orphan whose hand-over closing ended."""


class Operation(enum.StrEnum):
    """A kind of call."""

    START = enum.auto()
    EXCHANGE = enum.auto()
    REFRESH = enum.auto()
    REVOKE = enum.auto()
    USERINFO = enum.auto()
    MFA = enum.auto()
    KEYS = enum.auto()
    """Fetching the tenant's signing keys: in advance, or for a logout token, which takes no other request."""


@attrs.frozen
class Sent:
    """One transmission has ended, with a response or a failure.

    Attributes:
        operation: The operation that it belongs to.
        method: The HTTP method.
        origin: Scheme, host and port, without a trailing slash.
        path: The path; it contains no data of a user.
        status: The status of the response; None: there was no response.
        error: The code of the error; None: the response could be read.
        seconds: Its duration.
        transmission: Its number within the operation, from 1.
    """

    operation: Operation
    method: str
    origin: str
    path: str
    status: int | None
    error: str | None
    seconds: float
    transmission: int


@attrs.frozen
class Challenged:
    """The server required another DPoP nonce."""

    operation: Operation


@attrs.frozen
class Paced:
    """An operation has waited for the quota, or for the end of a pause."""

    operation: Operation
    seconds: float


@attrs.frozen
class Retried:
    """An operation will be retried.

    Attributes:
        operation: The operation.
        trial: The number of the try that failed, from 1.
        error: The code of the error that it failed with.
        seconds: The wait before the next try.
    """

    operation: Operation
    trial: int
    error: str
    seconds: float


@attrs.frozen
class Done:
    """An operation has ended.

    Attributes:
        operation: The operation.
        error: The code of the error that it ended with, or ``cancelled``; None: it succeeded.
        seconds: Its duration, waits and retries included.
        transmissions: The number of its transmissions.
    """

    operation: Operation
    error: str | None
    seconds: float
    transmissions: int


@attrs.frozen
class Orphaned:
    """An operation without a caller has ended; its tokens were given to ``on_orphan`` or revoked.

    Attributes:
        operation: The operation.
        error: The code of the error that it ended with, or that the revocation failed with; ``"cancelled"`` if the
            client was closed before ``on_orphan`` or the revocation had ended; None: none of these.
    """

    operation: Operation
    error: str | None


@attrs.frozen
class UnboundTokens:
    """A proof was sent, but the service issued unbound tokens (``dpop="preferred"``).

    Attributes:
        operation: The operation.
        audience: The requested API; None: none was requested.
    """

    operation: Operation
    audience: str | None


class Use(enum.StrEnum):
    """The state that processes share through a store, besides sessions."""

    CODES = enum.auto()
    QUOTA = enum.auto()
    NONCES = enum.auto()


@attrs.frozen
class StoreLost:
    """The store is unreachable: until it is back, this process uses its own memory."""

    use: Use


@attrs.frozen
class StoreRegained:
    """The store is reachable again, and the process shares its state again."""

    use: Use


Event: TypeAlias = Sent | Challenged | Paced | Retried | Done | Orphaned | UnboundTokens | StoreLost | StoreRegained
"""Any event."""

OnEvent: TypeAlias = "Callable[[Event], None]"
"""A function that receives events. It must not block; an exception that it raises is reported to the event loop."""


class Emitter:
    """Passes events to the functions of the application's ``on_event``, in order; kept for the client's lifetime."""

    def __init__(self, on_event: OnEvent | Sequence[OnEvent] | None) -> None:
        self._hooks: tuple[OnEvent, ...] = plain_functions("on_event", on_event)
        self.is_wanted: bool = bool(self._hooks)  # whether an event need be made at all

    def emit(self, event: Event) -> None:
        """Pass an event to each function of the application. If one fails, the others still get it."""
        for hook in self._hooks:
            try:
                hook(event)
            except Exception as error:  # noqa: BLE001 - a callback of the application's
                report_failure("on_event of a PasswordlessClient", error)


def report_failure(what: str, error: Exception) -> None:
    """Report an exception of the application's own code to the event loop, instead of failing a call of the client."""
    context = {"message": f"{what} has failed", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
