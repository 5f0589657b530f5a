"""The requirements for a login (RFC 9470), its age and strength, and whether a session's login meets them.

A service judges by the access token, so its claims count here too: ``auth_time`` and ``acr``, or the same with a
namespace (``https://api.example/acr``), because Auth0 lets no Action set the plain ones. The service decides; this
module only avoids logins that would change nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async._common.strict_json import read_segment
from passwordless_async.auth0.clocks import is_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async._common.secret import Secret
    from passwordless_async.client.sessions.values import StoredSession

_MAX_AGE_DIGITS = 9
_MAX_ACR_CHARACTERS = 256
_CLOCK_SECONDS = 10.0  # by which the clock of a service, or its start of counting, may differ from ours
STEPPED_UP = "stepped_up"  # in the data of a session: a step-up opened it
_NEWEST_SECONDS = 3.0  # another login would be this old when the browser is back


def demands_of(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the demands of a query or a challenge; if they are unreadable, ``max_age`` 0."""
    max_age, acr_values = given.get("max_age", ""), given.get("acr_values", "")
    is_number = max_age.isascii() and max_age.isdecimal() and len(max_age) <= _MAX_AGE_DIGITS
    demands: dict[str, Any] = {"acr_values": acr_values[:_MAX_ACR_CHARACTERS]} if acr_values else {}
    if is_number:
        demands["max_age"] = int(max_age)
    return demands or {"max_age": 0}


def fulfils(session: StoredSession, demands: Mapping[str, Any], now: float) -> bool:
    """Return whether a session's login is new and strong enough, also by a clock that differs.

    Otherwise a login as old as ``max_age`` could be new enough here and too old for the service, and the two would
    redirect the browser to each other.
    """
    max_age = demands.get("max_age")
    is_new = max_age is None or now - login_time(session) + _CLOCK_SECONDS <= max_age
    return is_new and is_strong(session, demands)


def is_strong(session: StoredSession, demands: Mapping[str, Any]) -> bool:
    """Return whether a session's login has one of the requested classes."""
    accepted = str(demands.get("acr_values", "")).split()
    return not accepted or _claim(session, "acr") in accepted


def is_in_vain(session: StoredSession, demands: Mapping[str, Any], now: float) -> bool:
    """Return whether a service that refuses a session's login would refuse another one too.

    A session that was just opened with the tokens of an earlier login is sent to step-up, once: after that, the tenant
    has shown that it dates new logins back, and each further one would lead here again.
    """
    is_own = session.opened_at - login_time(session) <= _CLOCK_SECONDS or session.data.get(STEPPED_UP) is True
    is_newest = is_own and now - session.opened_at <= _NEWEST_SECONDS
    return fulfils(session, demands, now) or (is_newest and is_strong(session, demands))


def login_time(session: StoredSession) -> float:
    """Return when the user logged in, in seconds since the UNIX epoch.

    A session may have been opened with the tokens of an earlier login.
    """
    auth_time = _claim(session, "auth_time")
    return min(session.opened_at, float(auth_time)) if is_time(auth_time) else session.opened_at


def _claim(session: StoredSession, name: str) -> object:
    """Return a claim of the access token, else of the ID token; None if neither has it."""
    for claims in (claims_of(session.tokens.access_token), session.tokens.claims or {}):
        for each in claims:
            if each == name or each.endswith((f"/{name}", f":{name}")):
                return claims[each]
    return None


def claims_of(access_token: Secret) -> Mapping[str, Any]:
    """Return the claims of a JWT, which came from the tenant itself; none if the token is opaque.

    It raises nothing: the parts of a secret are not wrapped, and a traceback would show them.
    """
    _, _, rest = access_token.partition(".")
    return read_segment(rest.partition(".")[0]) or {}
