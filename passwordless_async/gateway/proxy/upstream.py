"""A service behind the gateway: which calls it gets, at which URL, with which header fields and time-outs.

Invariants:

- A call goes to the upstream with the longest prefix of its path, compared unchanged, segment by segment.
- The path after the prefix is appended to the path of the upstream's URL, unchanged.
- A user's token goes only to the upstream's origin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import cast

import attrs
from yarl import URL

from passwordless_async._common import arguments as _check
from passwordless_async._common.origin import parse_origin
from passwordless_async._common.secret import always_printable, conceal
from passwordless_async._common.validators import seconds, whole, whole_or_none
from passwordless_async.errors import UsageError
from passwordless_async.gateway.proxy import fields
from passwordless_async.gateway.proxy.paths import is_safe_path

_MAX_URL = 2048  # characters
_MEBIBYTE = 1 << 20


def _prefix(value: object) -> str:
    text = _check.text("prefix", value, at_most=_MAX_URL)
    if not is_safe_path(text) or ";" in text or "%" in text:
        raise UsageError("prefix", "must be a path such as '/api/': no dot segments, escapes or empty segments")
    return text if text.endswith("/") else f"{text}/"


def _url(value: object) -> URL:
    text = _check.text("url", conceal(str(value) if isinstance(value, URL) else value), at_most=_MAX_URL)
    origin, slash, path = text.partition("://")[2].partition("/")
    scheme = text.partition("://")[0]
    if not is_safe_path(f"/{path}"):
        raise UsageError("url", "must have a plain path: no query, dot segments or empty segments")
    base = parse_origin("url", f"{scheme}://{origin}" if "://" in text else text)
    return URL(f"{base}{slash}{path}".rstrip("/"), encoded=True)


def _words(value: object) -> frozenset[str]:
    words = " ".join(_check.words("scopes", value) if isinstance(value, str) else _check.texts("scopes", value))
    return frozenset((_check.scope(" ".join(words.split()), "scopes") or "").split()) if words else frozenset()


def _audience(value: object) -> str | None:
    return _check.optional("audience", value)


def _request_fields(names: Iterable[str]) -> frozenset[str]:
    return fields.REQUEST | fields.checked_names("headers", names)


def _response_fields(names: Iterable[str]) -> frozenset[str]:
    return fields.RESPONSE | fields.checked_names("response_headers", names)


@always_printable
@attrs.frozen
class Upstream:
    """A service behind the gateway.

    Args:
        prefix: The path below the gateway's mount, such as ``/api/``: the gateway forwards calls below it. With ``/``,
            it forwards all calls except those to its own pages.
        url: The service's URL; the path after the prefix is appended. ``https://api.example/v2`` gets ``/v2/me`` for
            ``/api/me``; plain http on loopback only.
        audience: The API that the access token must be for; the gateway's own if None. A session has one access token.
        scopes: The scopes that the user's token must have: a list, or a string separated by spaces. A user who lacks
            one gets a 403, and nothing is sent.
        headers: Names of further request header fields to forward; the documentation lists those that are always
            forwarded. Credentials, cookies and connection fields never are.
        response_headers: The same for responses. ``Set-Cookie`` lets the service set cookies, except the gateway's own.
        timeout: Seconds until the response begins, until the service accepts a piece of a request's body, and between
            two pieces of a response. An event stream must send a comment more often.
        connect_timeout: Seconds that a connection may take.
        upload_timeout: Seconds that a browser may take to send the next piece of a body.
        max_request_bytes: The maximum size of a request's body; a larger one gets a 413.
        max_response_bytes: The maximum size of a response's body; None: unlimited.
        max_message_bytes: The maximum size of a WebSocket message, in both directions.
        max_connections: The maximum number of connections to the service. Further calls wait for one, up to
            ``timeout``; twice as many may wait, and more get a 503.
        max_per_session: The maximum number of simultaneous calls of one session, and of WebSockets; more get a 429.
            All sessions of a user together may have half of ``max_connections`` or ``max_sockets``, if that is more.
        max_sockets: The maximum number of WebSockets to the service; more get a 503.

    Raises:
        UsageError: An argument has a wrong type or value.
    """

    prefix: str = attrs.field(converter=_prefix)
    url: URL = attrs.field(converter=_url)
    audience: str | None = attrs.field(default=None, kw_only=True, converter=_audience)
    scopes: frozenset[str] = attrs.field(default=frozenset(), kw_only=True, converter=_words)
    headers: frozenset[str] = attrs.field(default=(), kw_only=True, converter=_request_fields)
    response_headers: frozenset[str] = attrs.field(default=(), kw_only=True, converter=_response_fields)
    timeout: float = attrs.field(default=60.0, kw_only=True, validator=seconds)
    connect_timeout: float = attrs.field(default=3.0, kw_only=True, validator=seconds)
    upload_timeout: float = attrs.field(default=60.0, kw_only=True, validator=seconds)
    max_request_bytes: int = attrs.field(default=100 * _MEBIBYTE, kw_only=True, validator=whole)
    max_response_bytes: int | None = attrs.field(default=None, kw_only=True, validator=whole_or_none)
    max_message_bytes: int = attrs.field(default=4 * _MEBIBYTE, kw_only=True, validator=whole)
    max_connections: int = attrs.field(default=200, kw_only=True, validator=whole)
    max_per_session: int = attrs.field(default=50, kw_only=True, validator=whole)
    max_sockets: int = attrs.field(default=2000, kw_only=True, validator=whole)
    origin: str = attrs.field(init=False, repr=False)
    _base: str = attrs.field(init=False, repr=False)

    @origin.default
    def _make_origin(self) -> str:
        return str(self.url.origin())

    @_base.default
    def _make_base(self) -> str:
        return self.url.raw_path.rstrip("/")

    def is_above(self, path: str) -> bool:
        """Return whether a path below the mount, as it came, goes to this upstream."""
        return path.startswith(self.prefix) or f"{path}/" == self.prefix

    def target(self, path: str, query: str) -> URL:
        """Return the URL of a call, by its path below the mount and its query, as they came."""
        below = path[len(self.prefix) - 1 :]
        asked = f"?{query}" if query else ""
        return URL(f"{self.origin}{self._base}{below or ('' if self._base else '/')}{asked}", encoded=True)

    def location(self, value: str, mount: str) -> str:
        """Return the ``Location`` for the browser: below the prefix, if the response's is below the upstream's URL."""
        rest = value.removeprefix(self.origin) if value.startswith((f"{self.origin}/", "/")) else value
        if not rest.startswith(f"{self._base}/") or rest.startswith("//"):
            return value
        return f"{mount}{self.prefix}{rest[len(self._base) + 1 :]}"


def _require_a_prefix_each(upstreams: Iterable[Upstream]) -> None:
    for prefix, number in Counter(upstream.prefix for upstream in upstreams).items():
        if number > 1:
            raise UsageError("upstreams", f"must have a prefix each: {number} have {prefix}")


def checked_upstreams(upstreams: object, *, audience: str | None, reserved: Iterable[str]) -> tuple[Upstream, ...]:
    """Return a gateway's upstreams, those with the longest prefixes first.

    Args:
        upstreams: The argument.
        audience: The API that the gateway's access tokens are for.
        reserved: The first segments of the gateway's own paths.

    Raises:
        UsageError: One is not an upstream, two have the same prefix, or one has a prefix of the gateway's own pages or
            another audience.
    """
    alone = isinstance(upstreams, str | bytes) or not isinstance(upstreams, Iterable)
    values = (upstreams,) if alone else tuple(cast("Iterable[object]", upstreams))
    given = tuple(_check.instance("upstreams", value, Upstream, named="an Upstream") for value in values)
    taken = set(reserved)
    for upstream in given:
        first = upstream.prefix.split("/")[1]
        if first in taken - {""}:
            raise UsageError("upstreams", f"must not have the prefix /{first}: the gateway answers there itself")
        if upstream.audience not in {None, audience}:
            raise UsageError("upstreams", "must not have another audience: a session has one access token")
    _require_a_prefix_each(given)
    return tuple(sorted(given, key=lambda upstream: -len(upstream.prefix)))
