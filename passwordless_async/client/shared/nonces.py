"""A server's nonces, shared: what one process learns serves the others, and one of them fetches the first."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from passwordless_async._common import clock as _clock
from passwordless_async.client.events import Use
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from passwordless_async.client.shared.availability import Availability
    from passwordless_async.dpop import NonceCache

_EVERY = 1.0  # seconds between two looks at what others have learned, while requests go
_GOOD_FOR = 600.0  # seconds that a nonce is kept for others; one that is too old costs a challenge
_TURN = 3.0  # seconds that the process which fetches the first nonce is given, and waited for
_LOOK_AGAIN = 0.05  # seconds between two looks while it is at it
_REMEMBERED = 8  # nonces of this process; one of them that comes back from the store is old


class SharedNonces:
    """The nonces of one origin; lives as long as its client.

    Args:
        availability: The store.
        cache: This process's own.
        origin: The origin.
    """

    def __init__(self, availability: Availability, cache: NonceCache, origin: str) -> None:
        self._availability = availability
        self._cache = cache
        self._origin = origin
        self._name = availability.keys.pseudonym(f"nonce {origin}")
        self._recent: deque[str] = deque(maxlen=_REMEMBERED)
        self._looked_at = float("-inf")
        self._newest: str | None = None
        self._in_turn = False
        self._stop_listening = cache.listen(self._learned)

    def poll(self) -> asyncio.Task[None] | None:
        """Begin to learn what others have learned; None where that was done a moment ago."""
        now = _clock.monotonic()
        if now < self._looked_at + _EVERY:
            return None
        self._looked_at = now
        return self._availability.in_background(self._poll())

    async def _poll(self) -> None:
        self._take(await self._availability.ask(Use.NONCES, partial(self._availability.store.nonce, self._name), None))

    async def fetched(self) -> bool:
        """Wait until another process has fetched the first nonce, or it is this one's turn to; tells which it is."""
        ask = partial(self._availability.store.nonce_or_turn, self._name, seconds=_TURN)
        ends = _clock.monotonic() + _TURN
        while True:
            answer = await self._availability.ask(Use.NONCES, ask, True)  # noqa: FBT003 - its own turn
            if isinstance(answer, str):
                self._take(answer)
                return True
            if answer or _clock.monotonic() > ends:
                self._in_turn = answer
                return False
            await asyncio.sleep(_LOOK_AGAIN)

    def answered(self) -> None:
        """Say that the server has answered this process: its nonce, or that it has none."""
        self._share(self._cache.get(self._origin) or "")

    def failed(self) -> None:
        """Say that the server has not answered this process: where it was its turn, that is over."""
        if not self._in_turn:
            return
        self._in_turn = False
        leave = partial(self._availability.store.release_turn, self._name)
        self._availability.in_background(self._availability.ask(Use.NONCES, leave, None))

    def _learned(self, origin: str, nonce: str, thumbprint: str | None) -> None:
        if origin == self._origin and thumbprint is None:
            self._share(nonce)

    def _share(self, nonce: str) -> None:
        if nonce != self._newest:
            self._newest = nonce
            self._recent.append(nonce)
            put = partial(self._availability.store.put_nonce, self._name, nonce, seconds=_GOOD_FOR)
            self._availability.in_background(self._availability.ask(Use.NONCES, put, None))

    def _take(self, nonce: str | None) -> None:
        if not nonce or nonce in self._recent:
            return
        try:
            self._cache.put(self._origin, nonce)
        except UsageError:
            # The store holds what is no nonce: the server will say which one it wants.
            return
        self._newest = nonce
        self._recent.append(nonce)

    def aclose(self) -> None:
        """Learn nothing more."""
        self._stop_listening()
