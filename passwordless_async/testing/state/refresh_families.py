"""Refresh tokens: families that begin with a login, rotation, leeway and reuse detection (RFC 9700 §4.14.2)."""

from __future__ import annotations

import hashlib
import secrets
from collections import deque
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common.bounded import Bounded
from passwordless_async.testing.refusals import INVALID_REFRESH_TOKEN, RequestRefused

if TYPE_CHECKING:
    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.stats import TenantStats
    from passwordless_async.testing.state.users import User

_MAX_TOKENS = 200_000
_MAX_FAMILIES = 100_000


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
    rotations: int = 0
    reuse_detected: bool = False
    revoked: bool = False


@attrs.define
class _Token:
    family: RefreshFamily
    replaced_at: float | None = None


@attrs.define
class RefreshTokens:
    """The families, and their tokens by hash."""

    _settings: TenantSettings
    _clock: TenantClock
    _stats: TenantStats
    _tokens: Bounded[bytes, _Token] = attrs.field(factory=lambda: Bounded(_MAX_TOKENS), init=False, repr=False)
    _families: deque[RefreshFamily] = attrs.field(factory=lambda: deque(maxlen=_MAX_FAMILIES), init=False, repr=False)

    @property
    def families(self) -> tuple[RefreshFamily, ...]:
        """The newest families, oldest first."""
        return tuple(self._families)

    def open(self, family: RefreshFamily) -> str:
        """Begin a family and return its first token."""
        self._families.append(family)
        return self._issue(family)

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
        if token.replaced_at is not None and now >= token.replaced_at + self._settings.refresh_leeway:
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
        return self._issue(family)

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

    def _issue(self, family: RefreshFamily) -> str:
        refresh_token = secrets.token_urlsafe(32)
        self._tokens[_hash(refresh_token)] = _Token(family)
        return refresh_token


def _hash(refresh_token: str) -> bytes:
    return hashlib.sha256(refresh_token.encode()).digest()
