"""The keys that tokens are signed with, and the key set that is published (RFC 7517 §5)."""

from __future__ import annotations

import base64
import enum
import functools
import hashlib
import hmac
import json
import secrets
from typing import TYPE_CHECKING, Any

import attrs
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

if TYPE_CHECKING:
    from collections.abc import Mapping

RS256, PS256, ES256, HS256 = "RS256", "PS256", "ES256", "HS256"
_UNPUBLISHED = -1  # the generation of a key that no key set has
_OLD_GENERATIONS = 2  # that the key set still has beside the present one


class Forgery(enum.Enum):
    """Ways to sign a token that must not be trusted."""

    TAMPERED = enum.auto()
    UNSIGNED = enum.auto()
    PUBLIC_KEY = enum.auto()
    OTHER_KEY = enum.auto()
    UNKNOWN_KID = enum.auto()


@functools.cache
def _rsa_key(_generation: int) -> RSAKey:
    return RSAKey.generate_key(2048, auto_kid=True)


@functools.cache
def _ec_key(_generation: int) -> ECKey:
    return ECKey.generate_key("P-256", auto_kid=True)


@attrs.define
class TenantSigningKeys:
    """A tenant's keys.

    Making an RSA key takes a tenth of a second, so the tenants of one process share the keys of a generation. Rotate a
    tenant if its tokens must not pass at another one.
    """

    _id_token_alg: str  # access tokens are signed with RS256
    _generation: int = attrs.field(default=0, init=False)
    _published_from: int = attrs.field(default=0, init=False)

    def rotate(self, *, revoke: bool = False) -> None:
        """Sign with another key from now on; the newest of the earlier keys stay in the key set unless revoked."""
        self._generation += 1
        self._published_from = (
            self._generation if revoke else max(self._published_from, self._generation - _OLD_GENERATIONS)
        )

    def sign(self, alg: str, claims: dict[str, Any], *, secret: str | None = None, typ: str = "JWT") -> str:
        """Return a signed JWT; HS256 signs with the secret."""
        if alg == HS256:
            return jwt.encode({"alg": HS256, "typ": typ}, claims, OctKey.import_key(secret or ""), algorithms=[HS256])
        key = _key(alg, self._generation)
        header = {"alg": alg, "typ": typ, "kid": _kid(key, alg)}
        return jwt.encode(header, claims, key, algorithms=[alg])

    def jwks(self) -> dict[str, Any]:
        """Return the public key set, the present key first."""
        algs = [RS256] if self._id_token_alg in (RS256, HS256) else [RS256, self._id_token_alg]
        generations = range(self._generation, self._published_from - 1, -1)
        return {"keys": [_public(alg, generation) for generation in generations for alg in algs]}

    def forge(self, how: Forgery, claims: dict[str, Any]) -> str:
        """Return a JWT that must not be trusted."""
        key = _rsa_key(self._generation)
        header = {"alg": RS256, "typ": "JWT", "kid": key.thumbprint()}
        if how is Forgery.UNSIGNED:
            return f"{_segments({**header, 'alg': 'none'}, claims)}."
        if how is Forgery.PUBLIC_KEY:
            signed = _segments({**header, "alg": HS256}, claims)
            return f"{signed}.{_base64url(hmac.digest(key.as_pem(private=False), signed.encode(), hashlib.sha256))}"
        if how is Forgery.OTHER_KEY:
            return jwt.encode(header, claims, _rsa_key(_UNPUBLISHED))
        if how is Forgery.UNKNOWN_KID:
            return jwt.encode({**header, "kid": secrets.token_urlsafe(16)}, claims, key)
        signed, _, signature = self.sign(self._id_token_alg, claims, secret=secrets.token_urlsafe(32)).rpartition(".")
        return f"{signed}.{signature[::-1]}"


def _key(alg: str, generation: int) -> ECKey | RSAKey:
    return _ec_key(generation) if alg == ES256 else _rsa_key(generation)


def _kid(key: ECKey | RSAKey, alg: str) -> str:
    # One key for one algorithm (RFC 8725 §3.1): the RSA key has another kid where it signs PS256.
    return f"{key.thumbprint()}-ps256" if alg == PS256 else key.thumbprint()


def _public(alg: str, generation: int) -> Mapping[str, Any]:
    key = _key(alg, generation)
    return {**key.as_dict(private=False), "kid": _kid(key, alg), "use": "sig", "alg": alg}


def _segments(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    return ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
