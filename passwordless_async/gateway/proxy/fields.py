"""Which header fields go on: those on a list, in both directions, and none that belongs to a connection.

Invariants:

- What is not on the list stays here: a browser's cookies, its ``Authorization`` and its ``X-Forwarded-*`` never reach
  an upstream. Those that name the browser's address are set anew.
- Fields of a connection are not passed on, nor are those that ``Connection`` names (RFC 9110 §7.6.1).
- A value that a header field cannot carry is not passed on.
- An upstream sets no cookie unless it is allowed to, and never one of the gateway's own.
- A response that would have been private to a request with ``Authorization`` stays private (RFC 9111 §3.5): shared
  caches before the gateway see a cookie alone.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from passwordless_async._common import arguments as _check
from passwordless_async.dpop import parse_www_authenticate
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from multidict import MultiMapping

    from passwordless_async._common.user_address import IpAddress

# RFC 9110 §7.6.1, and what else belongs to one connection.
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
"""Of a request, in lower case; ``traceparent`` and ``tracestate`` go on as well."""
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
        "x-content-type-options",
        "x-frame-options",
        "x-request-id",
    }
)
"""Of a response, in lower case."""
# Never, whatever a team allows: credentials, framing, the handshake, and what the gateway sets itself.
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
_ASKED = re.compile(r"[\t -~]*")  # a request's field: ASCII, for the two ends might read the rest in two encodings
_ANSWERED = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACE = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_SHARED = re.compile(r"(?i)(?:^|[\s,])(?:public|private|no-store|s-maxage|must-revalidate)\b")
_SCHEMES = frozenset({"dpop", "bearer"})
_IPV6 = 6


def named(argument: str, names: object) -> frozenset[str]:
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


def asked(headers: MultiMapping[str], allowed: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield the fields of a request that are passed on; ``allowed`` are names in lower case."""
    left = _beyond_connection(headers, allowed)
    for name, value in headers.items():
        if name.lower() in left and _ASKED.fullmatch(value) is not None:
            yield name, value
    traces = headers.getall("traceparent", [])
    if len(traces) == 1 and _TRACE.fullmatch(traces[0]) is not None:
        yield "traceparent", traces[0]
        for state in headers.getall("tracestate", []):
            if _ASKED.fullmatch(state) is not None:
                yield "tracestate", state


@lru_cache(maxsize=1024)  # the calls of one page come from one address
def forwarded(address: IpAddress | None, scheme: str, host: str, prefix: str) -> tuple[tuple[str, str], ...]:
    """Return the fields that tell an upstream whom it answers (RFC 7239)."""
    where = ("X-Forwarded-Proto", scheme), ("X-Forwarded-Host", host), ("X-Forwarded-Prefix", prefix)
    at = f'proto={scheme};host="{host}"'
    if address is None:
        return (*where, ("Forwarded", at))
    known = f'for="[{address}]"' if address.version == _IPV6 else f"for={address}"
    return (("X-Forwarded-For", str(address)), *where, ("Forwarded", f"{known};{at}"))


def answered(
    headers: MultiMapping[str], allowed: frozenset[str], *, cookies: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """Yield the fields of a response that are passed on.

    Args:
        headers: What the upstream sent.
        allowed: Names in lower case.
        cookies: The names of the gateway's own cookies.
    """
    left = _beyond_connection(headers, allowed)
    for name, value in headers.items():
        lower = name.lower()
        if lower in left and _ANSWERED.fullmatch(value) is not None and _is_harmless(lower, value, cookies):
            yield name, value
    control = headers.getall("Cache-Control", [])
    if not control:
        yield "Cache-Control", "no-store"
    elif _SHARED.search(",".join(control)) is None:
        yield "Cache-Control", "private"
    if "X-Content-Type-Options" not in headers:
        # A response that a browser takes for a page would run on the site that has the sessions.
        yield "X-Content-Type-Options", "nosniff"


def _is_harmless(name: str, value: str, cookies: frozenset[str]) -> bool:
    if name == "set-cookie":
        # One without a name, or without a value, could pass for another (RFC 6265bis §5.6).
        own, equals, _ = value.partition(";")[0].partition("=")
        return bool(equals and own.strip()) and own.strip() not in cookies
    if name == "www-authenticate":
        # Browsers would ask for a password.
        return all(challenge.scheme in _SCHEMES for challenge in parse_www_authenticate([value]))
    return True


def _beyond_connection(headers: MultiMapping[str], allowed: frozenset[str]) -> frozenset[str]:
    """Return the names that ``Connection`` does not name."""
    listed = headers.getall("Connection", ())
    return allowed - {name.strip().lower() for name in ",".join(listed).split(",")} if listed else allowed


def step_up_of(headers: MultiMapping[str]) -> Mapping[str, str] | None:
    """Return what a login must fulfil that an upstream asks for: ``max_age``, ``acr_values``; None if it asks for none.

    RFC 9470 §3.
    """
    for challenge in parse_www_authenticate(headers.getall("WWW-Authenticate", [])):
        given = challenge.parameters
        if challenge.scheme in _SCHEMES and given.get("error") == "insufficient_user_authentication":
            return {name: given[name] for name in ("max_age", "acr_values") if given.get(name)}
    return None
