"""The ID token and its checks (OpenID Connect Core §3.1.3.7).

Invariants:

- The header chooses the key; the key's origin decides its algorithms. A signature by another algorithm is invalid.
- Keys in the token, or that it points to (``jwk``, ``jku``, ``x5c``, ``x5u``), are never read.
- If its key cannot be fetched, a token is unchecked, not invalid: :class:`UncheckedIdToken`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeGuard

import attrs
from joserfc.jwk import OctKey

from passwordless_async._common import clock as _clock
from passwordless_async._common.base64url import encode_text
from passwordless_async._common.http import read_json, read_segment
from passwordless_async._common.secret import Secret, SecretDict
from passwordless_async.auth0.application import HS256, Application
from passwordless_async.auth0.jwks import SigningKey, jwks_request
from passwordless_async.auth0.jws import signed_payload
from passwordless_async.errors import (
    InvalidIdToken,
    NotSent,
    OutcomeUnknown,
    PasswordlessError,
    ProtocolError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.auth0.tenant import Flow, Tenant

# Seconds that the tenant's clock and ours may differ. Synchronised machines are within one; a minute forgives the
# others, and an ID token is checked once, on arrival.
_LEEWAY = 60
_END_OF_TIME = 253_402_300_799  # seconds since the UNIX epoch: the end of the year 9999
_MAX_HEADER = 1024  # characters


@attrs.frozen
class Header:
    """The header parameters that choose the key."""

    alg: str  # one that the application accepts
    kid: str  # empty for HS256: its key is the client secret


@attrs.frozen
class Expected:
    """What the ID token must show."""

    nonce: str | None = None  # the one that was sent
    max_age: int | None = None  # seconds ago that the user may have logged in, by auth_time
    subject: str | None = None  # sub before a refresh (OpenID Connect Core §12.2); after it the ID token is optional

    def require_no_token(self) -> None:
        """Raise :class:`InvalidIdToken` if a claim is required: leaving out the ID token must not skip a check."""
        for claim, value in (("nonce", self.nonce), ("auth_time", self.max_age)):
            if value is not None:
                raise InvalidIdToken(claim, "is missing: there is no ID token")


def read_header(id_token: Secret, application: Application) -> Header:
    """Read the header.

    Raises:
        InvalidIdToken: It is not readable, is another kind of token's, has no ``kid``, or has an algorithm that the
            application does not accept.
    """
    return _read_header(id_token.partition(".")[0][: _MAX_HEADER + 1], application.id_token_algorithms)


@lru_cache(maxsize=64)  # a tenant's thousands of tokens have the same few headers, one for each signing key
def _read_header(segment: str, algorithms: tuple[str, ...]) -> Header:
    header = read_segment(segment) if len(segment) <= _MAX_HEADER else None
    if not isinstance(header, dict):
        raise InvalidIdToken("header", "is not readable")
    kid = header.get("kid")
    for name, refused, problem in (
        ("alg", header.get("alg") not in algorithms, f"is not one of {', '.join(algorithms)}"),
        # RFC 7515 §4.1.11: critical parameters must be understood, and an empty list must not be there.
        ("crit", "crit" in header, "is not understood"),
        # RFC 8725 §3.11: an access token (at+jwt) or a logout token (logout+jwt) of the same key is no ID token.
        ("typ", str(header.get("typ", "JWT")).upper() != "JWT", "is another kind of token"),
        ("kid", header.get("alg") != HS256 and not (isinstance(kid, str) and kid), "is missing"),
    ):
        if refused:
            raise InvalidIdToken(name, problem)
    return Header(header["alg"], "" if header["alg"] == HS256 else header["kid"])


def check_key(header: Header, key: SigningKey) -> None:
    """Raise :class:`InvalidIdToken` unless a key is for the header's algorithm (RFC 7517 §4.4)."""
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
    expected: Expected = Expected(),
) -> Mapping[str, Any]:
    """Check the token and return its claims, read-only.

    ``key`` is the one that its header names, ``now`` in seconds since the UNIX epoch. The access token of the same
    answer is compared with ``at_hash``, if the token has it.

    Raises:
        InvalidIdToken: A check failed; its ``claim`` names it.
    """
    claims = _verified_claims(id_token, key, application)
    if claims.get("iss") != application.issuer:
        raise InvalidIdToken("iss", f"is not {application.issuer}")
    _check_audience(claims, application.client_id)
    if not _is_time(claims.get("exp")) or now >= claims["exp"] + _LEEWAY:
        raise InvalidIdToken("exp", "is missing or past")
    if not _is_time(claims.get("iat")) or claims["iat"] > now + _LEEWAY:
        raise InvalidIdToken("iat", "is missing or in the future")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise InvalidIdToken("sub", "is missing")
    _check_login(claims, now, expected.max_age)
    _check_ties(claims, access_token, expected)
    return MappingProxyType(dict(claims))


