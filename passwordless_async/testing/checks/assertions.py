"""Client assertions (``private_key_jwt``: RFC 7523 §2.2 and §3, OpenID Connect Core §9): each passes once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
from joserfc.jwk import ECKey, RSAKey

from passwordless_async.testing.checks.compact import read_compact
from passwordless_async.testing.checks.proofs import SeenJtis, is_date
from passwordless_async.testing.refusals import INVALID_CLIENT, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passwordless_async.testing.checks.compact import CompactJwt
    from passwordless_async.testing.settings import RegisteredClient, TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.records import TenantStats

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MAX_ASSERTION_BYTES = 2048
_MAX_JTI_CHARACTERS = 64
_SKEW_SECONDS = 10.0  # that the two clocks may differ
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

    _settings: TenantSettings
    _clock: TenantClock
    _stats: TenantStats
    _seen: SeenJtis = attrs.field(factory=SeenJtis, init=False)

    def verify(self, assertion: object, assertion_type: object, issuer: str) -> str:
        """Return the ``client_id`` of an assertion, and spend the assertion; refuse it if a check fails."""
        if assertion_type != JWT_BEARER:
            _refuse("client_assertion_type is missing or unknown")
        jwt = _read(assertion)
        application = self._settings.client(jwt.claims.get("iss"))
        if application is None or jwt.claims.get("sub") != application.client_id:
            _refuse("iss and sub of the assertion must be the client_id")
        if jwt.claims.get("aud") not in (issuer, [issuer]):
            _refuse(f"aud of the assertion must be the issuer {issuer}")
        self._check_signature(jwt, application)
        self._check_dates(jwt.claims)
        self._spend(jwt.claims)
        self._stats.assertions_accepted += 1
        return application.client_id

    def _check_signature(self, jwt: CompactJwt, application: RegisteredClient) -> None:
        alg, kid = jwt.header.get("alg"), jwt.header.get("kid")
        # RFC 7515 §4.1.11, RFC 7797 §6: extensions must be understood.
        extended = jwt.header.keys() & {"crit", "b64"}
        if not isinstance(alg, str) or alg not in self._settings.private_key_jwt_algs or extended:
            _refuse("the assertion's algorithm is not allowed")
        keys = [key for key in self._keys(application, alg) if kid in (None, key.kid)]
        if not any(jwt.is_signed_by(key, alg) for key in keys):
            _refuse("the assertion's signature is not by a registered key")

    def _keys(self, application: RegisteredClient, alg: str) -> Sequence[ECKey | RSAKey]:
        settings = self._settings
        if application.client_id == settings.private_key_jwt_client_id and settings.private_key_jwt_keys is None:
            return [ready_key(alg)]
        kty, importer = ("EC", ECKey) if alg == _EC else ("RSA", RSAKey)
        return [importer.import_key(dict(jwk)) for jwk in application.keys or () if jwk.get("kty") == kty]

    def _check_dates(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.wall()
        dates: dict[str, Any] = {"exp": None, "iat": now, "nbf": now, **claims}
        exp, iat, nbf = (dates[name] for name in ("exp", "iat", "nbf"))
        if not all(is_date(date) for date in (exp, iat, nbf)):
            _refuse("a date of the assertion is missing or not a number")
        if not now - _SKEW_SECONDS < exp <= now + self._settings.assertion_lifetime + _SKEW_SECONDS:
            _refuse("exp of the assertion is past or too far ahead")
        if not (iat <= now + _SKEW_SECONDS and nbf <= now + _SKEW_SECONDS):
            _refuse("iat or nbf of the assertion is in the future")

    def _spend(self, claims: Mapping[str, Any]) -> None:
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 1 <= len(jti) <= _MAX_JTI_CHARACTERS:
            _refuse("jti of the assertion is missing or too long")
        seconds = claims["exp"] + _SKEW_SECONDS - self._clock.wall()
        if not self._seen.add(claims["sub"], jti, seconds=seconds):
            self._stats.assertions_replayed += 1
            _refuse("jti of the assertion was used before")


def _read(assertion: object) -> CompactJwt:
    if not isinstance(assertion, str):
        _refuse("client_assertion is missing")
    if len(assertion) > _MAX_ASSERTION_BYTES:
        _refuse("client_assertion is too long")
    try:
        return read_compact(assertion)
    except ValueError:
        return _refuse("client_assertion is not a compact JWT")


def _refuse(reason: str) -> NoReturn:
    raise RequestRefused(INVALID_CLIENT.because(reason))
