"""Selects the base URL of a request, by its ``Host`` or by the fields that trusted proxies add.

Invariants:

- A header field only selects one of the configured base URLs. It never adds one.
- ``Forwarded`` (RFC 7239) and ``X-Forwarded-Host`` are read only with ``trusted_proxies``. The entry of the outermost
  proxy is used: the Nth from the right. A client may have sent those further left.
- An unknown host selects the first base URL. The selection affects challenges and metadata, not the check of ``htu``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Generic, TypeVar

from passwordless_async.dpop.server import uri
from passwordless_async.dpop.server.fields import values_of
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.dpop.server.fields import Headers

T = TypeVar("T")

_MAX_PROXIES = 100
_MAX_FIELD = 8192  # characters; a longer field is not read
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# RFC 7239 §4: pairs with semicolons between; elements with commas between.
_PAIR = re.compile(rf'[ \t]*({_WORD})=(?:({_WORD})|"((?:[^"\\]|\\.)*)")[ \t]*([;,]|$)')


class NamedHosts(Generic[T]):
    """Chooses among the base URLs of an API.

    Args:
        bases: A value for each base URL, normalised as by :func:`~passwordless_async.dpop.server.uri.base_urls`.
        trusted_proxies: The number of proxies in front of the application that add to the forwarding fields.
    """

    __slots__ = ("_by_origin", "_first", "_is_one", "_schemes", "_trusted")

    def __init__(self, bases: Mapping[str, T], *, trusted_proxies: int) -> None:
        if type(trusted_proxies) is not int or not 0 <= trusted_proxies <= _MAX_PROXIES:
            raise UsageError("trusted_proxies", f"must be a whole number from 0 to {_MAX_PROXIES}")
        self._trusted = trusted_proxies
        self._first = next(iter(bases.values()))
        self._is_one = len(bases) == 1
        self._by_origin: dict[str, T] = {}
        for base, value in bases.items():
            self._by_origin.setdefault("/".join(base.split("/")[:3]), value)
        self._schemes = tuple(dict.fromkeys(origin.partition(":")[0] for origin in self._by_origin))

    def choose(self, headers: Headers) -> T:
        """Return the value for the base URL of a request."""
        if self._is_one:
            return self._first
        host = self._host(headers)
        for scheme in self._schemes:
            normal = uri.normalize(f"{scheme}://{host}") or ""
            found = self._by_origin.get(normal.removesuffix("/"))
            if found is not None:
                return found
        return self._first

    def _host(self, headers: Headers) -> str:
        """Return the host that the client asked for; empty if that is unknown."""
        standard, usual, named = values_of(headers, "Forwarded", "X-Forwarded-Host", "Host")
        host = ""
        if self._trusted:
            elements = forwarded(",".join(standard))[-self._trusted :]
            all_hosts = ",".join(usual)
            hosts = all_hosts.split(",")[-self._trusted :] if len(all_hosts) <= _MAX_FIELD else []
            if len(elements) == self._trusted:
                host = elements[0].get("host", "")
            if not host and len(hosts) == self._trusted:
                host = hosts[0].strip()
        return host or (named[0] if len(named) == 1 else "")


def forwarded(field: str) -> list[dict[str, str]]:
    """Return the elements of a ``Forwarded`` field, names in lower case; none if it breaks the grammar."""
    elements: list[dict[str, str]] = [{}]
    position = 0
    if len(field) > _MAX_FIELD:
        return []
    while position < len(field):
        pair = _PAIR.match(field, position)
        if pair is None:
            return []
        value = pair[2] if pair[3] is None else re.sub(r"\\(.)", r"\1", pair[3])
        elements[-1].setdefault(pair[1].lower(), value)
        if pair[4] == ",":
            elements.append({})
        position = pair.end()
    return elements
