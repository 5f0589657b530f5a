"""The server's nonces, without state (RFC 9449 §8, §9).

A nonce is an HMAC over the number of the time step that it was issued in. Whoever has the secret can check it, so all
processes of a service accept each other's, and nobody can make one in advance. The nonces of the step before and the
step after are accepted: the first for the client that got its nonce at the end of a step, the second for a process
whose clock is ahead.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import SecretBytes
from passwordless_async.errors import UsageError, UseDPoPNonce

if TYPE_CHECKING:
    from collections.abc import Callable

_MIN_SECRET = 32  # bytes; RFC 2104 §3: not shorter than the hash
_NONCE_BYTES = 24  # of the 32 of the HMAC: 192 bits, 32 characters


@attrs.frozen
class AcceptedNonce:
    """A nonce that this service issued and still accepts.

    Attributes:
        valid_until: When it stops being accepted: seconds since the UNIX epoch.
        successor: The nonce to offer the client for its next request; None where the client's is still the newest.
    """

    valid_until: float
    successor: str | None


class NonceIssuer:
    """Issues and checks nonces; lives as long as the service.

    Args:
        secret: At least 32 random bytes, the same in all processes of the service. Without one it is made up, which
            is enough for a single process; after a restart each client is challenged once.
        step: The length of a time step in whole seconds. A nonce is accepted for one to two steps after it was issued.
        clock: The wall clock: seconds since the UNIX epoch.

    Raises:
        UsageError: The secret is too short, or the step is not a whole number of one or more.
    """

    __slots__ = ("_clock", "_current", "_nonces", "_secret", "_step")

    def __init__(self, secret: bytes | None = None, *, step: int = 60, clock: Callable[[], float] = _clock.now) -> None:
        if secret is None:
            secret = f"{_clock.unique_id()}{_clock.unique_id()}".encode()
        if not isinstance(secret, bytes) or len(secret) < _MIN_SECRET:
            raise UsageError("secret", f"must be bytes, at least {_MIN_SECRET} of them")
        self._secret = SecretBytes(secret)
        self._step = _check.positive("step", step)
        self._clock = clock
        self._current: int | None = None
        self._nonces: tuple[str, str, str] = ("", "", "")

    def issue(self) -> str:
        """Return the nonce of this time step."""
        self._turn()
        return self._nonces[1]

    def check(self, nonce: str | None, *, status: int) -> AcceptedNonce:
        """Check the ``nonce`` of a proof.

        Args:
            nonce: The claim; None where the proof has none.
            status: The status of a challenge: 400 at a token endpoint, 401 at a resource (RFC 9449 §8, §9).

        Returns:
            The nonce's facts.

        Raises:
            UseDPoPNonce: The proof has no nonce, or one that this service does not accept (any more).
        """
        current = self._turn()
        if nonce is None:
            raise UseDPoPNonce(status=status, error_description="a nonce is required", nonce=self._nonces[1])
        given = nonce.encode("utf-8", "surrogatepass")
        found = None
        # All three, always: which one it was must not show in the time it took.
        for step, candidate in enumerate(self._nonces, current - 1):
            if hmac.compare_digest(given, candidate.encode()):
                found = step
        if found is None:
            raise UseDPoPNonce(status=status, error_description="the nonce is not accepted", nonce=self._nonces[1])
        return AcceptedNonce((found + 2) * self._step, self._nonces[1] if found < current else None)

    def _turn(self) -> int:
        """Return the number of this time step; the nonces are made once in each."""
        current = int(self._clock() // self._step)
        if current != self._current:
            self._nonces = (self._nonce(current - 1), self._nonce(current), self._nonce(current + 1))
            self._current = current
        return current

    def _nonce(self, step: int) -> str:
        # The label keeps these apart from whatever else the secret may be used for; the length of the step stands in
        # the message because two services with one secret and other steps must not accept each other's.
        message = f"dpop-nonce {self._step} {step}".encode()
        digest = hmac.digest(self._secret, message, hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:_NONCE_BYTES]).decode()

    def __repr__(self) -> str:
        return f"<NonceIssuer, a new nonce every {self._step} seconds>"
