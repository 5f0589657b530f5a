"""The log of unexpected errors: mistakes in the application's functions, in its settings, or in the library.

Invariants:

- Each has a line in the log, at ERROR: what was being done, the error's type, and where it was raised. A refusal that
  may be the user's own is at WARNING.
- The line has the message of the library's own errors, which show no secret. The message of any other error may quote
  the user's input, so it is omitted. For a refusal by the service, the line has only its code, status and advice.
"""

from __future__ import annotations

import logging
import re
import traceback
from typing import TYPE_CHECKING

import attrs

from passwordless_async.errors import (
    AccessDenied,
    InsufficientUserAuthentication,
    OAuthError,
    PasswordlessError,
    UsageError,
)
from passwordless_async.gateway.problems import OF_SETTINGS
from passwordless_async.gateway.repeats import Repeats, others

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_log = logging.getLogger("passwordless_async")
_LIBRARY = __name__.partition(".")[0]
# No address, phone number or code of a login: four digits in a row only if they are a year in a URL (/2007/).
_NAME = re.compile(r"(?!.*(?!(?<=/)20\d\d/)\d{4})[\w.:/-]{1,64}", re.ASCII)
_ADVICE = "See the tenant's logs: the service's message may have user data."

_MAY_BE_THE_USERS = (AccessDenied, InsufficientUserAuthentication)


@attrs.frozen
class LogAndSuppress:
    """Ends exceptions with a line in the log: ``with LogAndSuppress("GET /code"): …``.

    Args:
        name: What was being done.
    """

    name: str

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        report(self.name, error)
        return True


def report(name: str, error: BaseException, *, more: int = 0) -> None:
    """Log an exception.

    Args:
        name: What was being done.
        error: What was raised.
        more: How many others of its kind were not logged since the last one that was.
    """
    level = logging.WARNING if isinstance(error, _MAY_BE_THE_USERS) else logging.ERROR
    said = f"{type(error).__name__}{_message_of(error)}".removesuffix(".")
    _log.log(level, "%s failed: %s.%s%s", name, said, _origin_of(error.__traceback__), others(more))


class Refusals:
    """Logs refusals that only the operator can correct: one a minute for each kind, and how many more.

    A kind is a route, a type and, if it names a wrong setting, the tenant's error code.
    """

    def __init__(self) -> None:
        # No more than there are routes, types and codes of settings: what a user writes is in none.
        self._repeats: Repeats[tuple[str, type, str | None]] = Repeats()

    def report(self, name: str, error: BaseException) -> None:
        """Log a refusal, unless one of its kind was logged within the last minute."""
        code = getattr(error, "error", None)
        more = self._repeats.count((name, type(error), code if code in OF_SETTINGS else None))
        if more is not None:
            report(name, error, more=more)


def is_name(text: str) -> bool:
    """Return whether a text may be logged: it looks like an error code or a class of logins, not like a user's data."""
    return _NAME.fullmatch(text) is not None


def _message_of(error: BaseException) -> str:
    """Return the part of an error's message that may be logged: no text of a user or of the service."""
    if not isinstance(error, PasswordlessError) or not _is_library(type(error).__module__):
        return ""
    if isinstance(error, UsageError):
        return f": {error}"
    if not isinstance(error, OAuthError):
        return f": {error}. {error.advice}"
    code = error.error if is_name(error.error) else "an unknown error"
    advice = OF_SETTINGS.get(error.error, _ADVICE) if error.advice == OAuthError.advice else error.advice
    return f": {code} ({error.status}). {advice}"


def _origin_of(at: TracebackType | None) -> str:
    """Return where an error was raised, and which function of the application's led there, if it was not that one."""
    places = list(traceback.walk_tb(at))
    if not places:
        return ""
    ours = max((index for index, (frame, _) in enumerate(places) if _is_ours(frame)), default=len(places))
    shown = dict.fromkeys(_place(*each) for each in (*places[ours + 1 : ours + 2], places[-1]))
    return f" Raised in {', called by '.join(reversed(shown))}."


def _is_ours(frame: FrameType) -> bool:
    return _is_library(str(frame.f_globals.get("__name__")))


def _is_library(module: str) -> bool:
    return module.partition(".")[0] == _LIBRARY


def _place(frame: FrameType, line: int) -> str:
    return f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}, line {line}"
