"""The tenant's two clocks.

Codes, nonces, token lifetimes and rate windows follow :meth:`TenantClock.now`, which :meth:`TenantClock.advance` moves.
The ``iat`` of proofs and the dates in tokens follow :meth:`TenantClock.wall`, which stays with the machine: the client
under test reads that clock too, and its proofs must not be refused because a test let a code expire.
:meth:`TenantClock.go_wrong` moves both, for tests in which the two machines disagree about the time.
"""

from __future__ import annotations

import attrs

from passwordless_async._common import clock as _clock


@attrs.define
class TenantClock:
    """A clock that tests can move."""

    _advanced: float = attrs.field(default=0.0, init=False)
    _wrong_by: float = attrs.field(default=0.0, init=False)

    def now(self) -> float:
        """Return the time by which the tenant's state expires, in seconds since the UNIX epoch."""
        return self.wall() + self._advanced

    def wall(self) -> float:
        """Return the time that proofs and tokens are read against, in seconds since the UNIX epoch."""
        return _clock.now() + self._wrong_by

    def advance(self, seconds: float) -> None:
        """Age codes, nonces, tokens and rate windows by this many seconds."""
        self._advanced += seconds

    def go_wrong(self, seconds: float) -> None:
        """Move both clocks ahead of the machine's by this many seconds more (negative: behind)."""
        self._wrong_by += seconds
