"""When a code may be asked for: not while a user has one on its way, and so often an hour on behalf of an address."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from passwordless_async import _clock
from passwordless_async.errors import CoolingDown, QuotaExceeded

if TYPE_CHECKING:
    from passwordless_async.auth0 import IpAddress
    from passwordless_async.identity import Email, Phone

_HOUR = 3600.0  # seconds
_REMEMBERED = 100_000  # users, and addresses; when there are more, the one longest untouched is forgotten


class StartRules:
    """Keeps starts within what the service would accept, and one user's codes apart; lives as long as its client.

    Args:
        cool_down: Seconds in which a user is sent no second code: a new one kills the first.
        per_hour: How many starts an hour there may be on behalf of one address; None: any number.
    """

    def __init__(self, *, cool_down: float, per_hour: int | None) -> None:
        self._cool_down = cool_down
        self._per_hour = per_hour
        self._started: OrderedDict[Email | Phone, float] = OrderedDict()
        self._addresses: OrderedDict[IpAddress | None, deque[float]] = OrderedDict()
        self._barred: dict[IpAddress | None, float] = {}

    def begin(self, who: Email | Phone, address: IpAddress | None) -> None:
        """Count a start that is about to be made.

        Raises:
            CoolingDown: The user was sent a code just now.
            QuotaExceeded: The address has had its share of this hour.
        """
        now = _clock.monotonic()
        since = now - self._started.get(who, -math.inf)
        if since < self._cool_down:
            raise CoolingDown(retry_after=self._cool_down - since)
        self._take(address, now)
        if self._cool_down:
            _put(self._started, who, now)

    def undo(self, who: Email | Phone) -> None:
        """Let a user have a code again at once: none was sent, or the one that was is of no more use."""
        self._started.pop(who, None)

    def bar(self, address: IpAddress | None, seconds: float) -> None:
        """Make no start on behalf of an address for so long: the service says that its share is used up.

        Args:
            address: The address; None: this machine's own, for starts that name no other.
            seconds: How long.
        """
        now = _clock.monotonic()
        self._barred = {barred: until for barred, until in self._barred.items() if until > now}
        if len(self._barred) < _REMEMBERED:
            self._barred[address] = now + seconds

    def _take(self, address: IpAddress | None, now: float) -> None:
        barred = self._barred.get(address, now) - now
        if barred > 0:
            raise QuotaExceeded("no more codes may be asked for on behalf of this address", retry_after=barred)
        if self._per_hour is None or address is None:
            return
        taken = self._addresses.get(address, deque())
        while taken and taken[0] <= now - _HOUR:
            taken.popleft()
        if len(taken) >= self._per_hour:
            left = taken[0] + _HOUR - now
            raise QuotaExceeded("no more codes may be asked for on behalf of this address", retry_after=left)
        taken.append(now)
        _put(self._addresses, address, taken)


def _put(kept: OrderedDict, key: object, value: object) -> None:  # type: ignore[type-arg] # of either
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _REMEMBERED:
        kept.popitem(last=False)
