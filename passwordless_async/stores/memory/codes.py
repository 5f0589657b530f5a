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


class MemoryCodes:
    """See :class:`CodeStore <passwordless_async.stores.CodeStore>`.

    Args:
        at_most: How many users, and addresses, are remembered.
    """

    def __init__(self, at_most: int) -> None:
        self._cooling: Expiring[str] = Expiring(at_most)
        self._codes: Expiring[_Code] = Expiring(at_most)
        self._addresses: Expiring[deque[tuple[float, str]]] = Expiring(at_most)
        self._blocked: Expiring[str] = Expiring(at_most)

    async def begin_start(self, user: str, *, token: str, seconds: float, remember: float) -> float:
        """See :meth:`CodeStore.begin_start <passwordless_async.stores.CodeStore.begin_start>`."""
        if seconds > 0:
            if self._cooling.get(user) not in {None, token}:
                return self._cooling.left(user)
            self._cooling.put(user, token, seconds)
        self._codes.put(user, _Code(started=True), remember)
        return 0.0

    async def end_start(self, user: str, *, token: str, seconds: float) -> None:
        """See :meth:`CodeStore.end_start <passwordless_async.stores.CodeStore.end_start>`."""
        if self._cooling.get(user) != token:
            return
        if seconds > 0:
            self._cooling.put(user, token, seconds)
        else:
            self._cooling.forget(user)

    async def begin_address_start(self, address: str, *, token: str, max_starts: int | None, window: float) -> float:
        """See :meth:`CodeStore.begin_address_start <passwordless_async.stores.CodeStore.begin_address_start>`."""
        if self._blocked.get(address):
            return self._blocked.left(address)
        if max_starts is None:
            return 0.0
        now = _clock.monotonic()
        counted = self._addresses.get(address) or deque()
        while counted and counted[0][0] <= now - window:
            counted.popleft()
        if any(token == by for _, by in counted):
            return 0.0
        if len(counted) >= max_starts:
            return counted[0][0] + window - now
        counted.append((now, token))
        self._addresses.put(address, counted, window)
        return 0.0

    async def end_address_start(self, address: str, *, token: str | None, blocked: float) -> None:
        """See :meth:`CodeStore.end_address_start <passwordless_async.stores.CodeStore.end_address_start>`."""
        for counted in [entry for entry in self._addresses.get(address) or () if entry[1] == token]:
            (self._addresses.get(address) or deque()).remove(counted)
        if blocked > self._blocked.left(address):
            self._blocked.put(address, "blocked", blocked)

    async def begin_attempt(
        self, user: str, code: str, *, token: str, max_attempts: int, max_codes: int, remember: float
    ) -> int | None:
        """See :meth:`CodeStore.begin_attempt <passwordless_async.stores.CodeStore.begin_attempt>`."""
        known = self._codes.get(user) or _Code(started=False)
        if code in known.presented:
            return known.made if known.presented[code] == token else None
        if (known.started and known.made >= max_attempts) or len(known.presented) >= max_codes:
            return 0
        known.presented[code] = token
        known.made += 1
        self._codes.put(user, known, remember)
        return known.made

    async def undo_attempt(self, user: str, code: str, *, token: str) -> None:
        """See :meth:`CodeStore.undo_attempt <passwordless_async.stores.CodeStore.undo_attempt>`."""
        known = self._codes.get(user)
        if known is not None and known.presented.get(code) == token:
            del known.presented[code]
            known.made = max(known.made - 1, 0)

    async def retire_code(self, user: str, code: str, *, token: str, correct: bool) -> None:
        """See :meth:`CodeStore.retire_code <passwordless_async.stores.CodeStore.retire_code>`."""
        known = self._codes.get(user)
        if known is None or known.presented.get(code) != token:
            return
        self._cooling.forget(user)
        if correct:
            known.started, known.made = False, 0
