"""Client assertions (``private_key_jwt``: RFC 7523 §2.2 and §3, OpenID Connect Core §9): each passes once."""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from passwordless_async.testing.checks.proofs import SeenJtis
from passwordless_async.testing.refusals import INVALID_CLIENT, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.records import TenantStats

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MAX_ASSERTION_BYTES = 2048
_MAX_JTI_CHARACTERS = 64
_SKEW_SECONDS = 10.0  # that the two clocks may differ
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_EC = "ES256"


@functools.cache
def _ready_rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048, auto_kid=True)


@functools.cache
def ready_key(alg: str) -> ECKey | RSAKey:
    """Return the ready application's key for an algorithm; it is made on first use and shared by the process."""
    return ECKey.generate_key("P-256", auto_kid=True) if alg == _EC else _ready_rsa_key()


@attrs.define
class Assertions:
    """Checks assertions, and remembers them for as long as they could pass again."""

    _issuer: str
    _settings: TenantSettings
    _clock: TenantClock
    _stats: TenantStats
    _seen: SeenJtis = attrs.field(factory=SeenJtis, init=False)

    def verify(self, assertion: object, assertion_type: object) -> str:
        """Return the ``client_id`` of an assertion, and spend the assertion; refuse it if a check fails."""
        if assertion_type != JWT_BEARER:
            _refuse("client_assertion_type is missing or unknown")
        if not isinstance(assertion, str) or not _COMPACT.fullmatch(assertion):
            _refuse("client_assertion is not a compact JWT")
        if len(assertion) > _MAX_ASSERTION_BYTES:
            _refuse("client_assertion is too long")
        claims = self._verified(assertion)
        self._check_names(claims)
        self._check_dates(claims)
        self._spend(claims)
        self._stats.assertions_accepted += 1
        return self._settings.private_key_jwt_client_id

    def _verified(self, assertion: str) -> dict[str, Any]:
        header = _header(assertion)
        alg = header.get("alg")
        if not isinstance(alg, str) or alg not in self._settings.private_key_jwt_algs or "crit" in header:
            _refuse("the assertion's algorithm is not allowed")
        for key in self._keys(alg, header.get("kid")):
            claims = _claims(assertion, key, alg)
            if claims is not None:
                return claims
        return _refuse("the assertion's signature is not by a registered key")

    def _keys(self, alg: str, kid: object) -> Sequence[ECKey | RSAKey]:
        if self._settings.private_key_jwt_keys is None:
            keys = [ready_key(alg)]
        else:
            kty, importer = ("EC", ECKey) if alg == _EC else ("RSA", RSAKey)
            jwks = [key for key in self._settings.private_key_jwt_keys if key.get("kty") == kty]
            keys = [importer.import_key(dict(jwk)) for jwk in jwks]
        return [key for key in keys if kid in (None, key.kid)]

    def _check_names(self, claims: Mapping[str, Any]) -> None:
        client_id = self._settings.private_key_jwt_client_id
        if claims.get("iss") != client_id or claims.get("sub") != client_id:
            _refuse("iss and sub of the assertion must be the client_id")
        if claims.get("aud") not in (self._issuer, [self._issuer]):
            _refuse("aud of the assertion must be the issuer")

    def _check_dates(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.wall()
        dates: dict[str, Any] = {"exp": None, "iat": now, "nbf": now, **claims}
        exp, iat, nbf = (dates[name] for name in ("exp", "iat", "nbf"))
        if not all(isinstance(date, int | float) and not isinstance(date, bool) for date in (exp, iat, nbf)):
            _refuse("a date of the assertion is missing or not a number")
        if not now - _SKEW_SECONDS < exp <= now + self._settings.assertion_lifetime + _SKEW_SECONDS:
            _refuse("exp of the assertion is past or too far ahead")
        if not (iat <= now + _SKEW_SECONDS and nbf <= now + _SKEW_SECONDS):
            _refuse("iat or nbf of the assertion is in the future")

    def _spend(self, claims: Mapping[str, Any]) -> None:
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 1 <= len(jti) <= _MAX_JTI_CHARACTERS:
            _refuse("jti of the assertion is missing or too long")
        until = claims["exp"] + _SKEW_SECONDS
        if not self._seen.add(claims["sub"], jti, until=until, now=self._clock.wall()):
            self._stats.assertions_replayed += 1
            _refuse("jti of the assertion was used before")


_JWS = jws.JWSRegistry(strict_check_header=False)


def _header(assertion: str) -> Mapping[str, Any]:
    try:
        return jws.extract_compact(assertion.encode(), registry=_JWS).headers()
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        return {}


def _claims(assertion: str, key: ECKey | RSAKey, alg: str) -> dict[str, Any] | None:
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    try:
        payload = jws.deserialize_compact(assertion, key, algorithms=[alg], registry=registry).payload
        claims = json.loads(payload or b"")
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _refuse(reason: str) -> NoReturn:
    raise RequestRefused(INVALID_CLIENT.because(reason))
