"""The state that the processes of an application share: a server's nonces, and a tenant's quota.

Invariants:

- Each process uses what the others learn. While it sends requests, it polls the store once a second.
- One process fetches the first nonce. If it fails, its turn passes to another at once; if it dies, after 3 seconds.
- A nonce that this process has had before is not taken from the store again: it is outdated.
- The requests of all processes wait in one queue. If the store is unreachable, each process uses the whole quota.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.client.events import Emitter, Use
from passwordless_async.client.shared.availability import Availability
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from passwordless_async.auth0.tenant import Tenant
    from passwordless_async.stores import Store

POLL_SECONDS = 1.0  # between two polls of what others have learned
_KEPT_SECONDS = 600.0  # for which the store keeps a nonce; one that is too old costs a challenge
_TURN_SECONDS = 3.0  # for which the others wait for the process that fetches the first nonce
_TURN_POLL_SECONDS = 0.05  # between two polls meanwhile
_MAX_RECENT = 8  # nonces that this process has had


class SharedNonces:
    """The nonces of the token endpoint, shared with this process's own cache; kept for the client's lifetime."""

    def __init__(self, availability: Availability, tenant: Tenant, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._availability = availability
        self._store = availability.store
        self._cache = tenant.nonces
        self._tenant = tenant
        self._poll_seconds = poll_seconds
        # The same before and after the metadata names another origin.
        self._name = availability.keys.pseudonym(f"nonce {tenant.application.origin}")
        self._recent: deque[str] = deque(maxlen=_MAX_RECENT)  # the newest last
        self._polled_at = float("-inf")
        self._turn: str | None = None  # what names this process's turn in the store
        self._stop_listening = self._cache.listen(self._learned)

    @property
    def _origin(self) -> str:
        return self._tenant.application.token_origin

    def poll(self) -> asyncio.Task[None] | None:
        """Learn in the background what others have learned; None if the last poll is too recent."""
        now = _clock.monotonic()
        if now < self._polled_at + self._poll_seconds:
            return None
        self._polled_at = now
        return self._availability.in_background(self._poll())

    async def _poll(self) -> None:
        self._take(await self._availability.ask(Use.NONCES, lambda: self._store.nonce(self._name), None))

    async def fetched(self) -> bool:
        """Wait for a nonce of another process (True), or until this process may fetch one (False)."""
        ends = _clock.monotonic() + _TURN_SECONDS
        own_turn: bool = True  # if the store is unreachable
        token = _clock.unique_id()
        while True:
            answer = await self._availability.ask(
                Use.NONCES,
                lambda: self._store.nonce_or_turn(self._name, token=token, seconds=_TURN_SECONDS),
                own_turn,
            )
            if isinstance(answer, str):
                self._take(answer)
                return True
            if answer or _clock.monotonic() > ends:
                self._turn = token if answer else None
                return False
            await asyncio.sleep(_TURN_POLL_SECONDS)

    def answered(self) -> None:
        """Share that the origin has answered this process, and with which nonce."""
        self._share(self._cache.get(self._origin) or "")

    def failed(self) -> None:
        """Pass the turn on, if this process has it: the origin has not answered."""
        token, self._turn = self._turn, None
        if token is not None:
            self._availability.report(Use.NONCES, lambda: self._store.release_turn(self._name, token=token))

    def _learned(self, origin: str, nonce: str, thumbprint: str | None) -> None:
        if origin == self._origin and thumbprint is None:
            self._share(nonce)

    def _share(self, nonce: str) -> None:
        if not self._recent or nonce != self._recent[-1]:
            self._recent.append(nonce)
            self._availability.report(
                Use.NONCES, lambda: self._store.put_nonce(self._name, nonce, seconds=_KEPT_SECONDS)
            )

    def _take(self, nonce: str | None) -> None:
        if not nonce or nonce in self._recent:
            return
        try:
            self._cache.put(self._origin, nonce)
        except UsageError:
            # The store holds no valid nonce: the server will demand one by a challenge.
            return
        self._recent.append(nonce)

    def reopen(self) -> None:
        """Listen to the cache again."""
        self._stop_listening = self._cache.listen(self._learned)

    def aclose(self) -> None:
        """Stop listening to the cache."""
        self._stop_listening()


class SharedQuota:
    """A tenant's quota; kept for the client's lifetime."""

    def __init__(self, availability: Availability, issuer: str) -> None:
        self._availability = availability
        self._store = availability.store
        self._name = availability.keys.pseudonym(f"quota {issuer}")

    async def reserve(self, requests: int, interval: float) -> float | None:
        """Reserve slots, ``interval`` seconds apart; return the seconds until the first. None: unreachable."""
        return await self._availability.ask(
            Use.QUOTA, lambda: self._store.reserve(self._name, requests=requests, interval=interval), None
        )

    def pause(self, seconds: float) -> None:
        """Give no process a slot for this many seconds."""
        self._availability.report(Use.QUOTA, lambda: self._store.pause(self._name, seconds))


@attrs.frozen(eq=False, repr=False)
class Peers:
    """The state that a client shares with other processes."""

    availability: Availability
    # None if no other process has any, if nonces are bound to keys, or if no proof is sent.
    nonces: SharedNonces | None = None
    quota: SharedQuota | None = None  # None if only this client has it

    @classmethod
    def of(cls, store: Store, tenant: Tenant, events: Emitter, *, alone: bool) -> Self:
        """Return the state that a client shares through a store; ``alone``: the store is the client's own."""
        availability, application = Availability(store, events), tenant.application
        if alone:
            return cls(availability)
        unshared = tenant.nonces.per_key or tenant.dpop == "off"
        nonces = None if unshared else SharedNonces(availability, tenant)
        return cls(availability, nonces, SharedQuota(availability, application.issuer))

    def reopen(self) -> None:
        """Share again what this client learns."""
        if self.nonces is not None:
            self.nonces.reopen()

    async def aclose(self, *, grace: float) -> None:
        """Wait ``grace`` seconds for pending reports to the store."""
        if self.nonces is not None:
            self.nonces.aclose()
        await self.availability.aclose(grace=grace)
