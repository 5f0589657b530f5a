"""The address of the user, behind a known number of proxies.

Invariants:

- A browser may send any ``X-Forwarded-For``; each proxy appends the address that it was called from. Only the entries
  of ``trusted_proxies`` are used.
- Too few entries, or one that is not an address, means that the address is unknown; it is never guessed.
- Only public addresses are sent to the service: a private one is a proxy's, for which it would count all users as one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from passwordless_async._common.user_address import IpAddress, user_address
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from multidict import MultiMapping

_MAX_ENTRIES = 32
_MAX_ADDRESS = 45  # characters of the longest one


class Arrived(Protocol):
    """A request as it arrived."""

    @property
    def headers(self) -> MultiMapping[str]:
        """The header fields."""

    @property
    def peer(self) -> str | None:
        """The address that the connection came from."""


def user_address_of(request: Arrived, trusted_proxies: int) -> IpAddress | None:
    """Return the user's address; None if it is not known, or cannot be a user's, such as loopback."""
    if trusted_proxies == 0:
        return _parse(request.peer)
    entries = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    if not trusted_proxies <= len(entries) <= _MAX_ENTRIES:
        return None
    return _parse(entries[-trusted_proxies].strip())


@lru_cache(maxsize=1024)  # a login sends the service its address more than once
def public(address: IpAddress | None) -> IpAddress | None:
    """Return an address to send to the service; None for a private one."""
    return _address(address, allow_private=False)


def _parse(text: str | None) -> IpAddress | None:
    return None if text is None or len(text) > _MAX_ADDRESS else _cached_address(text)


@lru_cache(maxsize=1024)  # the requests of one page come from one address
def _cached_address(text: str) -> IpAddress | None:
    return _address(text)


def _address(given: IpAddress | str | None, *, allow_private: bool = True) -> IpAddress | None:
    try:
        return None if given is None else user_address("address", given, allow_private=allow_private)
    except UsageError:
        return None
