"""Where requests may go: an origin, by https, or by http on loopback."""

from __future__ import annotations

import ipaddress
import re

from yarl import URL

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import conceal
from passwordless_async.errors import UsageError

_MAX_LENGTH = 300  # characters: a DNS name of 253, a scheme and a port
# A DNS name, or an IP literal; a path, a query, credentials and other scripts find no place in it.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_ORIGIN = re.compile(
    rf"(?:(?P<scheme>https?)://)?(?:{_LABEL}(?:\.{_LABEL})*\.?|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::[0-9]{{1,5}})?/?"
)


def parse_origin(argument: str, value: object) -> URL:
    """Return the origin of a host name or of a URL without a path.

    Args:
        argument: The name of the argument, for the error.
        value: ``acme.example``, ``https://acme.example:8443`` or, on loopback, ``http://127.0.0.1:8080``.

    Raises:
        UsageError: It is something else.
    """
    # Concealed: what is refused may hold credentials.
    value = _check.bounded(argument, conceal(value), at_most=_MAX_LENGTH)
    match = _ORIGIN.fullmatch(value)
    if match is None:
        raise UsageError(argument, "must be a host name, with a port at most: no path, query or credentials")
    try:
        url = URL(value if match["scheme"] else f"https://{value}")
        # Decoding the name is what fails for an A-label that is none; encoding it, for one that is too long.
        named = bool(url.host and url.port and url.host.encode("idna"))
    except ValueError:
        named = False
    if not named or not _is_ipv6(match["ipv6"] or "::"):
        raise UsageError(argument, "is not a valid host and port")
    if url.scheme != "https" and not _is_loopback(url.host or ""):
        raise UsageError(argument, "must be https: plain http carries secrets in the clear, except on loopback")
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


def origin_of(url: object) -> str:
    """Return the origin of an absolute http or https URL, as text.

    Raises:
        UsageError: It is not one.
    """
    try:
        origin = str(URL(url).origin())  # type: ignore[arg-type] # checked by trying
    except (ValueError, TypeError):
        origin = ""
    if not origin.startswith(("https://", "http://")):
        raise UsageError("url", "must be an absolute http or https URL")
    return origin
