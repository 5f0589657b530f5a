"""The tokens of a login: access tokens, ID tokens and refresh tokens.

Refresh tokens form families that begin with a login, with rotation, leeway and reuse detection (RFC 9700 §4.14.2).
"""

from __future__ import annotations

import hashlib
import secrets
from collections import deque
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.bounded import Bounded
from passwordless_async.testing.refusals import INVALID_REFRESH_TOKEN, RequestRefused
from passwordless_async.testing.settings import MULTI_FACTOR
from passwordless_async.testing.state.signing import HS256, RS256, Forgery

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.records import TenantStats
    from passwordless_async.testing.state.signing import TenantSigningKeys
    from passwordless_async.testing.state.users import User

_LOGOUT_TOKEN_SECONDS = 120  # OpenID Connect Back-Channel Logout 1.0 §4: two minutes at most
_MAX_ACCESS_TOKENS = 20_000  # that userinfo knows
_MAX_TOKENS = 200_000  # refresh tokens, replaced ones included
_MAX_FAMILIES = 100_000
# The typ of an access token, and the claim that names the application (RFC 9068 §2.1, §2.2).
_DIALECTS = {"access_token": ("JWT", "azp"), "rfc9068_profile": ("at+jwt", "client_id")}


@attrs.define(kw_only=True, eq=False)
class RefreshFamily:
    """A login's refresh tokens, from the first one on.

    Attributes:
        user: The user.
        client_id: The application.
        scope: The scope tokens that were granted.
        audience: The API; None: userinfo only.
        thumbprint: The thumbprint of the key that they are bound to; None: they are not bound.
        database: Whether the login was by a database connection.
        auth_time: When the user logged in, in seconds since the UNIX epoch (:meth:`TenantClock.wall`).
        started_at: When the family began, by :meth:`TenantClock.now`.
        used_at: When it was last used, by :meth:`TenantClock.now`.
        factor_passed: Whether a second factor passed.
        rotations: How many tokens have been replaced.
        reuse_detected: Whether a replaced token was used again outside the leeway.
        revoked: Whether the family has ended.
    """

    user: User
    client_id: str
    scope: tuple[str, ...]
    audience: str | None
    thumbprint: str | None
    database: bool
    auth_time: float
    started_at: float
    used_at: float
    factor_passed: bool = False
    rotations: int = 0
    reuse_detected: bool = False
    revoked: bool = False
    generation: int = 0  # of its newest token; each rotation begins the next one
    sid: str = attrs.field(factory=lambda: secrets.token_urlsafe(24), repr=False)  # the session at the tenant


@attrs.frozen
class Grant:
    """What was granted."""

    user: User
    client_id: str
    scope: tuple[str, ...]
    audience: str | None  # the API; None: userinfo only
    key: str | None = None  # the thumbprint of the proof's key; None: there was no proof
    thumbprint: str | None = None  # of the key that the access token is bound to; None: it is not bound
    database: bool = False  # whether the login was by a database connection
    auth_time: float | None = None  # when the user logged in, in seconds since the UNIX epoch; None: now
    auth_time_requested: bool = False  # whether the ID token must have auth_time (max_age)
    factor_passed: bool = False  # whether a second factor passed
    nonce: str | None = None  # of the authorization request; the ID token repeats it (OpenID Connect Core §3.1.2.1)
    family: RefreshFamily | None = None  # None: offline_access begins a new one
    refresh_token: str | None = attrs.field(default=None, repr=False)  # the next one of that family
    more: Mapping[str, Any] = attrs.field(factory=dict, repr=False)  # further members of the response
    ended_seconds_ago: int | None = None  # when the access token has ended, by a fault; None: its lifetime begins
    id_token_alter: Callable[[dict[str, Any]], dict[str, Any]] | None = None  # a fault's change of the claims
    id_token_forgery: Forgery | None = None  # a fault's way to sign the ID token

    @property
    def subject(self) -> str:
        """The ``sub`` claim."""
        return f"auth0|{self.user.id}" if self.database else self.user.subject


@attrs.define
class _RefreshToken:
    family: RefreshFamily
    generation: int
    replaced_at: float | None = None


