"""The ID token and its checks (OpenID Connect Core §3.1.3.7).

Invariants:

- The header selects the key; the source of the key decides its algorithms. A signature by another one is invalid.
- Keys in the token, or at URLs in it (``jwk``, ``jku``, ``x5c``, ``x5u``), are never read.
- If the key cannot be fetched, the token is unchecked, not invalid: :class:`UncheckedIdToken`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.base64url import encode_text
from passwordless_async._common.secret import Secret, SecretDict, redacted
from passwordless_async._common.strict_json import read_claims, read_segment
from passwordless_async.auth0 import jose
from passwordless_async.auth0.application import HS256, Application
from passwordless_async.auth0.clocks import is_time
from passwordless_async.auth0.jwks import SigningKey, jwks_request
from passwordless_async.auth0.jws import signed_payload
from passwordless_async.errors import InvalidIdToken, NotSent, OutcomeUnknown, PasswordlessError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.auth0.clocks import Clocks
    from passwordless_async.auth0.tenant import Flow, Tenant

_MAX_HEADER = 1024  # characters
ID_TOKEN_TYPES = ("JWT",)  # of the header's ``typ``, in upper case; a token without one is a JWT
_TIMES_ADVICE = "Check the clock of this machine and the tenant's; the tokens were discarded."
# OpenID Connect Core §12.2: a refreshed ID token must have the same values.
_KEPT_CLAIMS = ("iss", "sub", "aud", "azp", "auth_time", "nonce")


@attrs.frozen
class Header:
    """The header parameters that choose the key."""

    alg: str  # one that the application accepts
    kid: str  # empty for HS256: its key is the client secret


@attrs.frozen
class ExpectedIdToken:
    """The values that an ID token must have, besides those of every ID token."""

    nonce: str | None = None  # the one that was sent
    max_age: int | None = None  # seconds ago that the user may have logged in, by auth_time
    # The claims before a refresh that must stay; after it the ID token is optional.
    original: Mapping[str, Any] | None = attrs.field(default=None, hash=False, repr=redacted)

    @classmethod
    def after_refresh(cls, claims: Mapping[str, Any] | None) -> ExpectedIdToken:
        """Return the values that a refreshed ID token must keep, from the claims of the previous one (§12.2)."""
        if claims is None:
            return cls()
        return cls(original={name: claims[name] for name in _KEPT_CLAIMS if name in claims})

    def require_no_token(self) -> None:
        """Raise :class:`InvalidIdToken` if a claim is required: leaving out the ID token must not skip a check."""
        for claim, value in (("nonce", self.nonce), ("auth_time", self.max_age)):
            if value is not None:
                raise InvalidIdToken(claim, "is missing: there is no ID token")


def read_header(id_token: Secret, application: Application, types: tuple[str, ...] = ID_TOKEN_TYPES) -> Header:
    """Read the header of an ID token, or of another token of the tenant's, by its ``typ``.

    Raises:
        InvalidIdToken: It is unreadable, is of another kind of token, has no ``kid``, or has an algorithm that the
            application does not accept.
    """
    return _read_header(id_token.partition(".")[0][: _MAX_HEADER + 1], application.id_token_algorithms, types)


@lru_cache(maxsize=64)  # a tenant's thousands of tokens have the same few headers, one for each signing key
def _read_header(segment: str, algorithms: tuple[str, ...], types: tuple[str, ...]) -> Header:
    header = read_segment(segment) if len(segment) <= _MAX_HEADER else None
    if header is None:
        raise InvalidIdToken("header", "is not readable")
    kid = header.get("kid")
    for name, refused, problem in (
        ("alg", header.get("alg") not in algorithms, f"is not one of {', '.join(algorithms)}"),
        # RFC 7515 §4.1.11: critical parameters must be understood, and an empty list must not be there.
        ("crit", "crit" in header, "is not understood"),
        # RFC 8725 §3.11: an access token (at+jwt) or a logout token (logout+jwt) of the same key is no ID token.
        ("typ", str(header.get("typ", "JWT")).upper() not in types, "is another kind of token"),
        ("kid", header.get("alg") != HS256 and not (isinstance(kid, str) and kid), "is missing"),
    ):
        if refused:
            raise InvalidIdToken(name, problem)
    return Header(header["alg"], "" if header["alg"] == HS256 else header["kid"])


def check_key(header: Header, key: SigningKey) -> None:
    """Raise :class:`InvalidIdToken` unless a key is for the header's algorithm (RFC 7517 §4.4)."""
    if header.alg not in key.algorithms:
        raise InvalidIdToken("alg", "is not an algorithm of the key")


