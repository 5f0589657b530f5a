"""The application and its tenant: where requests go and who sends them."""

from __future__ import annotations

import ipaddress
import re

import attrs
from yarl import URL

from passwordless_async import _check
from passwordless_async.auth0.client_auth import ClientAuth
from passwordless_async.errors import UsageError

_MAX_DOMAIN = 300  # characters: a DNS name of 253, a scheme and a port
# A DNS name, or an IP literal; a path, a query, credentials and other scripts find no place in it.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_DOMAIN = re.compile(
    rf"(?:(?P<scheme>https?)://)?(?:{_LABEL}(?:\.{_LABEL})*\.?|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::[0-9]{{1,5}})?/?"
)


def _base_url(domain: str) -> URL:
    """Parse what the caller calls the domain."""
    domain = _check.bounded("domain", domain, at_most=_MAX_DOMAIN)
    match = _DOMAIN.fullmatch(domain)
    if match is None:
        raise UsageError("domain", "must be a host name, with a port at most: no path, query or credentials")
    try:
        url = URL(domain if match["scheme"] else f"https://{domain}")
    except ValueError:
        url = URL()
    if not url.host or not url.port or not _is_ipv6(match["ipv6"] or "::"):
        raise UsageError("domain", "is not a valid host and port")
    if url.scheme != "https" and not _is_loopback(url.host):
        raise UsageError("domain", "must be https: plain http carries secrets in the clear, except on loopback")
    return url.origin()


def _is_ipv6(literal: str) -> bool:
    # yarl takes [1:2] for an address and writes it back as host 1, port 2.
    try:
        ipaddress.IPv6Address(literal)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _client_id(value: str) -> str:
    return _check.text("client_id", value, at_most=_check.MAX_CLIENT_ID)


@attrs.frozen
class Application:
    """An application registered at a tenant.

    Args:
        domain: The tenant's domain, or its URL; plain http on loopback only.
        client_id: The application's identifier.
        client_auth: How the application authenticates itself.

    Raises:
        UsageError: An argument is not of its form.
    """

    base: URL = attrs.field(converter=_base_url)
    client_id: str = attrs.field(converter=_client_id)
    client_auth: ClientAuth = attrs.field()
    origin: str = attrs.field(init=False)
    start_url: URL = attrs.field(init=False)
    token_url: URL = attrs.field(init=False)
    jwks_url: URL = attrs.field(init=False)

    @client_auth.validator
    def _check_client_auth(self, _attribute: object, value: object) -> None:
        # A class has what its instances have: NoClientAuth without its brackets would pass for one.
        if not isinstance(value, ClientAuth) or isinstance(value, type):
            raise UsageError("client_auth", "must be NoClientAuth() or ClientSecretPost(secret)")

    @origin.default
    def _origin(self) -> str:
        return str(self.base.origin())

    @start_url.default
    def _start_url(self) -> URL:
        return self.base / "passwordless/start"

    @token_url.default
    def _token_url(self) -> URL:
        return self.base / "oauth/token"

    @jwks_url.default
    def _jwks_url(self) -> URL:
        return self.base / ".well-known/jwks.json"

    @property
    def issuer(self) -> str:
        """The issuer of the tenant's ID tokens: its URL with a trailing slash."""
        return f"{self.origin}/"
