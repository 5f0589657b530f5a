"""What a login yields: access tokens, ID tokens, refresh tokens, and the memory of the ones that are out."""

from __future__ import annotations

import functools
import hashlib
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import attrs
from joserfc import jwt
from joserfc.jwk import RSAKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.testing.clock import TenantClock
    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.users import User

_MAX_TOKENS = 20_000  # access tokens that userinfo knows; the oldest go first


@functools.cache
def signing_key() -> RSAKey:
    """Return the RS256 key: one for the process, because making one takes a tenth of a second."""
    key = RSAKey.generate_key(2048, auto_kid=True)
    key.ensure_kid()
    return key


def jwks() -> dict[str, Any]:
    """Return the public key set (RFC 7517 §5)."""
    return {"keys": [{**signing_key().as_dict(private=False), "use": "sig", "alg": "RS256"}]}


@attrs.frozen(kw_only=True)
class Grant:
    """What was granted.

    Args:
        user: To whom.
        client_id: Through which application.
        scope: The words of the scope.
        audience: For which API; None: for userinfo only.
        thumbprint: The key that the access token is bound to; None: to none.
        id_token_claims: Claims that take the place of the ID token's own.
        tamper_id_token: Whether the ID token's signature is broken.
    """

    user: User
    client_id: str
    scope: tuple[str, ...]
    audience: str | None
    thumbprint: str | None
    id_token_claims: Mapping[str, Any] = attrs.field(factory=dict)
    tamper_id_token: bool = False


@attrs.frozen
class _Issued:
    grant: Grant
    expires_at: float


@attrs.define
class Mint:
    """Makes tokens and remembers the access tokens among them, by their hash."""

    _issuer: str
    _settings: TenantSettings
    _clock: TenantClock
    _issued: OrderedDict[bytes, _Issued] = attrs.field(factory=OrderedDict, init=False, repr=False)

    def answer(self, grant: Grant) -> dict[str, Any]:
        """Return the body of a token answer (RFC 6749 §5.1)."""
        access_token = self._access_token(grant)
        self._remember(access_token, grant)
        body: dict[str, Any] = {
            "access_token": access_token,
            "expires_in": self._settings.access_token_lifetime,
            "token_type": "Bearer" if grant.thumbprint is None else self._settings.token_type,
        }
        if "openid" in grant.scope:
            body["id_token"] = self._id_token(grant)
        if "offline_access" in grant.scope:
            body["refresh_token"] = secrets.token_urlsafe(32)
        if self._settings.scope_in_answer and grant.scope:
            body["scope"] = " ".join(grant.scope)
        return body

    def grant_of(self, access_token: str) -> Grant | None:
        """Return what an access token stands for, or None where it is unknown or expired."""
        issued = self._issued.get(_hash(access_token))
        return issued.grant if issued is not None and self._clock.now() < issued.expires_at else None

    def _remember(self, access_token: str, grant: Grant) -> None:
        expires_at = self._clock.now() + self._settings.access_token_lifetime
        self._issued[_hash(access_token)] = _Issued(grant, expires_at)
        if len(self._issued) > _MAX_TOKENS:
            self._issued.popitem(last=False)

    def _access_token(self, grant: Grant) -> str:
        if grant.audience is None:
            return secrets.token_urlsafe(48)
        userinfo = [f"{self._issuer}userinfo"] if "openid" in grant.scope else []
        claims = {
            **self._dates(self._settings.access_token_lifetime),
            "sub": grant.user.subject,
            "aud": [grant.audience, *userinfo] if userinfo else grant.audience,
            "azp": grant.client_id,
            "scope": " ".join(grant.scope),
            "jti": secrets.token_urlsafe(16),
        }
        if grant.thumbprint is not None:
            claims["cnf"] = {"jkt": grant.thumbprint}  # RFC 9449 §6.1
        return _signed(claims)

    def _id_token(self, grant: Grant) -> str:
        token = _signed(
            {
                **self._dates(self._settings.id_token_lifetime),
                **grant.user.claims,
                "sub": grant.user.subject,
                "aud": grant.client_id,
                "sid": secrets.token_urlsafe(24),
                **grant.id_token_claims,
            },
        )
        return _tampered(token) if grant.tamper_id_token else token

    def _dates(self, lifetime: int) -> dict[str, Any]:
        now = int(self._clock.wall())
        return {"iss": self._issuer, "iat": now, "exp": now + lifetime}


def _signed(claims: dict[str, Any]) -> str:
    key = signing_key()
    return jwt.encode({"alg": "RS256", "typ": "JWT", "kid": key.kid}, claims, key)


def _tampered(token: str) -> str:
    signed, _, signature = token.rpartition(".")
    return f"{signed}.{signature[::-1]}"


def _hash(access_token: str) -> bytes:
    return hashlib.sha256(access_token.encode()).digest()
