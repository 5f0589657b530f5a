"""The server's nonces, newest per origin (RFC 9449 §8, §9).

The rules: a nonce is taken from every 2xx, 3xx or 4xx answer that carries exactly one well-formed ``DPoP-Nonce``; an
answer without one, or a 5xx, leaves the cache alone; where answers overtake each other, the nonce of the request that
was **sent** last wins. The cache is shared by all users of a client, unless it is told that nonces are bound to keys.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async._common.http import HttpResponse
    from passwordless_async.dpop.key import DPoPKey

# RFC 9449 §8.1: nonce = 1*NQCHAR, %x21 / %x23-5B / %x5D-7E. The bound on its length is ours.
_NONCE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,1024}")
T = TypeVar("T")
_SERVER_ERROR = 500
_log = logging.getLogger("passwordless_async")


def nonce_of(response: HttpResponse) -> str | None:
    """Return the nonce that an answer provides, or None where it has none that can be used."""
    values = response.headers.getall("DPoP-Nonce", [])
    if response.status >= _SERVER_ERROR or len(values) != 1 or not _NONCE.fullmatch(values[0]):
        return None
    return values[0]


@attrs.define(repr=False, eq=False)
class NonceCache:
    """The newest nonce of each origin; lives as long as its client.

    Args:
        size: How many nonces are kept; the one least recently used goes first.
        per_key: Whether a nonce serves the key alone that it was given to, for servers that bind nonces to keys.
        on_learned: Called with the origin, the nonce and, where nonces are bound to keys, the key's thumbprint (else
            None) whenever a newer one is learned from an answer, to share it with other processes; what they learn
            comes in by :meth:`put`. What it raises is logged and does not touch the answer.
    """

    _size: int = attrs.field(default=256, validator=lambda _self, _field, value: _check.positive("size", value))
    _per_key: bool = attrs.field(default=False, kw_only=True)
    _on_learned: Callable[[str, str, str | None], None] | None = attrs.field(default=None, kw_only=True)
    _listeners: list[Callable[[str, str, str | None], None]] = attrs.field(factory=list, init=False)
    _entries: OrderedDict[tuple[str, str | None], tuple[int, str]] = attrs.field(factory=OrderedDict, init=False)
    _states: dict[tuple[str, Callable[[], Any]], Any] = attrs.field(factory=dict, init=False)
    _sent: int = attrs.field(default=0, init=False)

    @property
    def per_key(self) -> bool:
        """Whether a nonce serves the key alone that it was given to."""
        return self._per_key

    def get(self, origin: str, key: DPoPKey | None = None) -> str | None:
        """Return the nonce for the next request to an origin (``scheme://host:port``) by a key, or None."""
        place = self._place(origin, key)
        entry = self._entries.get(place)
        if entry is None:
            return None
        self._entries.move_to_end(place)
        return entry[1]

    def put(self, origin: str, nonce: str, thumbprint: str | None = None) -> None:
        """Take a nonce that was learned elsewhere; it counts as newer than every request sent so far.

        Args:
            origin: The origin.
            nonce: The nonce.
            thumbprint: The thumbprint of the key that it was given to, where nonces are bound to keys.

        Raises:
            UsageError: It is not a nonce.
        """
        if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
            raise UsageError("nonce", "must be visible ASCII characters without quote and backslash")
        self._keep((origin, thumbprint if self._per_key else None), self.ticket(), nonce)

    def listen(self, on_learned: Callable[[str, str, str | None], None]) -> Callable[[], None]:
        """Have one more function called as ``on_learned`` is; returns what ends that."""
        self._listeners.append(on_learned)
        return partial(self._listeners.remove, on_learned)

    def shared_state(self, origin: str, make: Callable[[], T]) -> T:
        """Return what all users of this cache share about an origin beside its nonce; made when first asked for.

        Args:
            origin: The origin.
            make: Makes the state, and tells states of different kinds apart; usually a class.
        """
        place = origin, make
        if place not in self._states:
            self._states[place] = make()
        state: T = self._states[place]
        return state

    def ticket(self) -> int:
        """Return the place of a request in the order of sending; draw it when the request leaves."""
        self._sent += 1
        return self._sent

    def harvest(self, origin: str, response: HttpResponse, ticket: int, key: DPoPKey | None = None) -> str | None:
        """Take the nonce from an answer.

        Args:
            origin: The origin that answered.
            response: The answer.
            ticket: The request's place in the order of sending.
            key: The key that the request was proven with.

        Returns:
            The nonce that this answer provides, even where the cache holds a newer one; None where it has none.
        """
        nonce = nonce_of(response)
        place = self._place(origin, key)
        if nonce is not None and self._keep(place, ticket, nonce):
            self._tell(place, nonce)
        return nonce

    def _tell(self, place: tuple[str, str | None], nonce: str) -> None:
        for listener in self._listeners:
            listener(place[0], nonce, place[1])
        if self._on_learned is None:
            return
        try:
            self._on_learned(place[0], nonce, place[1])
        except Exception as error:  # noqa: BLE001 - a hook of the caller's must not cost the answer, and a code with it
            _log.warning("on_learned failed for %s: %s", place[0], type(error).__name__)

    def _place(self, origin: str, key: DPoPKey | None) -> tuple[str, str | None]:
        return origin, key.thumbprint if self._per_key and key is not None else None

    def _keep(self, place: tuple[str, str | None], ticket: int, nonce: str) -> bool:
        """Keep a nonce unless a later request brought one; tell whether it is another than before."""
        before = self._entries.get(place, (0, None))
        if before[0] > ticket:
            return False
        self._entries[place] = (ticket, nonce)
        self._entries.move_to_end(place)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return before[1] != nonce

    def __repr__(self) -> str:
        return f"<NonceCache of {len(self._entries)} nonces>"
