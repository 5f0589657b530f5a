"""The server's nonces, newest per origin (RFC 9449 §8, §9).

Invariants:

- A nonce is taken from every 2xx, 3xx or 4xx response that carries exactly one well-formed ``DPoP-Nonce``.
- A response without one, or a 5xx, does not change the cache.
- If responses arrive out of order, the nonce of the request that was **sent** last is kept.
- All users of a client share the cache; with ``per_key``, a nonce serves only the key that got it.
"""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common.bounded import Bounded
from passwordless_async._common.secret import always_printable
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from passwordless_async._common.http import HttpResponse
    from passwordless_async.dpop.key import DPoPKey

# RFC 9449 §8.1: nonce = 1*NQCHAR, %x21 / %x23-5B / %x5D-7E. The limit of 1,024 is ours.
_NONCE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,1024}")
_SERVER_ERROR = HTTPStatus.INTERNAL_SERVER_ERROR  # named once: in Python 3.11 that takes 0.3 µs
T = TypeVar("T")
_log = logging.getLogger("passwordless_async")


def nonce_of(response: HttpResponse) -> str | None:
    """Return the nonce that a response provides, or None if it has no usable one."""
    values = response.headers.getall("DPoP-Nonce", [])
    if len(values) != 1 or response.status >= _SERVER_ERROR or not _NONCE.fullmatch(values[0]):
        return None
    return values[0]


@attrs.define
class _Newest:
    nonce: str
    ticket: int  # of the last request with this nonce in its response


@always_printable
@attrs.define(repr=False, eq=False)
class NonceCache:
    """The newest nonce of each origin; one cache per client.

    Args:
        size: How many nonces are kept; the least recently used is dropped.
        per_key: Whether a nonce is used only with the key that got it, for servers that bind nonces to keys.
        on_learned: Called with origin, nonce and thumbprint (None unless ``per_key``) when a response brings a newer
            nonce, to share it with other processes; they call :meth:`put`. An exception is logged and ignored.
    """

    _size: int = attrs.field(default=256, validator=lambda _self, _field, value: _check.positive("size", value))
    per_key: bool = attrs.field(
        default=False,
        kw_only=True,
        validator=lambda _self, _field, value: _check.boolean("per_key", value),
        on_setattr=attrs.setters.frozen,
    )
    _on_learned: Callable[[str, str, str | None], None] | None = attrs.field(default=None, kw_only=True)
    _listeners: list[Callable[[str, str, str | None], None]] = attrs.field(factory=list, init=False)
    _entries: Bounded[tuple[str, str | None], _Newest] = attrs.field(init=False)
    _states: Bounded[tuple[str, Callable[[], Any]], Any] = attrs.field(init=False)
    # No number that is set for each request: attrs checks what is set.
    _tickets: Iterator[int] = attrs.field(factory=lambda: count(1), init=False)

    def __attrs_post_init__(self) -> None:
        self._entries = Bounded(self._size)
        self._states = Bounded(self._size)

    def get(self, origin: str, key: DPoPKey | None = None) -> str | None:
        """Return the nonce for the next request to an origin (``scheme://host:port``) by a key, or None."""
        entry = self._entries.get(self._place(origin, key))
        return None if entry is None else entry.nonce

    def put(self, origin: str, nonce: str, thumbprint: str | None = None) -> None:
        """Add a nonce that another process has learned; it counts as newer than every request sent so far.

        Args:
            origin: The origin.
            nonce: The nonce.
            thumbprint: The thumbprint of the key that got it; used with ``per_key``.

        Raises:
            UsageError: It is not a nonce.
        """
        if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
            raise UsageError("nonce", "must be visible ASCII characters without quote and backslash")
        self._keep((origin, thumbprint if self.per_key else None), self.ticket(), nonce)

    def listen(self, on_learned: Callable[[str, str, str | None], None]) -> Callable[[], None]:
        """Call one more function like ``on_learned``; return the function that removes it."""
        self._listeners.append(on_learned)
        return lambda: self._listeners.remove(on_learned)

    def shared_state(self, origin: str, make: Callable[[], T]) -> T:
        """Return the state that all users of this cache share for an origin; made at the first call, or once dropped.

        Args:
            origin: The origin.
            make: Makes the state, and is part of its identity; usually a class.
        """
        place = origin, make
        if place not in self._states:
            self._states[place] = make()
        state: T = self._states[place]
        return state

    def ticket(self) -> int:
        """Return the position of a request in the order of sending; call it when the request is sent."""
        return next(self._tickets)

    def harvest(self, origin: str, response: HttpResponse, ticket: int, key: DPoPKey | None = None) -> str | None:
        """Take the nonce from a response.

        Args:
            origin: The origin that answered.
            response: The response.
            ticket: The request's :meth:`ticket`.
            key: The key that signed the request's proof.

        Returns:
            The nonce that this response provides, even if the cache holds a newer one; None if it has none.
        """
        nonce = nonce_of(response)
        place = self._place(origin, key)
        if nonce is not None and self._keep(place, ticket, nonce):
            self._notify(place, nonce)
        return nonce

    def _notify(self, place: tuple[str, str | None], nonce: str) -> None:
        for listener in self._listeners:
            listener(place[0], nonce, place[1])
        if self._on_learned is None:
            return
        try:
            self._on_learned(place[0], nonce, place[1])
        except Exception as error:  # noqa: BLE001 - the application's hook must not cost the response, and with it the code
            _log.warning("on_learned failed for %s: %s", place[0], type(error).__name__)

    def _place(self, origin: str, key: DPoPKey | None) -> tuple[str, str | None]:
        return origin, key.thumbprint if self.per_key and key is not None else None

    def _keep(self, place: tuple[str, str | None], ticket: int, nonce: str) -> bool:
        """Keep a nonce unless a later request returned one; return whether it changed."""
        # dict.get: an old response is no use of the entry, and Bounded.get would count it as one.
        entry = dict.get(self._entries, place)
        if entry is not None and entry.ticket > ticket:
            return False
        if entry is not None and entry.nonce == nonce:
            entry.ticket = ticket
            self._entries.move_to_end(place)
            return False
        self._entries[place] = _Newest(nonce, ticket)
        return True

    def __repr__(self) -> str:
        return f"<NonceCache of {len(self._entries)} nonces>"
