"""When a code may be asked for: not while a user has one on its way, and so often an hour on behalf of an address."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.errors import CoolingDown, QuotaExceeded

if TYPE_CHECKING:
    from passwordless_async.auth0 import IpAddress
    from passwordless_async.auth0.identity import Email, Phone

_HOUR = 3600.0  # seconds
_REMEMBERED = 100_000  # users, and addresses; when there are more, the one longest untouched is forgotten


@attrs.define(eq=False)
class Begun:
    """A start that was begun.

    Attributes:
        who: The user.
        address: The address that it is made for.
        counted_at: When it was counted for the address; None: it was not.
        sent_at: When the code was sent, as far as that is known; None: it is being sent.
    """

    who: Email | Phone
    address: IpAddress | None
    counted_at: float | None
    sent_at: float | None = None


class StartRules:
    """Keeps starts within what the service would accept, and one user's codes apart; lives as long as its client.

    Args:
        cool_down: Seconds after a code was sent in which its user is sent no second one: a new one kills the first.
        per_hour: How many starts an hour there may be on behalf of one address; None: any number.
    """

    def __init__(self, *, cool_down: float, per_hour: int | None) -> None:
        self._cool_down = cool_down
        self._per_hour = per_hour
        self._begun: OrderedDict[Email | Phone, Begun] = OrderedDict()
        self._addresses: OrderedDict[IpAddress, deque[float]] = OrderedDict()
        self._barred: dict[IpAddress | None, float] = {}

    def begin(self, who: Email | Phone, address: IpAddress | None) -> Begun:
        """Count a start that is about to be made; whoever made it says afterwards how it ended.

        Raises:
            CoolingDown: The user was sent a code just now, or is being sent one.
            QuotaExceeded: The address has had its share of this hour.
        """
        now = _clock.monotonic()
        last = self._begun.get(who)
        if last is not None and self._cool_down:
            left = self._cool_down if last.sent_at is None else last.sent_at + self._cool_down - now
            if left > 0:
                raise CoolingDown(retry_after=left)
        begun = Begun(who, address, self._take(address, now))
        if self._cool_down:
            _put(self._begun, who, begun)
        return begun

    def end(self, begun: Begun, *, sent: bool, counted: bool) -> None:
        """Say how a start ended.

        Args:
            begun: Which one.
            sent: Whether a code was sent, or may have been: the user's cool-down begins.
            counted: Whether the service has seen it, and so counts it for the address.
        """
        if sent:
            begun.sent_at = _clock.monotonic()
        elif self._begun.get(begun.who) is begun:
            del self._begun[begun.who]
        taken = None if begun.address is None else self._addresses.get(begun.address)
        if not counted and taken is not None and begun.counted_at is not None and begun.counted_at in taken:
            taken.remove(begun.counted_at)

    def undo(self, who: Email | Phone) -> None:
        """Let a user have a code again at once: the one that was sent is of no more use."""
        begun = self._begun.get(who)
        if begun is not None and begun.sent_at is not None:
            del self._begun[who]

    def bar(self, address: IpAddress | None, seconds: float) -> None:
        """Make no start on behalf of an address for so long: the service says that its share is used up.

        Args:
            address: The address; None: this machine's own, for starts that name no other.
            seconds: How long.
        """
        now = _clock.monotonic()
        if len(self._barred) >= _REMEMBERED:
            self._barred = {barred: until for barred, until in self._barred.items() if until > now}
        if len(self._barred) < _REMEMBERED or address in self._barred:
            self._barred[address] = now + seconds

    def _take(self, address: IpAddress | None, now: float) -> float | None:
        barred = self._barred.get(address, now) - now
        if barred > 0:
            raise QuotaExceeded(_used_up(address), retry_after=barred)
        if self._per_hour is None or address is None:
            return None
        taken = self._addresses.get(address, deque())
        while taken and taken[0] <= now - _HOUR:
            taken.popleft()
        if len(taken) >= self._per_hour:
            raise QuotaExceeded(_used_up(address), retry_after=taken[0] + _HOUR - now)
        taken.append(now)
        _put(self._addresses, address, taken)
        return now


def _used_up(address: IpAddress | None) -> str:
    if address is None:
        return "the service takes no more starts from this machine for now: name the end user by forwarded_for"
    return "no more codes may be asked for on behalf of this address for now"


def _put(kept: OrderedDict, key: object, value: object) -> None:  # type: ignore[type-arg] # of either
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _REMEMBERED:
        kept.popitem(last=False)