def client_secret_key(application: Application) -> SigningKey:
    """Return the key of HS256: the client secret (OpenID Connect Core §10.1)."""
    return SigningKey(jose.OctKey.import_key(application.id_token_secret), (HS256,))


def validate(
    id_token: Secret,
    key: SigningKey,
    application: Application,
    clocks: Clocks,
    *,
    access_token: Secret | None = None,
    expected: ExpectedIdToken = ExpectedIdToken(),
) -> Mapping[str, Any]:
    """Check the token and return its claims, read-only.

    ``key`` is the one that its header names. The access token of the same response is compared with ``at_hash``, if the
    token has it.

    Raises:
        InvalidIdToken: A check failed; its ``claim`` names it.
    """
    claims = checked_claims(id_token, key, application, clocks, max_age=expected.max_age)
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise InvalidIdToken("sub", "is missing")
    _check_ties(claims, access_token, expected)
    return MappingProxyType(dict(claims))


def checked_claims(
    token: Secret,
    key: SigningKey,
    application: Application,
    clocks: Clocks,
    *,
    max_age: int | None = None,
    types: tuple[str, ...] = ID_TOKEN_TYPES,
) -> SecretDict:
    """Return the claims after the checks that all tokens for this application have: signature, ``iss``, ``aud``, times.

    Raises:
        InvalidIdToken: A check failed.
    """
    claims = _verified_claims(token, key, application, types)
    if claims.get("iss") != application.issuer:
        raise InvalidIdToken("iss", f"is not {application.issuer}")
    _check_audience(claims, application.client_id)
    _check_times(claims, clocks, max_age)
    return claims


def _verified_claims(id_token: Secret, key: SigningKey, application: Application, types: tuple[str, ...]) -> SecretDict:
    if not set(key.algorithms).intersection(application.id_token_algorithms):
        raise InvalidIdToken("alg", "is not an algorithm of the key")
    try:
        alg = read_header(id_token, application, types).alg
    except InvalidIdToken:
        alg = ""
    payload = signed_payload(id_token, alg, key.key) if alg in key.algorithms else None
    if payload is None:
        raise InvalidIdToken("signature", "is not that of the tenant's key")
    claims = read_claims(payload)
    if claims is None:
        raise InvalidIdToken("claims", "are not readable")
    # Personal data: hidden in the frames of errors that later checks raise.
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


def _check_times(claims: Mapping[str, Any], clocks: Clocks, max_age: int | None) -> None:
    required = ("exp", "iat") if max_age is None else ("exp", "iat", "auth_time")
    # RFC 7519 §4.1.5: a token is not valid before nbf, which OpenID Connect leaves out.
    for name in (*required, "nbf") if "nbf" in claims else required:
        if not is_time(claims.get(name)):
            raise InvalidIdToken(name, "is missing, or not a time")
    if clocks.now >= claims["exp"] + clocks.skew:
        raise _out_of_time("exp", "is past", clocks)
    _check_not_early("iat", claims["iat"], clocks)
    _check_not_early("nbf", claims.get("nbf", 0), clocks)
    if max_age is not None:
        _check_not_early("auth_time", claims["auth_time"], clocks)
        if clocks.now - clocks.skew - claims["auth_time"] > max_age:
            raise _out_of_time("auth_time", "is longer ago than max_age", clocks)


def _check_not_early(claim: str, time: float, clocks: Clocks) -> None:
    if time > clocks.now + clocks.skew:
        raise _out_of_time(claim, "is in the future", clocks)


def _out_of_time(claim: str, problem: str, clocks: Clocks) -> InvalidIdToken:
    return clocks.told(InvalidIdToken(claim, f"{problem} by {clocks}"), advice=_TIMES_ADVICE)


