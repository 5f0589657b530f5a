"""Origins that requests may be sent to: https, or http on loopback."""

from __future__ import annotations

import ipaddress
import re

from yarl import URL

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import conceal
from passwordless_async.errors import UsageError

_HOST_NAMED = "a host name, or an origin such as https://acme.example,"
_NAMED = "an origin such as https://app.example, or on loopback http://127.0.0.1:8000,"
_MAX_LENGTH = 300  # characters: a DNS name of 253, a scheme and a port
# A DNS name or an IP literal: no path, query, credentials or characters beyond ASCII.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_AUTHORITY = rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::[0-9]{{1,5}})?/?"
_ORIGIN = re.compile(rf"https?://{_AUTHORITY}")
_HOST_OR_ORIGIN = re.compile(rf"(?:https?://)?{_AUTHORITY}")


def parse_origin(argument: str, value: object, *, may_be_host: bool = False) -> URL:
    """Return the origin of a URL without a path.

    Args:
        argument: The name of the argument, for the error.
        value: ``https://acme.example:8443`` or, on loopback, ``http://127.0.0.1:8080``.
        may_be_host: Whether a host name such as ``acme.example`` stands for its https origin.

    Raises:
        UsageError: It is something else.
    """
    # Concealed: a URL that is refused may have credentials.
    value = _check.bounded(argument, conceal(value), at_most=_MAX_LENGTH)
    form, named = (_HOST_OR_ORIGIN, _HOST_NAMED) if may_be_host else (_ORIGIN, _NAMED)
    match = form.fullmatch(value)
    if match is None:
        raise UsageError(argument, f"must be {named} without a path, query or credentials")
    url = _url(value if "://" in value else f"https://{value}", match["ipv6"])
    if url is None:
        raise UsageError(argument, "is not a valid host and port")
    _require_https(argument, url)
    return url.origin()


def _require_https(argument: str, url: URL) -> None:
    if url.scheme != "https" and not is_loopback(url.host or ""):
        raise UsageError(argument, "must be https: plain http carries secrets in the clear, except on loopback")


def _url(text: str, ipv6: str | None) -> URL | None:
    # yarl accepts [1:2] as an address and writes it as host 1, port 2.
    if ipv6 is not None and not isinstance(_address(ipv6), ipaddress.IPv6Address):
        return None
    try:
        url = URL(text)
        # Decoding the host fails for an invalid A-label, encoding it for one that is too long.
        return url if url.host and url.port and url.host.encode("idna") else None
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def origin_of(url: object) -> str:
    """Return the origin of an absolute https URL, or of an http one on loopback, as text.

    Raises:
        UsageError: The URL is relative, of another scheme, or would be requested in the clear.
    """
    try:
        origin = URL(url).origin()  # type: ignore[arg-type] # TypeError is caught
    except (ValueError, TypeError):
        origin = URL()
    if origin.scheme not in {"https", "http"}:
        raise UsageError("url", "must be an absolute http or https URL")
    _require_https("url", origin)
    return str(origin)