@attrs.define
class RefreshTokens:
    """The families, and their tokens by hash."""

    _settings: TenantSettings
    _clock: TenantClock
    _stats: TenantStats
    _tokens: Bounded[bytes, _RefreshToken] = attrs.field(factory=lambda: Bounded(_MAX_TOKENS), init=False, repr=False)
    _families: deque[RefreshFamily] = attrs.field(factory=lambda: deque(maxlen=_MAX_FAMILIES), init=False, repr=False)

    @property
    def families(self) -> tuple[RefreshFamily, ...]:
        """The newest families, oldest first."""
        return tuple(self._families)

    def open(self, family: RefreshFamily) -> str:
        """Begin a family and return its first token."""
        self._families.append(family)
        return self._issue(family, 0)

    def find(self, refresh_token: str, client_id: str) -> RefreshFamily | None:
        """Return the family of an application's token, revoked or not; the token is not spent."""
        token = self._tokens.get(_hash(refresh_token))
        return token.family if token is not None and token.family.client_id == client_id else None

    def spend(self, refresh_token: str) -> str | None:
        """Spend a token and return its successor; None: tokens do not rotate.

        Raises:
            RequestRefused: It is unknown, revoked or expired, or is a reuse, which revokes its family.
        """
        token = self._tokens.get(_hash(refresh_token))
        if token is None or token.family.revoked or self._expired(token.family):
            raise RequestRefused(INVALID_REFRESH_TOKEN)
        now, family = self._clock.now(), token.family
        if token.replaced_at is not None and not self._may_be_used_again(token, now):
            family.reuse_detected = True
            self._stats.refresh_reuse_detected += 1
            self.revoke(family)
            raise RequestRefused(INVALID_REFRESH_TOKEN)
        family.used_at = now
        if not self._settings.refresh_rotation:
            return None
        token.replaced_at = now if token.replaced_at is None else token.replaced_at
        family.rotations += 1
        self._stats.refresh_rotations += 1
        family.generation = max(family.generation, token.generation + 1)
        return self._issue(family, token.generation + 1)

    def _may_be_used_again(self, token: _RefreshToken, now: float) -> bool:
        # Within the overlap "only the previous token can be reused; if the second-to-last one is exchanged, breach
        # detection will be triggered".
        in_time = token.replaced_at is not None and now < token.replaced_at + self._settings.refresh_leeway
        return in_time and token.generation == token.family.generation - 1

    def revoke(self, family: RefreshFamily) -> None:
        """Revoke a family."""
        if not family.revoked:
            family.revoked = True
            self._stats.families_revoked += 1

    def _expired(self, family: RefreshFamily) -> bool:
        now, idle, lifetime = self._clock.now(), self._settings.refresh_idle_lifetime, self._settings.refresh_lifetime
        return (lifetime is not None and now >= family.started_at + lifetime) or (
            idle is not None and now >= family.used_at + idle
        )

    def _issue(self, family: RefreshFamily, generation: int) -> str:
        refresh_token = secrets.token_urlsafe(32)
        self._tokens[_hash(refresh_token)] = _RefreshToken(family, generation)
        return refresh_token


