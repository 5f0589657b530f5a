"""The server's nonces, without state (RFC 9449 §8, §9).

Invariants:

- A nonce is an HMAC over the number of the time step in which it was issued: all processes with the secret accept each
  other's nonces, and without the secret none can be made in advance.
- The nonces of three steps are accepted: the current one; the one before, for a client that got its nonce at the end of
  a step; the next one, for a nonce from a process with a clock that is ahead.
- All three are always compared: the duration of a check does not reveal which one matched.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import always_printable, conceal_bytes
from passwordless_async.errors import UsageError, UseDPoPNonce

if TYPE_CHECKING:
    from collections.abc import Callable

_MIN_SECRET = 32  # bytes; RFC 2104 §3: not shorter than the hash
_NONCE_BYTES = 24  # of the 32 of the HMAC: 192 bits, 32 characters


@attrs.frozen
class AcceptedNonce:
    """A nonce that this service issued and still accepts."""

    ends: float  # when it is no longer accepted, by the issuer's clock: the same at each check
    seconds_left: float  # until then
    successor: str | None  # the nonce to offer the client for its next request; None if it has the newest


@always_printable
class NonceIssuer:
    """Issues and checks nonces. Create one for the lifetime of the service.

    Args:
        secret: At least 32 random bytes, the same in all processes of the service. If None, a random secret is made,
            which is enough for a single process; after a restart each client is challenged once.
        step: The length of a time step in whole seconds. A nonce is accepted for one to two steps after its issue.
        clock: The wall clock: seconds since the UNIX epoch.

    Raises:
        UsageError: The secret is too short, or the step is not a whole number of one or more.
    """

    __slots__ = ("_clock", "_current", "_nonces", "_secret", "_step")

    def __init__(self, secret: bytes | None = None, *, step: int = 60, clock: Callable[[], float] = _clock.now) -> None:
        secret = conceal_bytes(f"{_clock.unique_id()}{_clock.unique_id()}".encode() if secret is None else secret)
        if not isinstance(secret, bytes) or len(secret) < _MIN_SECRET:
            raise UsageError("secret", f"must be bytes, at least {_MIN_SECRET} of them")
        self._secret = secret
        self._step = _check.positive("step", step)
        self._clock = clock
        self._current: int | None = None
        self._nonces: tuple[str, str, str] = ("", "", "")

    def issue(self) -> str:
        """Return the nonce of this time step."""
        self._current_step(self._clock())
        return self._nonces[1]

    def check(self, nonce: str | None, *, status: int) -> AcceptedNonce:
        """Check the ``nonce`` of a proof.

        Args:
            nonce: The claim; None if the proof has none.
            status: The status of a challenge: 400 at a token endpoint, 401 at a resource (RFC 9449 §8, §9).

        Returns:
            The accepted nonce.

        Raises:
            UseDPoPNonce: The proof has no nonce, or one that this service does not accept.
        """
        now = self._clock()
        current = self._current_step(now)
        if nonce is None:
            raise UseDPoPNonce(status=status, error_description="a nonce is required", nonce=self._nonces[1])
        given = nonce.encode("utf-8", "surrogatepass")
        found = None
        for step, candidate in enumerate(self._nonces, current - 1):
            if hmac.compare_digest(given, candidate.encode()):
                found = step
        if found is None:
            raise UseDPoPNonce(status=status, error_description="the nonce is not accepted", nonce=self._nonces[1])
        ends = float((found + 2) * self._step)
        return AcceptedNonce(ends, ends - now, self._nonces[1] if found < current else None)

    def _current_step(self, now: float) -> int:
        """Return the number of the current time step; its nonces are made once."""
        current = int(now // self._step)
        if current != self._current:
            self._nonces = (self._nonce(current - 1), self._nonce(current), self._nonce(current + 1))
            self._current = current
        return current

    def _nonce(self, step: int) -> str:
        # The label separates these HMACs from other uses of the secret. The step's length is in the message: two
        # services with one secret and different steps must not accept each other's nonces.
        message = f"dpop-nonce {self._step} {step}".encode()
        digest = hmac.digest(self._secret, message, hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:_NONCE_BYTES]).decode()

    def __repr__(self) -> str:
        return f"<NonceIssuer, a new nonce every {self._step} seconds>"