def _check_ties(claims: Mapping[str, Any], access_token: Secret | None, expected: ExpectedIdToken) -> None:
    if expected.nonce is not None and claims.get("nonce") != expected.nonce:
        raise InvalidIdToken("nonce", "is not the one that was sent")
    if expected.original is not None:
        _check_continuity(claims, expected.original)
    if access_token is not None and "at_hash" in claims and claims["at_hash"] != _half_hash(access_token):
        raise InvalidIdToken("at_hash", "is not that of the access token")


def _check_continuity(claims: Mapping[str, Any], original: Mapping[str, Any]) -> None:
    """Check a refreshed ID token against the previous one (OpenID Connect Core §12.2)."""
    if claims["sub"] != original.get("sub"):
        raise InvalidIdToken("sub", "is another user than before the refresh")
    if _audiences(claims) != _audiences(original):
        raise InvalidIdToken("aud", "is not as before the refresh")
    for name in ("iss", "azp"):
        if claims.get(name) != original.get(name):
            raise InvalidIdToken(name, "is not as before the refresh")
    for name in ("auth_time", "nonce"):
        if name in claims and claims[name] != original.get(name):
            raise InvalidIdToken(name, "is not as before the refresh")


def _audiences(claims: Mapping[str, Any]) -> list[str]:
    audience = claims.get("aud")
    return sorted(map(str, audience)) if isinstance(audience, list) else [str(audience)]


def _half_hash(access_token: Secret) -> str:
    # OpenID Connect Core §3.1.3.6: the left half of the hash of alg, which is SHA-256 for all accepted algorithms.
    return encode_text(hashlib.sha256(access_token.encode()).digest()[:16])


class UncheckedIdToken(OutcomeUnknown):
    """An ID token could not be checked because its key could not be fetched. It may be valid."""


def fetch_keys_before(tenant: Tenant, scope: str | None = "openid") -> Flow[None]:
    """Fetch the signing keys before a grant, if it returns an ID token and the keys are missing or old.

    Sending a code or a refresh token spends it, so the keys that check the response must be there before.

    Raises:
        NotSent: They could not be fetched, and no cached keys are still usable.
    """
    keys = tenant.keys
    if not keys.due or "openid" not in (scope or "").split() or not tenant.application.needs_key_set:
        return
    keys.renewal_begins()
    problem = yield from _fetch_keys(tenant)
    if problem and keys.empty:
        failure = NotSent(f"the tenant's signing keys could not be fetched, so nothing else was sent: {problem}")
        if isinstance(problem, NotSent):
            # A refused certificate would be refused again: keep the error as it is.
            raise failure.with_facts(retryable=problem.retryable, advice=problem.advice)
        raise failure


def _fetch_keys(tenant: Tenant, *, delay: float = 0.0, revalidate: bool = False) -> Flow[PasswordlessError | None]:
    """Fetch the key set; return the problem, or None."""
    try:
        response = yield jwks_request(tenant.application, delay=delay, revalidate=revalidate)
        tenant.keys.learn(response)
    except PasswordlessError as error:
        tenant.keys.failed(error)
        return error.with_traceback(None)
    return None


def claims_of(
    tenant: Tenant, id_token: Secret | None, *, access_token: Secret, expected: ExpectedIdToken, clocks: Clocks
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
    key = known_key(tenant, header) or (yield from search_key(tenant, header))
    check_key(header, key)
    return validate(id_token, key, application, clocks, access_token=access_token, expected=expected)


def known_key(tenant: Tenant, header: Header) -> SigningKey | None:
    """Return the key that a header names, without fetching it; None if it is unknown."""
    if header.alg == HS256:
        return client_secret_key(tenant.application)
    return tenant.keys.get(header.kid, header.alg)


def search_key(tenant: Tenant, header: Header) -> Flow[SigningKey]:
    """Fetch the key set for an unknown ``kid``, a few times, unless a search has just ended.

    The code is already spent: if the request for keys was not sent, the error must not be ``NotSent``.
    """
    keys = tenant.keys
    problem: object = keys.problem
    while (fetch := keys.next_fetch()) is not None:
        problem = yield from _fetch_keys(tenant, delay=fetch.delay, revalidate=True)
        keys.end_fetch(fetch.number)
        key = keys.get(header.kid, header.alg)
        if key is not None:
            return key
    if problem:
        raise UncheckedIdToken(f"the tokens arrived, but the keys for their ID token could not be fetched: {problem}")
    raise InvalidIdToken("kid", "is not among the tenant's signing keys")
