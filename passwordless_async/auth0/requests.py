"""Requests to the tenant: client ID, credentials, and a body in the endpoint's encoding."""

from __future__ import annotations

import json
import re
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from passwordless_async._common.http import HttpRequest
from passwordless_async._common.secret import Secret, SecretBytes, SecretList
from passwordless_async._common.user_address import IpAddress, user_address
from passwordless_async.auth0.client_auth import ForwardedFor
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL

    from passwordless_async.auth0.application import Application


def form_request(
    application: Application, url: URL, fields: Mapping[str, str | None], headers: Mapping[str, str] | None = None
) -> HttpRequest:
    """Build a request with a form, for the OAuth endpoints; fields that are None are left out."""
    credentials = application.client_auth.credentials(application.client_id, application.issuer, "form")
    parameters = {"client_id": application.client_id, **fields, **credentials.parameters}
    pairs = SecretList([f"{name}={_encoded(name, value)}" for name, value in parameters.items() if value is not None])
    return HttpRequest(
        "POST",
        url,
        {"Content-Type": "application/x-www-form-urlencoded", **(headers or {}), **credentials.headers},
        SecretBytes("&".join(pairs).encode()),
        secrets=_texts(parameters) + _texts(credentials.headers),
    )


def json_request(
    application: Application, url: URL, members: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> HttpRequest:
    """Build a request with JSON, for Auth0's own endpoints; members that are None are left out."""
    credentials = application.client_auth.credentials(application.client_id, application.issuer, "json")
    given = {name: value for name, value in members.items() if value is not None}
    body = SecretBytes(json.dumps({"client_id": application.client_id, **given, **credentials.parameters}).encode())
    return HttpRequest(
        "POST",
        url,
        {"Content-Type": "application/json", **(headers or {}), **credentials.headers},
        body,
        secrets=_secrets(given, credentials.parameters, credentials.headers),
    )


def forwarded_for_header(application: Application, address: IpAddress | str | None) -> dict[str, str]:
    """Return the header that tells the service the end user's address, for rate limits and attack protection.

    The service uses it if the application authenticates itself with a client secret, and silently ignores it from a
    public one. For an assertion or a certificate that is not documented.

    Raises:
        UsageError: The address is not one address or cannot be a user's, or the application is public.
    """
    if address is None:
        return {}
    address = user_address("forwarded_for", address)
    use = application.client_auth.forwarded_for
    if use is ForwardedFor.IGNORED:
        raise UsageError("forwarded_for", "the service ignores it for a public client: client_auth is needed")
    if use is ForwardedFor.UNDOCUMENTED:
        warnings.warn(
            f"whether the service uses forwarded_for with {type(application.client_auth).__name__} is not documented;"
            " if it does not, all users share one address's limits",
            stacklevel=2,
        )
    return {"auth0-forwarded-for": str(address)}


def _encoded(name: str, value: str) -> str:
    """Encode a value for a form; the names need no encoding.

    For ASCII, it takes a third of the time of ``quote_plus``, with which the tests compare it.
    """
    if not value.isascii():
        return quote_plus(value)
    if value.isalnum():
        return value
    return _encoded_again(value) if name in _REPEATED else _UNSAFE.sub(_quote, value)


@lru_cache(maxsize=64)
def _encoded_again(value: str) -> str:
    return _UNSAFE.sub(_quote, value)


def _quote(match: re.Match[str]) -> str:
    return _QUOTED[match[0]]


# RFC 3986 §2.3: these characters stand for themselves; a form writes a blank as a plus.
_UNSAFE = re.compile(r"[^A-Za-z0-9_.\-~]")
_QUOTED = {**{chr(code): f"%{code:02X}" for code in range(128)}, " ": "+"}
# An application sends the same few values of these. Others are not cached: the cache would keep secrets and addresses.
_REPEATED = frozenset({"grant_type", "scope", "audience"})


def _texts(part: Mapping[str, str | None]) -> tuple[Secret, ...]:
    """Return the secrets among the values of a flat mapping."""
    return tuple([value for value in part.values() if isinstance(value, Secret)]) if part else ()


def _secrets(*parts: Mapping[Any, Any]) -> tuple[Secret, ...]:
    """Return the secrets in a body, at any depth."""
    secrets: list[Secret] = []
    for part in parts:
        for value in part.values():
            if isinstance(value, Secret):
                secrets.append(value)
            elif isinstance(value, dict):
                secrets += _secrets(value)
            elif isinstance(value, list | tuple):
                secrets += _secrets(dict(enumerate(value)))
    return tuple(secrets)
