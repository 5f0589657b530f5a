"""Which header fields are forwarded: those on a list, in both directions, and none that belongs to a connection.

Invariants:

- Fields that are not on the list are not forwarded: a browser's cookies, ``Authorization`` and ``X-Forwarded-*`` never
  reach an upstream. The gateway writes its own fields with the browser's address.
- Fields of a connection are not forwarded, nor are those that ``Connection`` names (RFC 9110 §7.6.1).
- An invalid field value is not forwarded.
- An upstream sets no cookie unless it is allowed to, and never one of the gateway's own.
- A response that is private because its request has ``Authorization`` stays private (RFC 9111 §3.5): shared caches in
  front of the gateway see only a cookie.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from passwordless_async._common import arguments as _check
from passwordless_async.dpop import parse_www_authenticate
from passwordless_async.dpop.challenge import has_only
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from multidict import MultiMapping

    from passwordless_async._common.user_address import IpAddress

# RFC 9110 §7.6.1, and other fields of one connection.
_OF_A_CONNECTION = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
REQUEST: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "content-encoding",
        "content-language",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "last-event-id",
        "pragma",
        "prefer",
        "priority",
        "range",
        "user-agent",
        "x-request-id",
        "x-requested-with",
    }
)
"""Of a request, in lower case; ``traceparent`` and ``tracestate`` are forwarded as well."""
RESPONSE: Final = frozenset(
    {
        "accept-patch",
        "accept-post",
        "accept-ranges",
        "age",
        "allow",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-range",
        "content-security-policy",
        "content-type",
        "deprecation",
        "etag",
        "expires",
        "last-modified",
        "link",
        "location",
        "preference-applied",
        "ratelimit",
        "ratelimit-limit",
        "ratelimit-policy",
        "ratelimit-remaining",
        "ratelimit-reset",
        "referrer-policy",
        "retry-after",
        "server-timing",
        "sunset",
        "traceresponse",
        "vary",
        "www-authenticate",
        "x-frame-options",
        "x-request-id",
    }
)
"""Of a response, in lower case."""
# Never, whatever a team allows: credentials, framing, the handshake, and the fields that the gateway sets itself.
_NEVER = (
    frozenset(
        {
            "authorization",
            "content-length",
            "cookie",
            "dpop",
            "dpop-nonce",
            "expect",
            "forwarded",
            "host",
            "origin",
            "proxy-authenticate",
            "proxy-authorization",
            "sec-fetch-site",
            "x-content-type-options",
            "x-csrf",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-prefix",
            "x-forwarded-proto",
            "x-real-ip",
        }
    )
    | _OF_A_CONNECTION
)
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}")  # RFC 9110 §5.1
_REQUEST_VALUE = re.compile(r"[\t -~]*")  # ASCII, because the two ends might decode the rest differently
_RESPONSE_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACE = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
# ``private`` with names of fields lets a shared cache store the rest (RFC 9111 §5.2.2.7).
_SHARED = re.compile(r"(?i)(?:^|,)[ \t]*(?:(?:public|private|no-store|must-revalidate)[ \t]*(?:,|\Z)|s-maxage[ \t]*=)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)')  # it may lack its end
_SCHEMES = frozenset({"dpop", "bearer"})
_IPV6 = 6


def checked_names(argument: str, names: object) -> frozenset[str]:
    """Return further names of header fields, in lower case; others raise :class:`UsageError`."""
    if isinstance(names, str) or not hasattr(names, "__iter__"):
        raise UsageError(argument, "must be a list of names of header fields")
    checked = frozenset(_check.text(argument, name, at_most=100).lower() for name in names)
    if any(_NAME.fullmatch(name) is None for name in checked):
        raise UsageError(argument, "must be names of header fields")
    refused = checked & (_NEVER | {name for name in checked if name.startswith(("sec-", "access-control-"))})
    if refused:
        raise UsageError(argument, f"must not have {', '.join(sorted(refused))}: it is never passed on")
    return checked


def of_request(headers: MultiMapping[str], allowed: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield the fields of a request that are forwarded; ``allowed`` are names in lower case."""
    left = _beyond_connection(headers, allowed)
    for name, value in headers.items():
        if name.lower() in left and _REQUEST_VALUE.fullmatch(value) is not None:
            yield name, value
    traces = headers.getall("traceparent", [])
    if len(traces) == 1 and _TRACE.fullmatch(traces[0]) is not None:
        yield "traceparent", traces[0]
        for state in headers.getall("tracestate", []):
            if _REQUEST_VALUE.fullmatch(state) is not None:
                yield "tracestate", state


@lru_cache(maxsize=1024)  # the calls of one page come from one address
def forwarded(address: IpAddress | None, scheme: str, host: str, prefix: str) -> tuple[tuple[str, str], ...]:
    """Return the fields with the user's address and the site, for an upstream (RFC 7239)."""
    where = ("X-Forwarded-Proto", scheme), ("X-Forwarded-Host", host), ("X-Forwarded-Prefix", prefix)
    at = f'proto={scheme};host="{host}"'
    if address is None:
        return (*where, ("Forwarded", at))
    known = f'for="[{address}]"' if address.version == _IPV6 else f"for={address}"
    return (("X-Forwarded-For", str(address)), *where, ("Forwarded", f"{known};{at}"))


def of_response(
    headers: MultiMapping[str], allowed: frozenset[str], *, cookies: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """Yield the fields of a response that are forwarded.

    Args:
        headers: The upstream's fields.
        allowed: Names in lower case.
        cookies: The names of the gateway's own cookies.
    """
    left = _beyond_connection(headers, allowed)
    control: list[str] = []  # only what is forwarded counts
    for name, value in headers.items():
        lower = name.lower()
        if lower in left and _RESPONSE_VALUE.fullmatch(value) is not None and _is_harmless(lower, value, cookies):
            yield name, value
            if lower == "cache-control":
                control.append(value)
    if not control:
        yield "Cache-Control", "no-store"
    elif _SHARED.search(_QUOTED.sub("", ",".join(control))) is None:
        yield "Cache-Control", "private"
    # If a browser treated a response as a page, its scripts would run on the site that has the sessions.
    yield "X-Content-Type-Options", "nosniff"


def _is_harmless(name: str, value: str, cookies: frozenset[str]) -> bool:
    if name == "set-cookie":
        # A cookie without a name, or without a value, could be read as another one (RFC 6265bis §5.6).
        own, equals, _ = value.partition(";")[0].partition("=")
        return bool(equals and own.strip()) and own.strip() not in cookies
    if name == "www-authenticate":
        # Browsers would ask for a password.
        return has_only(value, _SCHEMES)
    return True


def _beyond_connection(headers: MultiMapping[str], allowed: frozenset[str]) -> frozenset[str]:
    """Return the names that ``Connection`` does not name."""
    listed = headers.getall("Connection", ())
    return allowed - {name.strip().lower() for name in ",".join(listed).split(",")} if listed else allowed


def step_up_of(headers: MultiMapping[str]) -> Mapping[str, str] | None:
    """Return an upstream's demands on the login: ``max_age``, ``acr_values``; None if it demands none.

    RFC 9470 §3.
    """
    for challenge in parse_www_authenticate(headers.getall("WWW-Authenticate", [])):
        given = challenge.parameters
        if challenge.scheme in _SCHEMES and given.get("error") == "insufficient_user_authentication":
            return {name: given[name] for name in ("max_age", "acr_values") if given.get(name)}
    return None