def _verified_claims(id_token: Secret, key: SigningKey, application: Application) -> SecretDict:
    if not set(key.algorithms).intersection(application.id_token_algorithms):
        raise InvalidIdToken("alg", "is not one that the key is for")
    try:
        alg = read_header(id_token, application).alg
    except InvalidIdToken:
        alg = ""
    payload = signed_payload(id_token, alg, key.key) if alg in key.algorithms else None
    claims = read_json(payload or b"")
    if not isinstance(claims, dict):
        raise InvalidIdToken("signature", "is not that of the tenant's key")
    # Personal data: hidden in the frames of errors that later checks raise.
    return SecretDict(claims)


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


def _check_login(claims: Mapping[str, Any], now: float, max_age: int | None) -> None:
    if max_age is None:
        return
    auth_time = claims.get("auth_time")
    if not _is_time(auth_time) or auth_time > now + _LEEWAY:
        raise InvalidIdToken("auth_time", "is missing or in the future")
    if now - auth_time > max_age + _LEEWAY:
        raise InvalidIdToken("auth_time", "is longer ago than max_age")


def _check_ties(claims: Mapping[str, Any], access_token: Secret | None, expected: Expected) -> None:
    if expected.nonce is not None and claims.get("nonce") != expected.nonce:
        raise InvalidIdToken("nonce", "is not the one that was sent")
    if expected.subject not in {None, claims["sub"]}:
        raise InvalidIdToken("sub", "is another user than before the refresh")
    if access_token is not None and "at_hash" in claims and claims["at_hash"] != _half_hash(access_token):
        raise InvalidIdToken("at_hash", "is not that of the access token")


def _half_hash(access_token: Secret) -> str:
    # OpenID Connect Core §3.1.3.6: the left half of the hash of alg, which is SHA-256 for all accepted algorithms.
    return encode_text(hashlib.sha256(access_token.encode()).digest()[:16])


def _is_time(value: object) -> TypeGuard[float]:
    # The range excludes NaN, which is neither past nor future, and integers too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _END_OF_TIME


class UncheckedIdToken(OutcomeUnknown):
    """An ID token could not be checked because its key could not be fetched. It may be valid."""


def fetch_keys_before(tenant: Tenant, scope: str | None = "openid") -> Flow[None]:
    """Fetch the signing keys before a grant, if an ID token will come and the keys are missing or old.

    A code or a refresh token is spent once sent: the keys that check the answer must be there before.

    Raises:
        NotSent: They could not be fetched, and none are cached that may still serve.
    """
    keys = tenant.keys
    if not keys.due or "openid" not in (scope or "").split() or not tenant.application.needs_key_set:
        return
    keys.renewal_begins()
    problem = yield from _fetch_keys(tenant)
    if problem and keys.empty:
        failure = NotSent(f"the tenant's signing keys could not be fetched, so nothing else was sent: {problem}")
        if isinstance(problem, NotSent):
            # A certificate that is refused is refused again: what is known of that stays.
            raise failure.with_facts(retryable=problem.retryable, advice=problem.advice)
        raise failure


def _fetch_keys(tenant: Tenant) -> Flow[PasswordlessError | None]:
    """Fetch the key set; return the problem, or None."""
    try:
        response = yield jwks_request(tenant.application)
        tenant.keys.learn(response)
    except (TransportError, ProtocolError) as error:
        return error.with_traceback(None)
    return None


def claims_of(
    tenant: Tenant, id_token: Secret | None, *, access_token: Secret, expected: Expected
) -> Flow[Mapping[str, Any] | None]:
    """Validate an ID token; fetch the key set again if it names an unknown key.

    Raises:
        InvalidIdToken: It failed a check, or it is missing and a claim is expected.
        UncheckedIdToken: Its key could not be fetched.
    """
    if id_token is None:
        expected.require_no_token()
        return None
    application = tenant.application
    header = read_header(id_token, application)
    if header.alg == HS256:
        key = client_secret_key(application)
    else:
        key = tenant.keys.get(header.kid) or (yield from _search(tenant, header.kid))
    check_key(header, key)
    return validate(id_token, key, application, _clock.now(), access_token=access_token, expected=expected)


def _search(tenant: Tenant, kid: str) -> Flow[SigningKey]:
    """Fetch the key set for an unknown ``kid``, unless that was done lately.

    The code is spent by now: if the request for keys was not sent, the error must not be ``NotSent``.
    """
    keys = tenant.keys
    problem: object = "a moment ago" if keys.search_failed else None
    if keys.may_search:
        keys.search_begins()
        problem = yield from _fetch_keys(tenant)
        keys.search_ended()
        if problem:
            keys.search_has_failed()
    if problem:
        raise UncheckedIdToken(f"tokens came, and the keys to check their ID token could not be fetched: {problem}")
    key = keys.get(kid)
    if key is None:
        raise InvalidIdToken("kid", "is not among the tenant's signing keys")
    return key
