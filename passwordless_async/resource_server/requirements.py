"""What a request requires of its token: scopes, permissions, and how and when the user logged in.

RFC 6749 §3.3, RFC 9068 §2.2.3, RFC 9470. Invariants:

- Requirements are checked when they are set, not at the first request.
- A claim that is missing, or of a wrong type, meets no requirement.
- The response to a refused request names the scopes that the request requires. Which of them the token lacks is only
  in the error's advice, which is not sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypedDict

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async.auth0.clocks import is_time
from passwordless_async.errors import InsufficientScope, InsufficientUserAuthentication, UsageError

_MAX_NAMES = 100  # of scopes or permissions that a request requires
_MAX_NAME = 256  # characters
_NAME = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")  # RFC 6749 §3.3: a scope-token
_TOO_WEAK = "the user must log in in a stronger way"
_TOO_OLD = "the user logged in too long ago"
_LOGIN_HELPS = (_TOO_WEAK, _TOO_OLD)
_NO_LOGIN_HELPS = (
    "No login changes this: an Action of the tenant must add the claim to access tokens (for max_age, seconds since "
    "1970), and auth_time_claim or acr_claim must name it."
)


class Rights(Protocol):
    """A checked token, or a request that has passed."""

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes that the user granted the application."""

    @property
    def permissions(self) -> frozenset[str]:
        """The permissions that the API gives the user."""

    @property
    def claims(self) -> Mapping[str, Any]:
        """The claims of the access token."""


class Requirements(TypedDict, total=False):
    """What a request requires of its token.

    Pass names as an iterable of strings, or as one string separated by spaces. A comma can be part of a name in an
    iterable (RFC 6749 §3.3); in one string it is refused, because it is most likely a mistake. A requirement that is
    missing or empty requires nothing.
    """

    scopes: Iterable[str]  # all of them
    any_scope: Iterable[str]  # at least one of them
    permissions: Iterable[str]  # all of them
    max_age: int | None  # seconds that the user's login may be ago (RFC 9470)
    acr_values: Iterable[str]  # the accepted authentication context classes (RFC 9470)


def names(argument: str, value: object) -> tuple[str, ...]:
    """Return names of scopes and the like, from an iterable or from one string with spaces between them."""
    if value == ():
        return ()
    given = _check.words(argument, value) if isinstance(value, str) else value
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise UsageError(argument, "must be strings, or one string with spaces between")
    unique = tuple(dict.fromkeys(map(_text, given)))
    if len(unique) > _MAX_NAMES or not all(map(_is_name, unique)):
        raise UsageError(
            argument,
            f"must be at most {_MAX_NAMES} names of 1 to {_MAX_NAME} ASCII characters, without spaces, quotes and "
            "backslashes (RFC 6749 §3.3)",
        )
    return unique


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""  # which is no name


def _is_name(value: str) -> bool:
    return len(value) <= _MAX_NAME and _NAME.fullmatch(value) is not None


def _max_age(value: object) -> int | None:
    return None if value is None else int(_check.at_least_zero("max_age", value))


@attrs.frozen
class Required:
    """What a request requires of its token, checked: see :class:`Requirements`."""

    scopes: tuple[str, ...] = ()
    any_scope: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    max_age: int | None = None
    acr_values: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Requirements) -> Required:
        """Return the requirements, checked; others raise :class:`UsageError`."""
        if not given:
            return NOTHING
        unknown = given.keys() - _REQUIREMENTS
        if unknown:
            raise UsageError(min(unknown), f"is none of {', '.join(sorted(_REQUIREMENTS))}")
        return cls(
            names("scopes", given.get("scopes", ())),
            names("any_scope", given.get("any_scope", ())),
            names("permissions", given.get("permissions", ())),
            _max_age(given.get("max_age")),
            names("acr_values", given.get("acr_values", ())),
        )


_REQUIREMENTS = frozenset(Requirements.__optional_keys__)
NOTHING = Required()


@attrs.frozen
class LoginClaims:
    """How an API's tokens say when and how their users logged in.

    Args:
        skew: Seconds that the clock of the issuer and this machine's may differ.
        clock: The wall clock: seconds since the UNIX epoch.
        auth_time: The claim that says when: seconds since the UNIX epoch.
        acr: The claim that says how: the authentication context class.
    """

    skew: float = 0.0
    clock: Callable[[], float] = _clock.now
    auth_time: str = "auth_time"
    acr: str = "acr"

    def require(self, claims: Mapping[str, Any], required: Required) -> None:
        """Check when and how the user logged in; raises :class:`InsufficientUserAuthentication`."""
        problem = self._class_problem(claims, required) or self._time_problem(claims, required)
        if problem:
            error = InsufficientUserAuthentication(
                error_description=problem, max_age=required.max_age, acr_values=" ".join(required.acr_values)
            )
            raise error if problem in _LOGIN_HELPS else error.with_facts(advice=_NO_LOGIN_HELPS)

    def _class_problem(self, claims: Mapping[str, Any], required: Required) -> str:
        if not required.acr_values or claims.get(self.acr) in required.acr_values:
            return ""
        is_told = self.acr in claims
        return _TOO_WEAK if is_told else f"the access token has no {self.acr}"

    def _time_problem(self, claims: Mapping[str, Any], required: Required) -> str:
        if required.max_age is None:
            return ""
        auth_time, now = claims.get(self.auth_time), self.clock()
        if auth_time is None:
            return f"the access token has no {self.auth_time}"
        if not is_time(auth_time) or auth_time > now + self.skew:
            return f"{self.auth_time} of the access token is no time, or ahead of this clock"
        return _TOO_OLD if now - auth_time > required.max_age + self.skew else ""


def require(token: Rights, required: Required, logins: LoginClaims) -> None:
    """Check that a token meets the requirements of a request.

    Raises:
        InsufficientScope: It lacks a scope or a permission.
        InsufficientUserAuthentication: The user must log in again, or in a stronger way.
    """
    if required is NOTHING:
        return
    if not token.scopes.issuperset(required.scopes):
        raise _lacks("a scope", required.scopes, ", ".join(sorted(set(required.scopes) - token.scopes)))
    if required.any_scope and token.scopes.isdisjoint(required.any_scope):
        raise _lacks("one of several scopes", (*required.scopes, *required.any_scope), " or ".join(required.any_scope))
    if not token.permissions.issuperset(required.permissions):
        raise _lacks("a permission", (), ", ".join(sorted(set(required.permissions) - token.permissions)))
    logins.require(token.claims, required)


def _lacks(what: str, scopes: Iterable[str], missing: str) -> InsufficientScope:
    """Return the refusal of a token; its own advice, which is not sent to the client, names what is missing."""
    error = InsufficientScope(error_description=f"the access token lacks {what}", scope=" ".join(scopes))
    return error.with_facts(advice=f"Missing: {missing}. {error.advice}")
