"""The tokens of a login: access tokens, ID tokens and refresh tokens."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.bounded import Bounded
from passwordless_async.testing.state.refresh_families import RefreshFamily
from passwordless_async.testing.state.signing import HS256, RS256, Forgery

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.refresh_families import RefreshTokens
    from passwordless_async.testing.state.signing import TenantSigningKeys
    from passwordless_async.testing.state.users import User

_MAX_ACCESS_TOKENS = 20_000  # that userinfo knows


@attrs.frozen(kw_only=True)
class Grant:
    """What was granted.

    Args:
        user: The user.
        client_id: The application.
        scope: The scope tokens.
        audience: The API; None: userinfo only.
        key: The thumbprint of the proof's key; None: there was no proof.
        thumbprint: The thumbprint of the key that the access token is bound to; None: it is not bound.
        database: Whether the login was by a database connection.
        auth_time: When the user logged in, in seconds since the UNIX epoch; None: now.
        auth_time_requested: Whether the ID token must have ``auth_time`` (``max_age``).
        nonce: The nonce of the authorization request, which the ID token repeats (OpenID Connect Core §3.1.2.1).
        family: The family of refresh tokens; None: ``offline_access`` begins a new one.
        refresh_token: The next refresh token of that family.
        more: Further members of the response.
        id_token_alter: A fault's change of the ID token's claims.
        id_token_forgery: A fault's way to sign the ID token.
    """

    user: User
    client_id: str
    scope: tuple[str, ...]
    audience: str | None
    key: str | None = None
    thumbprint: str | None = None
    database: bool = False
    auth_time: float | None = None
    auth_time_requested: bool = False
    nonce: str | None = None
    family: RefreshFamily | None = None
    refresh_token: str | None = attrs.field(default=None, repr=False)
    more: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    id_token_alter: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    id_token_forgery: Forgery | None = None

    @property
    def subject(self) -> str:
        """The ``sub`` claim."""
        return f"auth0|{self.user.id}" if self.database else self.user.subject


@attrs.frozen
class _Issued:
    grant: Grant
    expires_at: float


@attrs.define
class TokenIssuer:
    """Issues tokens and remembers the access tokens by their hash."""

    _issuer: str
    _settings: TenantSettings
    _clock: TenantClock
    _keys: TenantSigningKeys
    _refresh: RefreshTokens
    _issued: Bounded[bytes, _Issued] = attrs.field(factory=lambda: Bounded(_MAX_ACCESS_TOKENS), init=False, repr=False)

    def respond(self, grant: Grant) -> dict[str, Any]:
        """Return the body of a token response (RFC 6749 §5.1)."""
        if "offline_access" in grant.scope and grant.family is None:
            grant = self._with_family(grant)
        access_token = self._access_token(grant)
        self._remember(access_token, grant)
        body: dict[str, Any] = {
            "access_token": access_token,
            "expires_in": self._settings.access_token_lifetime,
            "token_type": "Bearer" if grant.thumbprint is None else self._settings.token_type,
            **grant.more,
        }
        if "openid" in grant.scope:
            body["id_token"] = self._id_token(grant)
        if grant.refresh_token is not None:
            body["refresh_token"] = grant.refresh_token
        if self._settings.scope_in_answer and grant.scope:
            body["scope"] = " ".join(grant.scope)
        return body

    def grant_of(self, access_token: str) -> Grant | None:
        """Return the grant of an access token, or None where it is unknown, expired or revoked."""
        issued = self._issued.get(_hash(access_token))
        if issued is None or self._clock.now() >= issued.expires_at:
            return None
        family = issued.grant.family
        if family is not None and family.revoked and self._settings.revocation_ends_access_tokens:
            return None
        return issued.grant

    def revoke_access_tokens(self, user: User | None) -> None:
        """Forget the access tokens of a user, or all of them."""
        for token, issued in list(self._issued.items()):
            if user in (None, issued.grant.user):
                del self._issued[token]

    def _with_family(self, grant: Grant) -> Grant:
        now = self._clock.now()
        family = RefreshFamily(
            user=grant.user,
            client_id=grant.client_id,
            scope=grant.scope,
            audience=grant.audience,
            thumbprint=grant.key,  # "assume always bound to the key", whatever the API's policy for access tokens
            database=grant.database,
            auth_time=self._clock.wall() if grant.auth_time is None else grant.auth_time,
            started_at=now,
            used_at=now,
        )
        return attrs.evolve(grant, family=family, refresh_token=self._refresh.open(family))

    def _remember(self, access_token: str, grant: Grant) -> None:
        expires_at = self._clock.now() + self._settings.access_token_lifetime
        self._issued[_hash(access_token)] = _Issued(grant, expires_at)

    def _access_token(self, grant: Grant) -> str:
        if grant.audience is None:
            return secrets.token_urlsafe(48)
        userinfo = [f"{self._issuer}userinfo"] if "openid" in grant.scope else []
        claims = {
            **self._dates(self._settings.access_token_lifetime),
            "sub": grant.subject,
            "aud": [grant.audience, *userinfo] if userinfo else grant.audience,
            "azp": grant.client_id,
            "scope": " ".join(grant.scope),
            "jti": secrets.token_urlsafe(16),
        }
        if grant.thumbprint is not None:
            claims["cnf"] = {"jkt": grant.thumbprint}  # RFC 9449 §6.1
        return self._keys.sign(RS256, claims)

    def _id_token(self, grant: Grant) -> str:
        claims = {
            **self._dates(self._settings.id_token_lifetime),
            **grant.user.claims,
            "sub": grant.subject,
            "aud": grant.client_id,
            "sid": secrets.token_urlsafe(24),
        }
        if grant.nonce is not None:
            claims["nonce"] = grant.nonce
        if grant.auth_time_requested or self._settings.auth_time_in_id_token:
            claims["auth_time"] = int(self._clock.wall() if grant.auth_time is None else grant.auth_time)
        if grant.id_token_alter is not None:
            claims = grant.id_token_alter(claims)
        if grant.id_token_forgery is not None:
            return self._keys.forge(grant.id_token_forgery, claims)
        alg, secret = self._id_token_alg(grant.client_id)
        return self._keys.sign(alg, claims, secret=secret)

    def _id_token_alg(self, client_id: str) -> tuple[str, str | None]:
        # HS256 signs with the client secret (OpenID Connect Core §10.1): an application without one gets RS256.
        alg, settings = self._settings.id_token_alg, self._settings
        if alg != HS256:
            return alg, None
        has_secret = client_id == settings.confidential_client_id
        return (HS256, settings.confidential_client_secret) if has_secret else (RS256, None)

    def _dates(self, lifetime: int) -> dict[str, Any]:
        now = int(self._clock.wall())
        return {"iss": self._issuer, "iat": now, "exp": now + lifetime}


def _hash(access_token: str) -> bytes:
    return hashlib.sha256(access_token.encode()).digest()
