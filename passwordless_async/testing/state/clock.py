"""The tenant's two clocks.

Codes, nonces, token lifetimes and rate windows follow :meth:`TenantClock.now`, which :meth:`TenantClock.advance` moves.
The ``iat`` of proofs and the dates in tokens follow :meth:`TenantClock.wall`, which stays with the machine: the client
under test reads that clock too, and its proofs must not be refused because a test let a code expire.
:meth:`TenantClock.go_wrong` moves both, for tests in which the two machines disagree about the time.

Let your own API use the machine's clock: the client signs with that time, so an advanced clock finds each proof too
old. To test an expired token at an API, use ``Fault.ACCESS_TOKEN_EXPIRED``.
"""

from __future__ import annotations

import math

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async.errors import UsageError


@attrs.define
class TenantClock:
    """A clock that tests can move. Do not use it in your own API: the client signs proofs by the machine's clock."""

    _advanced: float = attrs.field(default=0.0, init=False)
    _wrong_by: float = attrs.field(default=0.0, init=False)

    def now(self) -> float:
        """Return the time by which the tenant's state expires, in seconds since the UNIX epoch."""
        return self.wall() + self._advanced

    def wall(self) -> float:
        """Return the time that proofs and tokens are checked against, in seconds since the UNIX epoch."""
        return _clock.now() + self._wrong_by

    def advance(self, seconds: float) -> None:
        """Age codes, nonces, tokens and rate windows by this many seconds.

        Logins do not become older: for ``auth_time``, add ``ClaimFault.ID_TOKEN_OF_AN_OLD_LOGIN`` before a login.

        Raises:
            UsageError: It is no number of seconds, or below 0: what has expired does not come back.
        """
        self._advanced += _check.at_least_zero("seconds", seconds)

    def go_wrong(self, seconds: float) -> None:
        """Move both clocks ahead of the machine's by this many seconds more (negative: behind).

        Raises:
            UsageError: It is no number of seconds.
        """
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not math.isfinite(seconds):
            raise UsageError("seconds", "must be a number of seconds; a negative one sets the clock back")
        self._wrong_by += seconds
