"""The names of a tenant: it answers each request under the name that the client used, if that is one of its own.

If a tenant had one name, a client that uses another would fail: the proof's ``htu`` differs, then the ID token's
``iss``. This one has every name of this machine's loopback, and those that you pass.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

import attrs
from yarl import URL

from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


@attrs.frozen
class TenantName:
    """One name of a tenant.

    Attributes:
        url: The origin, which ``htu`` begins with, without a trailing slash.
        issuer: The issuer, with a trailing slash. The endpoints for certificates have that of the others.
    """

    url: str
    issuer: str


@attrs.frozen
class TenantNames:
    """A tenant's names.

    Args:
        url: The origin where it listens, without a trailing slash.
        public_urls: Further origins. The first one stands for every name that is unknown.
        mtls_port: The port of the endpoints for clients with certificates (RFC 8705 §5); None: there are none.
    """

    url: str
    public_urls: tuple[str, ...] = ()
    mtls_port: int | None = None

    @property
    def preferred(self) -> TenantName:
        """The name to use if a request has none."""
        url = self.public_urls[0] if self.public_urls else self.url
        return TenantName(url, f"{url}/")

    def asked_under(self, hosts: Sequence[str]) -> TenantName:
        """Return the name that a request was sent to, by its ``Host`` fields."""
        if len(hosts) != 1:
            return self.preferred
        public = (self._matching(URL(url), hosts[0]) for url in self.public_urls)
        return next(filter(None, public), None) or self._on_loopback(hosts[0]) or self.preferred

    def _on_loopback(self, host: str) -> TenantName | None:
        asked = _parse(URL(self.url).scheme, host)
        if asked is None or not _is_loopback(asked.host or ""):
            return None
        # Any port: that of a container is often mapped to another one.
        return self._at_mtls(URL(self.url).with_host(asked.host or ""), asked) or TenantName(f"{asked}", f"{asked}/")

    def mtls_url(self, name: TenantName) -> str | None:
        """Return the origin for clients with certificates; None: there is none."""
        return None if self.mtls_port is None else str(URL(name.issuer).origin().with_port(self.mtls_port))

    def _matching(self, main: URL, host: str) -> TenantName | None:
        asked = _parse(main.scheme, host)
        if asked is None or asked.host != main.host:
            return None
        return TenantName(f"{main}", f"{main}/") if asked == main else self._at_mtls(main, asked)

    def _at_mtls(self, main: URL, asked: URL) -> TenantName | None:
        return TenantName(f"{asked}", f"{main}/") if asked.port == self.mtls_port else None


def public_origins(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return the origins of one or several URLs without a path.

    Raises:
        UsageError: One is not such a URL.
    """
    return tuple(_public_origin(url) for url in ([given] if isinstance(given, str) else given))


def _public_origin(url: str) -> str:
    scheme, _, host = url.removesuffix("/").partition("://")
    origin = _parse(scheme, host) if scheme in ("http", "https") else None
    if origin is None:
        raise UsageError("public_url", "must be http or https, a host and a port, such as https://tenant.test:8443")
    return str(origin)


def _parse(scheme: str, host: str) -> URL | None:
    if not _HOST.fullmatch(host):
        return None
    try:
        url = URL(f"{scheme}://{host}").origin()
        if host.startswith("["):
            ipaddress.IPv6Address(url.host or "")
    except ValueError:
        return None
    return url if url.port else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
