"""The server's nonces, newest per origin (RFC 9449 §8, §9).

The rules: a nonce is taken from every 2xx, 3xx or 4xx answer that carries exactly one well-formed ``DPoP-Nonce``; an
answer without one, or a 5xx, leaves the cache alone; where answers overtake each other, the nonce of the request that
was **sent** last wins. The cache is shared by all users of a client: the service's nonces are not bound to a key.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING

import attrs

from passwordless_async import _check

if TYPE_CHECKING:
    from passwordless_async.wire import HttpResponse

# RFC 9449 §8.1: nonce = 1*NQCHAR, %x21 / %x23-5B / %x5D-7E. The bound on its length is ours.
_NONCE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,1024}")
_SERVER_ERROR = 500


def nonce_of(response: HttpResponse) -> str | None:
    """Return the nonce that an answer provides, or None where it has none that can be used."""
    values = response.headers.getall("DPoP-Nonce", [])
    if response.status >= _SERVER_ERROR or len(values) != 1 or not _NONCE.fullmatch(values[0]):
        return None
    return values[0]


@attrs.define(repr=False)
class NonceCache:
    """The newest nonce of each origin; lives as long as its client.

    Args:
        size: How many origins are kept; the one least recently used goes first.
    """

    _size: int = attrs.field(default=256, validator=lambda _self, _field, value: _check.positive("size", value))
    _entries: OrderedDict[str, tuple[int, str]] = attrs.field(factory=OrderedDict, init=False)
    _sent: int = attrs.field(default=0, init=False)

    def get(self, origin: str) -> str | None:
        """Return the nonce for the next request to an origin (``scheme://host:port``), or None."""
        entry = self._entries.get(origin)
        if entry is None:
            return None
        self._entries.move_to_end(origin)
        return entry[1]

    def ticket(self) -> int:
        """Return the place of a request in the order of sending; draw it when the request leaves."""
        self._sent += 1
        return self._sent

    def harvest(self, origin: str, response: HttpResponse, ticket: int) -> str | None:
        """Take the nonce from an answer.

        Args:
            origin: The origin that answered.
            response: The answer.
            ticket: The request's place in the order of sending.

        Returns:
            The nonce that this answer provides, even where the cache holds a newer one; None where it has none.
        """
        nonce = nonce_of(response)
        if nonce is None:
            return None
        kept = self._entries.get(origin)
        if kept is None or kept[0] <= ticket:
            self._entries[origin] = (ticket, nonce)
            self._entries.move_to_end(origin)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return nonce

    def __repr__(self) -> str:
        return f"<NonceCache of {len(self._entries)} origins>"
