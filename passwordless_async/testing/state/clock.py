"""The tenant's two clocks.

*Its memory* (codes, nonces, token lifetimes, rate windows) follows :meth:`TenantClock.now`, which
:meth:`TenantClock.advance` moves. *The wall* (the ``iat`` of proofs, the dates written into tokens) follows
:meth:`TenantClock.wall`, which stays with the machine: the client under test reads that clock too, and must not
have its proofs refused because a test let a code expire. :meth:`TenantClock.go_wrong` moves both, for tests in
which the two machines disagree about the time.
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
        """Return the time of the tenant's memory, in seconds since the UNIX epoch."""
        return self.wall() + self._advanced

    def wall(self) -> float:
        """Return the time on the tenant's wall, in seconds since the UNIX epoch."""
        return _clock.now() + self._wrong_by

    def advance(self, seconds: float) -> None:
        """Let codes, nonces, tokens and rate windows grow older by so many seconds."""
        self._advanced += seconds

    def go_wrong(self, seconds: float) -> None:
        """Put the tenant's whole clock ahead of the machine's by so many seconds more (negative: behind)."""
        self._wrong_by += seconds