@attrs.define
class TokenIssuer:
    """Issues tokens and remembers the access tokens by their hash."""

    _settings: TenantSettings
    _clock: TenantClock
    _keys: TenantSigningKeys
    _refresh: RefreshTokens
    # The grant of each access token, with the time at which it expires.
    _issued: Bounded[bytes, tuple[Grant, float]] = attrs.field(
        factory=lambda: Bounded(_MAX_ACCESS_TOKENS), init=False, repr=False
    )

    _sids: Bounded[User, tuple[str, str, str]] = attrs.field(
        factory=lambda: Bounded(_MAX_ACCESS_TOKENS), init=False, repr=False
    )

    def logout_token(self, user: User, issuer: str, **claims: object) -> str:
        """Return a logout token for the newest login of a user, with some claims replaced; None leaves one out."""
        sid, sub, client_id = self._sids[user]
        made: dict[str, Any] = {
            "iss": issuer,
            **self._dates(_LOGOUT_TOKEN_SECONDS),
            "sub": sub,
            "aud": client_id,
            "sid": sid,
            "jti": secrets.token_urlsafe(16),
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
            **claims,
        }
        alg, secret = self._id_token_alg(client_id)
        present = {name: value for name, value in made.items() if value is not None}
        return self._keys.sign(alg, present, secret=secret, typ="logout+jwt")

    def respond(self, grant: Grant, issuer: str) -> dict[str, Any]:
        """Return the body of a token response (RFC 6749 §5.1), its tokens by this issuer."""
        if "offline_access" in grant.scope and grant.family is None:
            grant = self._with_family(grant)
        access_token = self._access_token(grant, issuer)
        self._issued[_hash(access_token)] = grant, self._clock.now() + self._seconds_left(grant)
        body: dict[str, Any] = {
            "access_token": access_token,
            "expires_in": self._settings.access_token_lifetime,
            "token_type": "Bearer" if grant.thumbprint is None else self._settings.token_type,
            **grant.more,
        }
        if "openid" in grant.scope:
            body["id_token"] = self._id_token(grant, issuer)
        if grant.refresh_token is not None:
            body["refresh_token"] = grant.refresh_token
        if self._settings.scope_in_answer and grant.scope:
            body["scope"] = " ".join(grant.scope)
        return body

    def _seconds_left(self, grant: Grant) -> int:
        return self._settings.access_token_lifetime if grant.ended_seconds_ago is None else 0

    def grant_of(self, access_token: str) -> Grant | None:
        """Return the grant of an access token, or None where it is unknown, expired or revoked."""
        grant, expires_at = self._issued.get(_hash(access_token), (None, 0.0))
        if grant is None or self._clock.now() >= expires_at:
            return None
        revoked = grant.family is not None and grant.family.revoked
        return None if revoked and self._settings.revocation_ends_access_tokens else grant

    def revoke_access_tokens(self, user: User | None) -> None:
        """Forget the access tokens of a user, or all of them."""
        for token, (grant, _) in list(self._issued.items()):
            if user in (None, grant.user):
                del self._issued[token]

    def _with_family(self, grant: Grant) -> Grant:
        now = self._clock.now()
        family = RefreshFamily(
            user=grant.user,
            client_id=grant.client_id,
            scope=grant.scope,
            audience=grant.audience,
            thumbprint=grant.key,  # "assume always bound to the key" of a proof that counts
            database=grant.database,
            auth_time=self._auth_time(grant),
            factor_passed=grant.factor_passed,
            started_at=now,
            used_at=now,
        )
        return attrs.evolve(grant, family=family, refresh_token=self._refresh.open(family))

    def _access_token(self, grant: Grant, issuer: str) -> str:
        if grant.audience is None:
            return secrets.token_urlsafe(48)
        userinfo = [f"{issuer}userinfo"] if "openid" in grant.scope else []
        typ, client = _DIALECTS[self._settings.token_dialect]
        claims = {
            "iss": issuer,
            **self._dates(self._settings.access_token_lifetime, ended_seconds_ago=grant.ended_seconds_ago),
            "sub": grant.subject,
            "aud": [grant.audience, *userinfo] if userinfo else grant.audience,
            client: grant.client_id,
            "scope": " ".join(grant.scope),
            "jti": secrets.token_urlsafe(16),
            **self._login_claims(grant),
        }
        if grant.thumbprint is not None:
            claims["cnf"] = {"jkt": grant.thumbprint}  # RFC 9449 §6.1
        return self._keys.sign(RS256, claims, typ=typ)

    def _login_claims(self, grant: Grant) -> dict[str, Any]:
        """Return when and how the user logged in, as a post-login Action tells an API."""
        settings = self._settings
        said: dict[str | None, Any] = {settings.auth_time_claim: int(self._auth_time(grant))}
        if grant.factor_passed:
            said[settings.acr_claim] = MULTI_FACTOR
        return {name: value for name, value in said.items() if name is not None}

    def _auth_time(self, grant: Grant) -> float:
        return self._clock.wall() if grant.auth_time is None else grant.auth_time

    def _id_token(self, grant: Grant, issuer: str) -> str:
        claims = {
            "iss": issuer,
            **self._dates(self._settings.id_token_lifetime),
            **grant.user.claims,
            "sub": grant.subject,
            "aud": grant.client_id,
            "sid": secrets.token_urlsafe(24) if grant.family is None else grant.family.sid,
        }
        self._sids[grant.user] = claims["sid"], claims["sub"], grant.client_id
        if grant.nonce is not None:
            claims["nonce"] = grant.nonce
        if grant.auth_time_requested or self._settings.auth_time_in_id_token:
            claims["auth_time"] = int(self._auth_time(grant))
        if grant.id_token_alter is not None:
            claims = grant.id_token_alter(claims)
        if grant.id_token_forgery is not None:
            return self._keys.forge(grant.id_token_forgery, claims)
        alg, secret = self._id_token_alg(grant.client_id)
        return self._keys.sign(alg, claims, secret=secret)

    def _id_token_alg(self, client_id: str) -> tuple[str, str | None]:
        # HS256 signs with the client secret (OpenID Connect Core §10.1): an application without one gets RS256.
        if self._settings.id_token_alg != HS256:
            return self._settings.id_token_alg, None
        application = self._settings.client(client_id)
        secret = None if application is None else application.secret
        return (RS256, None) if secret is None else (HS256, secret)

    def _dates(self, lifetime: int, *, ended_seconds_ago: int | None = None) -> dict[str, Any]:
        age = 0 if ended_seconds_ago is None else lifetime + ended_seconds_ago
        issued_at = int(self._clock.wall()) - age
        return {"iat": issued_at, "exp": issued_at + lifetime}


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
