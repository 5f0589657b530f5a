"""Ends a long call soon after its session has ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from passwordless_async.errors import BrokenSeal, InvalidSession, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async._common.secret import Secret
    from passwordless_async.client.client import PasswordlessClient

_CHECK_SECONDS = 15.0  # between two checks whether the session of a long call has ended


class SessionWatch:
    """Checks a session from time to time, from :meth:`begin` to :meth:`end`. A check does not count as its use.

    Args:
        client: Its sessions have the session.
        session: The session's identifier.
        on_ended: Called when the session has ended.
    """

    def __init__(self, client: PasswordlessClient, session: Secret, on_ended: Callable[[], object]) -> None:
        self._client = client
        self._session = session
        self._on_ended = on_ended
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin, or go on."""
        self._timer = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._look)

    def _look(self) -> None:
        self._task = asyncio.create_task(self._check())

    async def _check(self) -> None:
        try:
            await self._client.sessions.get(self._session, counts_as_use=False)
        except StoreUnavailable:
            pass  # unknown: a call does not end because the store is unreachable for a moment
        except (InvalidSession, BrokenSeal):
            self._on_ended()
            return
        self.begin()

    def end(self) -> None:
        """Stop: the call has ended."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
