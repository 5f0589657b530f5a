"""The logout token, with which a provider ends sessions, and its checks (OpenID Connect Back-Channel Logout 1.0 §2.6).

Invariants:

- It is checked like an ID token, with the same keys: signature, ``iss``, ``aud``, ``iat`` and ``exp``.
- No ID token and no other token of the same key passes: a logout token has the event, and must not have a ``nonce``.
- It must expire within a day, the time for which used tokens are remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.secret import redacted
from passwordless_async.auth0.id_token import Header, check_key, checked_claims, read_header
from passwordless_async.errors import InvalidIdToken, InvalidLogoutToken

if TYPE_CHECKING:
    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.clocks import Clocks
    from passwordless_async.auth0.jwks import SigningKey

EVENT = "http://schemas.openid.net/event/backchannel-logout"
# §2.4: "logout+jwt" is recommended, for new deployments. A media type may have its prefix (RFC 7515 §4.1.9).
_TYPES = ("JWT", "LOGOUT+JWT", "APPLICATION/LOGOUT+JWT")
_MAX_TEXT = 512  # characters of a claim
_MAX_LIFETIME = 86_400.0  # seconds; the standard recommends two minutes at most


@attrs.frozen(kw_only=True)
class LogoutToken:
    """The claims of a valid logout token.

    Attributes:
        sub: The user; None: all users of the session ``sid``.
        sid: The session at the provider; None: all of the user.
        jti: Its identifier. A logout token is accepted once.
        expires_in: Seconds from now until no machine accepts it any more.
    """

    sub: str | None = attrs.field(repr=redacted)
    sid: str | None = attrs.field(repr=redacted)
    jti: str = attrs.field(repr=redacted)
    expires_in: float


def read_logout_header(token: Secret, application: Application) -> Header:
    """Read the header. Raises :class:`InvalidLogoutToken`."""
    try:
        return read_header(token, application, _TYPES)
    except InvalidIdToken as error:
        claim, problem = error.claim, error.problem
    raise InvalidLogoutToken(claim, problem)


def read_logout_token(
    token: Secret, header: Header, key: SigningKey | None, application: Application, clocks: Clocks
) -> LogoutToken:
    """Check a token with the key that its header names, and return its claims; None: there is no such key.

    Raises:
        InvalidLogoutToken: A check failed; its ``claim`` names it.
    """
    if key is None:
        raise InvalidLogoutToken("kid", "is not among the tenant's signing keys")
    try:
        check_key(header, key)
        claims = checked_claims(token, key, application, clocks, types=_TYPES)
    except InvalidIdToken as error:
        claim, problem = error.claim, error.problem
    else:
        return _logout(claims, clocks)
    raise InvalidLogoutToken(claim, problem)


def _logout(claims: Mapping[str, Any], clocks: Clocks) -> LogoutToken:
    """Check the claims that only a logout token has."""
    events = claims.get("events")
    if not isinstance(events, Mapping) or not isinstance(events.get(EVENT), Mapping):
        raise InvalidLogoutToken("events", "has no logout")
    if "nonce" in claims:
        raise InvalidLogoutToken("nonce", "must not be there: it is an ID token")
    if claims["exp"] - claims["iat"] > _MAX_LIFETIME:
        raise InvalidLogoutToken("exp", "is more than a day after iat")
    sub, sid = _text(claims, "sub"), _text(claims, "sid")
    if sub is None and sid is None:
        raise InvalidLogoutToken("sub", "is missing, and sid too")
    jti = _text(claims, "jti")
    if jti is None:
        raise InvalidLogoutToken("jti", "is missing")
    return LogoutToken(sub=sub, sid=sid, jti=jti, expires_in=claims["exp"] + 2 * clocks.skew - clocks.now + 1.0)


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    """Return a claim; None if it is not there."""
    if name not in claims:
        return None
    value = claims[name]
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT:
        raise InvalidLogoutToken(name, "is not a string of a usable length")
    return value
