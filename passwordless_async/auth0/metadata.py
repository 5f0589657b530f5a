"""The tenant's metadata (OpenID Connect Discovery §4): its endpoints, including those for client certificates.

Invariants:

- The issuer is the one that the caller configured. Metadata of another one is refused (RFC 8414 §3.3), and ID tokens
  are checked against it, wherever the endpoints are.
- An endpoint is https, without credentials in it. If the tenant is plain http on loopback, endpoints may be so too.
- An application with a client certificate uses the aliases for it (RFC 8705 §5).
- Metadata does not list some of Auth0's own endpoints. These move with their neighbours, so an application with a
  client certificate uses it there too.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING

import attrs
from yarl import URL

from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async._common.origin import parse_origin
from passwordless_async.auth0.application import PATHS, Application
from passwordless_async.auth0.client_auth import TlsClientAuth
from passwordless_async.errors import MalformedAnswer, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_AGE_SECONDS = 86_400.0  # a tenant that moves its endpoints keeps the old ones for longer
_RETRY_SECONDS = 60.0  # after a renewal that failed
_MAX_URL = 2048  # characters
_METADATA_NAMES = {
    "token_url": "token_endpoint",
    "revoke_url": "revocation_endpoint",
    "userinfo_url": "userinfo_endpoint",
    "mfa_challenge_url": "mfa_challenge_endpoint",
    "jwks_url": "jwks_uri",
}
# Endpoints that metadata may not list, and their neighbours at the same place; in this order.
_NEIGHBOURS = {
    "start_url": "token_url",
    "otp_challenge_url": "token_url",
    "mfa_challenge_url": "token_url",
    "mfa_associate_url": "mfa_challenge_url",
    "mfa_authenticators_url": "mfa_challenge_url",
}


@attrs.define(eq=False)
class Metadata:
    """When the metadata is read; kept for the client's lifetime. Without ``wanted``, it never is."""

    wanted: bool = False
    _is_read: bool = attrs.field(default=False, init=False)
    _due_at: float = attrs.field(default=-math.inf, init=False)

    @property
    def due(self) -> bool:
        """Whether to read the metadata before the next request."""
        return self.wanted and _clock.monotonic() >= self._due_at

    def has_read(self) -> None:
        """Record that the metadata was read."""
        self._is_read, self._due_at = True, _clock.monotonic() + _MAX_AGE_SECONDS

    def may_go_on(self) -> bool:
        """Record that the metadata could not be read; return whether there is older metadata, which stays in use."""
        if self._is_read:
            self._due_at = _clock.monotonic() + _RETRY_SECONDS
        return self._is_read


def metadata_request(application: Application) -> HttpRequest:
    """Build the request for the metadata, which has no secrets: equal requests in flight may share one response."""
    return HttpRequest("GET", application.base / ".well-known/openid-configuration", {}, shareable=True)


def read_endpoints(application: Application, response: HttpResponse) -> Mapping[str, URL]:
    """Return the endpoints in the metadata, by the names of the application's attributes.

    Raises:
        MalformedAnswer: It is another issuer's, or an endpoint's URL is not allowed.
    """
    if response.status == HTTPStatus.NOT_FOUND:
        return {}  # the tenant publishes none, so its endpoints are at the domain
    if response.status != HTTPStatus.OK:
        raise MalformedAnswer("the tenant's metadata cannot be read", status=response.status)
    document = response.require_json_object()
    if document.get("issuer") != application.issuer:
        raise MalformedAnswer(f"the metadata's issuer is not {application.issuer}", status=response.status)
    aliases = document.get("mtls_endpoint_aliases") if isinstance(application.client_auth, TlsClientAuth) else None
    named = {**document, **(aliases if isinstance(aliases, dict) else {}), "jwks_uri": document.get("jwks_uri")}
    endpoints = {
        attribute: endpoint_of(name, named[name], response.status, scheme=application.base.scheme)
        for attribute, name in _METADATA_NAMES.items()
        if named.get(name) is not None
    }
    return _with_neighbours(endpoints)


def endpoint_of(name: str, value: object, status: int, *, scheme: str) -> URL:
    """Return an endpoint of a metadata document.

    Raises:
        MalformedAnswer: Its URL is not allowed: it is neither https nor of the issuer's own ``scheme``, it is plain
            http but not on loopback, or it has credentials in it.
    """
    try:
        url = URL(value) if isinstance(value, str) and len(value) <= _MAX_URL else URL()
        is_plain = url.user is None and url.password is None and not url.raw_fragment
        if is_plain and url.scheme in {"https", scheme}:
            parse_origin(name, str(url.origin()))
            return url
    except (ValueError, UsageError):
        pass
    raise MalformedAnswer(f"the metadata's {name} is not a URL that may be sent to", status=status)


def _with_neighbours(endpoints: dict[str, URL]) -> dict[str, URL]:
    """Return the endpoints, with unlisted ones next to their neighbours, if a neighbour has its usual path."""
    for attribute, neighbour in _NEIGHBOURS.items():
        place = str(endpoints.get(neighbour, "")).removesuffix(PATHS[neighbour])
        if attribute not in endpoints and place.endswith("/"):
            endpoints[attribute] = URL(place + PATHS[attribute])
    return endpoints
