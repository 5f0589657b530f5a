"""Finishes each login once: simultaneous duplicates of a request share one reply, and a later one is refused.

Invariants:

- A double click is one login: it presents one code, opens one session, and calls the application's hooks once.
- The result of a second factor leads to one session. The client keeps that result for half a minute, for a cancelled
  caller; an old copy of the login's cookie, with the code, would get the same session. Other processes do not have the
  result, so each process records only the logins that it has finished.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async._common.expiring import Expiring
from passwordless_async.client.traffic.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from passwordless_async._common.secret import Secret
    from passwordless_async.gateway.replies import Reply

_FINISHED_SECONDS = 120.0  # longer than the client keeps the result of a second factor
_MAX_FINISHED = 65_536  # logins


@attrs.frozen(eq=False, repr=False)
class Submissions:
    """Logins that are being finished, and those that a second factor has finished; kept for the gateway's lifetime."""

    _flights: SingleFlight[Hashable, Reply] = attrs.field(factory=SingleFlight, init=False)
    _finished: Expiring[str, bool] = attrs.field(factory=lambda: Expiring(_MAX_FINISHED), init=False)

    async def share(self, said: Hashable, step: Callable[[], Awaitable[Reply]]) -> Reply:
        """Run a step once for simultaneous duplicates of a request."""
        return await self._flights.run(said, lambda _departure: step())

    def finish(self, login: Secret) -> None:
        """Note that a login, by its name, has its tokens: it leads to no second session."""
        self._finished.put(login, value=True, seconds=_FINISHED_SECONDS)

    def is_finished(self, login: Secret) -> bool:
        """Return whether a login, by its name, has ended."""
        return self._finished.get(login) is not None
