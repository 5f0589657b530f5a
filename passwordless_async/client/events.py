"""What a client tells while it works, to make metrics and traces of: small frozen values without secrets.

They are given to ``on_event`` of :class:`~passwordless_async.PasswordlessClient`, in the order in which things happen,
from within the event loop: whoever takes them must not block. Durations are seconds; an error is named by its ``code``.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable


CANCELLED = "cancelled"


class Operation(enum.StrEnum):
    """What a client is asked to do."""

    START = enum.auto()
    EXCHANGE = enum.auto()
    REFRESH = enum.auto()
    REVOKE = enum.auto()
    USERINFO = enum.auto()
    MFA = enum.auto()


@attrs.frozen
class Sent:
    """One transmission has ended: it was answered, or failed.

    Attributes:
        operation: What it was for.
        method: The method.
        origin: Where it went: scheme, host and port, without a slash at the end.
        path: The path; it holds nothing of a user.
        status: The status of the answer; None where there was none.
        error: The code of the error; None where there was an answer that could be read.
        seconds: How long it took.
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
    """The server demanded another nonce."""

    operation: Operation


@attrs.frozen
class Paced:
    """An operation waited for its turn: for room in the quota, or for the end of a pause."""

    operation: Operation
    seconds: float


@attrs.frozen
class Retried:
    """An operation is about to be tried again.

    Attributes:
        operation: Which one.
        trial: The number of the try that failed, from 1.
        error: The code of the error that it failed with.
        seconds: How long it waits before the next.
    """

    operation: Operation
    trial: int
    error: str
    seconds: float


@attrs.frozen
class Done:
    """An operation has ended.

    Attributes:
        operation: Which one.
        error: The code of the error that it ended with, or ``cancelled``; None where it succeeded.
        seconds: How long it took, waits and tries included.
        transmissions: How many it took.
    """

    operation: Operation
    error: str | None
    seconds: float
    transmissions: int


@attrs.frozen
class Orphaned:
    """What nobody waited for any more has ended, and its tokens were given to ``on_orphan`` or revoked.

    Attributes:
        operation: Which one.
        error: The code of the error that it ended with, or with which its tokens could not be given away.
    """

    operation: Operation
    error: str | None


class Use(enum.StrEnum):
    """What machines share a store for, beside sessions."""

    CODES = enum.auto()
    QUOTA = enum.auto()
    NONCES = enum.auto()


@attrs.frozen
class StoreLost:
    """The store cannot be reached: until it can, this process goes by what it knows itself."""

    use: Use


@attrs.frozen
class StoreRegained:
    """The store is back, and what is shared is shared again."""

    use: Use


Event: TypeAlias = Sent | Challenged | Paced | Retried | Done | Orphaned | StoreLost | StoreRegained
OnEvent: TypeAlias = "Callable[[Event], None]"
