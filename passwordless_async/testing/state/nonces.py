"""Nonces without memory: an authenticated step counter (RFC 9449 §8).

A nonce is ``base64url(step || salt || HMAC-SHA256(key, step || salt))``; the salt is zero except in fresh nonces.
Which steps pass is arithmetic, so the tenant stores no nonce, except which single-use ones have been spent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock

_STEP_BYTES = 8
_SALT_BYTES = 6
_TAG_BYTES = 16
_SINGLE_USE_WINDOW = 10_000  # single-use nonces that are valid at once; older ones have expired


@attrs.define
class Nonces:
    """The tenant's nonces: the present one, and whether one passes."""

    _settings: TenantSettings
    _clock: TenantClock
    _key: bytes = attrs.field(factory=lambda: secrets.token_bytes(32), init=False, repr=False)
    _token_requests: int = attrs.field(default=0, init=False)
    _issued: int = attrs.field(default=0, init=False)
    _spent: set[int] = attrs.field(factory=set, init=False, repr=False)

    def count_token_request(self) -> None:
        """Count a token request for ``nonce_rotation``."""
        self._token_requests += 1

    def current(self) -> str:
        """Return the nonce to send now; with single-use nonces, another one at each call."""
        if self._settings.single_use_nonces:
            self._issued += 1
        return self._mint(self._step())

    def accept(self, nonce: str) -> bool:
        """Return whether a nonce passes; a single-use one passes once."""
        step = self._read(nonce)
        if step is None:
            return False
        if self._settings.single_use_nonces:
            return self._spend(step)
        return 0 <= self._step() - step <= self._settings.accepted_previous_nonces

    def fresh(self) -> str:
        """Return a nonce that passes like the present one and was never sent before."""
        return self._mint(self._step(), secrets.token_bytes(_SALT_BYTES))

    def fixed(self) -> str:
        """Return the same nonce at each call; it passes at no step that a test reaches."""
        return self._mint(2 ** (8 * _STEP_BYTES) - 1)

    def _step(self) -> int:
        if self._settings.single_use_nonces:
            return self._issued
        if self._settings.nonce_rotation is not None:
            return self._token_requests // self._settings.nonce_rotation
        return int(self._clock.now() // self._settings.nonce_lifetime)

    def _spend(self, step: int) -> bool:
        expired = self._issued - _SINGLE_USE_WINDOW
        if step <= expired or step in self._spent:
            return False
        self._spent.add(step)
        if len(self._spent) > 2 * _SINGLE_USE_WINDOW:
            self._spent = {spent for spent in self._spent if spent > expired}
        return True

    def _mint(self, step: int, salt: bytes = bytes(_SALT_BYTES)) -> str:
        raw = step.to_bytes(_STEP_BYTES, "big") + salt
        return base64.urlsafe_b64encode(raw + self._tag(raw)).decode()

    def _read(self, nonce: str) -> int | None:
        try:
            raw = base64.b64decode(nonce, altchars=b"-_", validate=True)
        except ValueError:
            return None
        signed, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
        if len(signed) != _STEP_BYTES + _SALT_BYTES or not hmac.compare_digest(tag, self._tag(signed)):
            return None
        return int.from_bytes(signed[:_STEP_BYTES], "big")

    def _tag(self, signed: bytes) -> bytes:
        return hmac.digest(self._key, signed, hashlib.sha256)[:_TAG_BYTES]
