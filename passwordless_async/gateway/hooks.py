"""The application's hooks in login and logout: functions that may refuse by raising :class:`Refused`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypeVar

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import redacted
from passwordless_async._common.validators import checked_by

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async._common.user_address import IpAddress
    from passwordless_async.auth0.identity import Email, Phone
    from passwordless_async.client.sessions.values import StoredSession


@attrs.frozen(kw_only=True)
class Starting:
    """A user is about to be sent a code.

    Attributes:
        who: The user, as they typed it.
        address: Their address; None if it is not known.
        device: Their browser and operating system, as readable text.
        language: The language of the message, a BCP 47 tag.
    """

    who: Email | Phone = attrs.field(repr=redacted)
    address: IpAddress | None = attrs.field(repr=redacted)
    device: str
    language: str


BeforeStart: TypeAlias = "Callable[[Starting], Awaitable[None] | None]"
AfterLogin: TypeAlias = "Callable[[StoredSession], Awaitable[None] | None]"
BeforeEnd: TypeAlias = "Callable[[StoredSession], Awaitable[None] | None]"

T = TypeVar("T")


_function_or_none = attrs.validators.optional(checked_by(_check.function))


@attrs.frozen(kw_only=True)
class Hooks:
    """The hooks of an application.

    Args:
        before_start: Before a code is sent. A refusal is visible, so refuse by address, not by account: otherwise it
            reveals who has one.
        after_login: After a session was opened, before its browser has it. If it refuses or fails, the session ends.
        before_end: Before a user ends sessions: the browser's own, or others from the list.
    """

    before_start: BeforeStart | None = attrs.field(default=None, validator=_function_or_none)
    after_login: AfterLogin | None = attrs.field(default=None, validator=_function_or_none)
    before_end: BeforeEnd | None = attrs.field(default=None, validator=_function_or_none)


async def run(hook: Callable[[T], Awaitable[None] | None], value: T) -> None:
    """Call a hook, and await what it returns if it is async."""
    done = hook(value)
    if done is not None:  # what cannot be awaited is a mistake, and raises: a hook that refuses must not pass by it
        await done
