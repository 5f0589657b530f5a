"""What is known of users' codes, in this process: how long there is no other one, and which were presented."""

from __future__ import annotations

from collections import deque

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.stores.memory.expiring import Expiring


@attrs.define(eq=False)
class _Code:
    started: bool
    made: int = 0
    presented: dict[str, str] = attrs.field(factory=dict)


class MemoryChallenges:
    """See :class:`ChallengeStore <passwordless_async.stores.ChallengeStore>`.

    Args:
        at_most: How many users, and addresses, are remembered.
    """

    def __init__(self, at_most: int) -> None:
        self._cooling: Expiring[str] = Expiring(at_most)
        self._codes: Expiring[_Code] = Expiring(at_most)
        self._addresses: Expiring[deque[tuple[float, str]]] = Expiring(at_most)
        self._barred: Expiring[str] = Expiring(at_most)

    async def begin_start(self, user: str, *, token: str, seconds: float, remember: float) -> float:
        """See :meth:`ChallengeStore.begin_start <passwordless_async.stores.ChallengeStore.begin_start>`."""
        if seconds > 0:
            if self._cooling.get(user) not in {None, token}:
                return self._cooling.left(user)
            self._cooling.put(user, token, seconds)
        self._codes.put(user, _Code(started=True), remember)
        return 0.0

    async def end_start(self, user: str, *, token: str, seconds: float) -> None:
        """See :meth:`ChallengeStore.end_start <passwordless_async.stores.ChallengeStore.end_start>`."""
        if self._cooling.get(user) != token:
            return
        if seconds > 0:
            self._cooling.put(user, token, seconds)
        else:
            self._cooling.forget(user)

    async def begin_start_for(self, address: str, *, token: str, at_most: int | None, window: float) -> float:
        """See :meth:`ChallengeStore.begin_start_for <passwordless_async.stores.ChallengeStore.begin_start_for>`."""
        if self._barred.get(address):
            return self._barred.left(address)
        if at_most is None:
            return 0.0
        now = _clock.monotonic()
        counted = self._addresses.get(address) or deque()
        while counted and counted[0][0] <= now - window:
            counted.popleft()
        if any(token == by for _, by in counted):
            return 0.0
        if len(counted) >= at_most:
            return counted[0][0] + window - now
        counted.append((now, token))
        self._addresses.put(address, counted, window)
        return 0.0

    async def end_start_for(self, address: str, *, token: str | None, barred: float) -> None:
        """See :meth:`ChallengeStore.end_start_for <passwordless_async.stores.ChallengeStore.end_start_for>`."""
        for counted in [entry for entry in self._addresses.get(address) or () if entry[1] == token]:
            (self._addresses.get(address) or deque()).remove(counted)
        if barred > self._barred.left(address):
            self._barred.put(address, "barred", barred)

    async def present(
        self, user: str, code: str, *, token: str, at_most: int, different: int, remember: float
    ) -> int | None:
        """See :meth:`ChallengeStore.present <passwordless_async.stores.ChallengeStore.present>`."""
        known = self._codes.get(user) or _Code(started=False)
        if code in known.presented:
            return known.made if known.presented[code] == token else None
        if (known.started and known.made >= at_most) or len(known.presented) >= different:
            return 0
        known.presented[code] = token
        known.made += 1
        self._codes.put(user, known, remember)
        return known.made

    async def withdraw(self, user: str, code: str, *, token: str) -> None:
        """See :meth:`ChallengeStore.withdraw <passwordless_async.stores.ChallengeStore.withdraw>`."""
        known = self._codes.get(user)
        if known is not None and known.presented.get(code) == token:
            del known.presented[code]
            known.made = max(known.made - 1, 0)

    async def end_code(self, user: str, code: str, *, token: str, right: bool) -> None:
        """See :meth:`ChallengeStore.end_code <passwordless_async.stores.ChallengeStore.end_code>`."""
        known = self._codes.get(user)
        if known is None or known.presented.get(code) != token:
            return
        self._cooling.forget(user)
        if right:
            known.started, known.made = False, 0
