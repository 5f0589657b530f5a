"""The ID token and its checks (OpenID Connect Core §3.1.3.7).

Which key a token is checked with follows from its header, and what the key may be used for from where the key came: a
signature by an algorithm that its key is not for is none. Keys inside of the token, or that it points to (``jwk``,
``jku``, ``x5c``, ``x5u``), are never looked at.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeGuard

import attrs
from joserfc.jwk import OctKey

from passwordless_async._common.base64url import encode_text
from passwordless_async._common.secret import SecretDict
from passwordless_async.auth0.application import HS256
from passwordless_async.auth0.jwks import SigningKey
from passwordless_async.auth0.jws import signed_payload
from passwordless_async.errors import InvalidIdToken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.application import Application

# Seconds that the tenant's clock and ours may differ. Machines that keep time are within one; a minute forgives those
# that do not, and an ID token is checked once, when it comes, and not used again.
_LEEWAY = 60
_END_OF_TIME = 253_402_300_799  # seconds since the UNIX epoch: the end of the year 9999
_MAX_HEADER = 1024  # characters


@attrs.frozen
class Header:
    """What the token says of its signature.

    Attributes:
        alg: The algorithm, one of those that the application takes.
        kid: The key; empty where the key is the client secret.
    """

    alg: str
    kid: str


@attrs.frozen
class Expected:
    """What was asked for, and the ID token must show.

    Attributes:
        nonce: What was sent as ``nonce``, and must come back.
        max_age: For how many seconds the user may be logged in, by ``auth_time``.
        subject: Who the user was before a refresh (OpenID Connect Core §12.2); there may be no ID token then.
    """

    nonce: str | None = None
    max_age: int | None = None
    subject: str | None = None

    def require_subject(self, claims: Mapping[str, Any]) -> None:
        """Check who the token is about.

        Raises:
            InvalidIdToken: It is somebody else.
        """
        if self.subject not in {None, claims["sub"]}:
            raise InvalidIdToken("sub", "is another user than before the refresh")

    def require_no_token(self) -> None:
        """Check that nothing was asked for: to leave the ID token out must not be a way around a check.

        Raises:
            InvalidIdToken: Something was.
        """
        for claim, value in (("nonce", self.nonce), ("auth_time", self.max_age)):
            if value is not None:
                raise InvalidIdToken(claim, "is missing: there is no ID token")


def read_header(id_token: Secret, application: Application) -> Header:
    """Read the header.

    Raises:
        InvalidIdToken: It is not readable, is not that of an ID token, or names no key or no algorithm that the
            application takes.
    """
    header, claim, problem = _read_header(
        id_token.partition(".")[0][: _MAX_HEADER + 1], application.id_token_algorithms
    )
    if header is None:
        raise InvalidIdToken(claim, problem)
    return header


@lru_cache(maxsize=64)
def _read_header(segment: str, algorithms: tuple[str, ...]) -> tuple[Header | None, str, str]:
    # The same few headers stand before thousands of tokens, one for each signing key of the tenant.
    header = _decoded(segment)
    if header is None:
        return None, "header", "is not readable"
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if alg not in algorithms:
        return None, "alg", f"is not one of {', '.join(algorithms)}"
    if "crit" in header:
        # RFC 7515 §4.1.11: what is critical must be understood, and an empty list must not be there.
        return None, "crit", "is not understood"
    if not isinstance(typ, str) or typ.upper() != "JWT":
        # RFC 8725 §3.11: an access token (at+jwt) or a logout token (logout+jwt) of the same key is no ID token.
        return None, "typ", "is another kind of token"
    if alg == HS256:
        return Header(alg, ""), "", ""
    return (Header(alg, kid), "", "") if isinstance(kid, str) and kid else (None, "kid", "is missing")


def _decoded(segment: str) -> dict[str, Any] | None:
    if len(segment) > _MAX_HEADER:
        return None
    try:
        header = json.loads(base64.urlsafe_b64decode(segment + "=="))
    except (ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def check_key(header: Header, key: SigningKey) -> None:
    """Check that a key is one for the algorithm (RFC 7517 §4.4).

    Raises:
        InvalidIdToken: It is not.
    """
    if header.alg not in key.algorithms:
        raise InvalidIdToken("alg", "is not one that the key is for")


def client_secret_key(application: Application) -> SigningKey:
    """Return the key of HS256: the client secret (OpenID Connect Core §10.1)."""
    return SigningKey(OctKey.import_key(application.id_token_secret), (HS256,))


def validate(
    id_token: Secret,
    key: SigningKey,
    application: Application,
    now: float,
    *,
    access_token: Secret | None = None,
    nonce: str | None = None,
    max_age: int | None = None,
) -> Mapping[str, Any]:
    """Check the token and return its claims, read-only.

    Args:
        id_token: The token.
        key: The key that its header names.
        application: Who the token must be for, and from whose tenant.
        now: Seconds since the UNIX epoch.
        access_token: What came with the token; compared with ``at_hash`` where there is one.
        nonce: What was sent as ``nonce``, and must come back.
        max_age: For how many seconds the user may be logged in, by ``auth_time``.

    Raises:
        InvalidIdToken: A check failed; its ``claim`` says which.
    """
    claims = _verified_claims(id_token, key, application.id_token_algorithms)
    if claims.get("iss") != application.issuer:
        raise InvalidIdToken("iss", f"is not {application.issuer}")
    _check_audience(claims, application.client_id)
    if not _is_time(claims.get("exp")) or now >= claims["exp"] + _LEEWAY:
        raise InvalidIdToken("exp", "is missing or past")
    if not _is_time(claims.get("iat")) or claims["iat"] > now + _LEEWAY:
        raise InvalidIdToken("iat", "is missing or in the future")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise InvalidIdToken("sub", "is missing")
    if max_age is not None:
        _check_login(claims, now, max_age)
    _check_ties(claims, access_token, nonce)
    return MappingProxyType(dict(claims))


def _verified_claims(id_token: Secret, key: SigningKey, algorithms: tuple[str, ...]) -> SecretDict:
    if not set(key.algorithms).intersection(algorithms):
        raise InvalidIdToken("alg", "is not one that the key is for")
    header, _, _ = _read_header(id_token.partition(".")[0][: _MAX_HEADER + 1], algorithms)
    payload = None
    if header is not None and header.alg in key.algorithms:
        payload = signed_payload(id_token, header.alg, key.verifies_with)
    # Personal data: hidden while errors may be raised over it.
    claims: SecretDict | None = None
    if payload:
        try:
            read = json.loads(payload)
            claims = SecretDict(read) if type(read) is dict else None
        except (ValueError, RecursionError):
            claims = None
    if claims is None:
        raise InvalidIdToken("signature", "is not that of the tenant's key")
    return claims


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


def _check_login(claims: Mapping[str, Any], now: float, max_age: int) -> None:
    auth_time = claims.get("auth_time")
    if not _is_time(auth_time) or auth_time > now + _LEEWAY:
        raise InvalidIdToken("auth_time", "is missing or in the future")
    if now - auth_time > max_age + _LEEWAY:
        raise InvalidIdToken("auth_time", "is longer ago than max_age")


def _check_ties(claims: Mapping[str, Any], access_token: Secret | None, nonce: str | None) -> None:
    if nonce is not None and claims.get("nonce") != nonce:
        raise InvalidIdToken("nonce", "is not the one that was sent")
    if access_token is not None and "at_hash" in claims and claims["at_hash"] != _half_hash(access_token):
        raise InvalidIdToken("at_hash", "is not that of the access token")


def _half_hash(access_token: Secret) -> str:
    # OpenID Connect Core §3.1.3.6: the left half, by the hash of alg; all that we take have SHA-256.
    return encode_text(hashlib.sha256(access_token.encode()).digest()[:16])


def _is_time(value: object) -> TypeGuard[float]:
    # The range keeps out NaN, which is neither past nor in the future, and whole numbers too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _END_OF_TIME
