"""The ID token and its checks (OpenID Connect Core §3.1.3.7)."""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from passwordless_async._secret import SecretDict
from passwordless_async.errors import InvalidIdToken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from joserfc.jwk import RSAKey

    from passwordless_async._secret import Secret
    from passwordless_async.auth0.application import Application

_ALGORITHMS = ("RS256",)
_LEEWAY = 60.0  # seconds that the tenant's clock and ours may differ
_END_OF_TIME = 253_402_300_799  # seconds since the UNIX epoch: the end of the year 9999
# Header parameters that are not registered are tolerated (RFC 7515 §4.3): joserfc refuses them unless told.
_REGISTRY = JWSRegistry(algorithms=list(_ALGORITHMS), strict_check_header=False)


def key_id(id_token: Secret) -> str:
    """Return the ``kid`` of the key that the token says it is signed with.

    Raises:
        InvalidIdToken: The token has no readable header, names no key, or another algorithm than RS256.
    """
    kid, problem = _read_header(id_token.partition(".")[0])
    if problem is not None:
        raise InvalidIdToken(*problem)
    return kid


@lru_cache(maxsize=64)
def _read_header(segment: str) -> tuple[str, tuple[str, str] | None]:
    # The same few headers stand before thousands of tokens, one for each signing key of the tenant.
    try:
        header = json.loads(base64.urlsafe_b64decode(segment[:1024] + "=="))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        return "", ("header", "is not readable")
    if header.get("alg") not in _ALGORITHMS:
        return "", ("alg", f"is not one of {', '.join(_ALGORITHMS)}")
    if "crit" in header:
        # RFC 7515 §4.1.11: what is critical must be understood, and an empty list must not be there.
        return "", ("crit", "is not understood")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        return "", ("kid", "is missing")
    return kid, None


def validate(id_token: Secret, key: RSAKey, application: Application, now: float) -> Mapping[str, Any]:
    """Check the token and return its claims, read-only.

    Args:
        id_token: The token.
        key: The tenant's key of the token's ``kid``.
        application: Who the token must be for, and from whose tenant.
        now: Seconds since the UNIX epoch.

    Raises:
        InvalidIdToken: A check failed; its ``claim`` says which.
    """
    claims = _verified_claims(id_token, key)
    if claims is None:
        raise InvalidIdToken("signature", "is not that of the tenant's key")
    if claims.get("iss") != application.issuer:
        raise InvalidIdToken("iss", f"is not {application.issuer}")
    _check_audience(claims, application.client_id)
    if not _is_time(claims.get("exp")) or now >= claims["exp"] + _LEEWAY:
        raise InvalidIdToken("exp", "is missing or past")
    if not _is_time(claims.get("iat")) or claims["iat"] > now + _LEEWAY:
        raise InvalidIdToken("iat", "is missing or in the future")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise InvalidIdToken("sub", "is missing")
    return MappingProxyType(dict(claims))


def _verified_claims(id_token: Secret, key: RSAKey) -> SecretDict | None:
    # Personal data: hidden while errors may be raised over it.
    try:
        return SecretDict(jwt.decode(id_token, key, registry=_REGISTRY).claims)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    if audience in (client_id, [client_id]):
        if claims.get("azp", client_id) != client_id:
            raise InvalidIdToken("azp", "is another application")
        return
    if not isinstance(audience, list) or client_id not in audience:
        raise InvalidIdToken("aud", "is not this application")
    if claims.get("azp") != client_id:
        raise InvalidIdToken("azp", "must be this application, where there are several audiences")


def _is_time(value: object) -> bool:
    # The range keeps out NaN, which is neither past nor in the future, and whole numbers too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _END_OF_TIME
