"""Which calls are forwarded, decided before the session is read.

Invariants:

- A call that changes something is forwarded only from a page of this site, or from a program that sends ``X-CSRF``.
  A WebSocket is such a call: browsers send cookies with it, whatever page opens it.
- A call that reads is forwarded from another site only if a user follows a link: a page of another site learns nothing
  about an API's responses, not even their size or errors.
- A request whose body has an ambiguous framing is refused.
"""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

import attrs

from passwordless_async.gateway.browser import has_csrf_header, is_from_this_site
from passwordless_async.gateway.framing import Framing, framing_of
from passwordless_async.gateway.proxy.paths import is_safe_path, is_safe_query

if TYPE_CHECKING:
    from multidict import MultiMapping

    from passwordless_async.gateway.proxy.messages import ProxiedRequest

_log = logging.getLogger("passwordless_async")

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
# CONNECT is a tunnel, TRACE and TRACK return the credentials that came with them (RFC 9110 §9.3.6, §9.3.8).
_REFUSED = frozenset({"CONNECT", "TRACE", "TRACK"})
_METHOD = re.compile(r"[A-Z][A-Z\-]{0,31}")


@attrs.frozen
class Refusal(Exception):
    """A call that is not forwarded.

    Attributes:
        key: The text's key.
        status: The HTTP status.
        seconds: Seconds until the same call may be forwarded; None if unknown.
    """

    key: str
    status: int
    seconds: int | None = None


def admit(request: ProxiedRequest, *, origin: str, at_most: int, prefix: str) -> Framing:
    """Return the framing of a call that may be forwarded.

    Args:
        request: The call.
        origin: The site's origin.
        at_most: Bytes that its body may have.
        prefix: The upstream's prefix, for the log.

    Raises:
        Refusal: It may not.
    """
    if _METHOD.fullmatch(request.method) is None or request.method in _REFUSED:
        raise Refusal("not_allowed", HTTPStatus.METHOD_NOT_ALLOWED)
    if not is_safe_path(request.path) or not is_safe_query(request.query):
        raise Refusal("unclear_address", HTTPStatus.BAD_REQUEST)
    framing = _framing(request)
    if framing.length is not None and framing.length > at_most:
        raise Refusal("too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    if not _is_wanted(request, origin):
        # Not the path: it is of any form, and may hold a code.
        _log.debug("%s to the upstream %s is refused as csrf: %s", request.method, prefix, _lacking(request, origin))
        raise Refusal("csrf", HTTPStatus.FORBIDDEN)
    return framing


def _framing(request: ProxiedRequest) -> Framing:
    framing = framing_of(request.headers)
    if framing is None:
        raise Refusal("malformed_request", HTTPStatus.BAD_REQUEST)
    if request.unframed and framing.length is None and request.method not in _READS:
        return Framing(has_body=True, length=None)
    return framing


def is_navigation(headers: MultiMapping[str]) -> bool:
    """Return whether a browser shows the response as a page: by ``Sec-Fetch-Mode``, or else by ``Accept``."""
    modes = headers.getall("Sec-Fetch-Mode", [])
    return modes == ["navigate"] if modes else "text/html" in ",".join(headers.getall("Accept", []))


def _is_followed_link(headers: MultiMapping[str]) -> bool:
    """Return whether a browser opens a top-level page, and not a frame or another object in a page."""
    targets = headers.getall("Sec-Fetch-Dest", ["document"])
    return headers.getall("Sec-Fetch-Mode", []) == ["navigate"] and targets == ["document"]


def _is_wanted(request: ProxiedRequest, origin: str) -> bool:
    headers = request.headers
    sites = headers.getall("Sec-Fetch-Site", [])
    if request.method in _READS and not request.socket:
        # "none": the user typed the address, or a program sent the request.
        return not sites or sites in (["same-origin"], ["none"]) or _is_followed_link(headers)
    if sites or headers.getall("Origin", []):
        return is_from_this_site(headers, origin=origin, token=None, secrets=())
    return has_csrf_header(headers)


def _lacking(request: ProxiedRequest, origin: str) -> str:
    """Return what a call lacks, without quoting it."""
    if request.method in _READS and not request.socket:
        return "another site may only link to it; a page of this site sends Sec-Fetch-Site: same-origin"
    return (
        f"a call that changes something needs Sec-Fetch-Site: same-origin; without that field, Origin: {origin}; "
        "without both, the header field X-CSRF: 1"
    )
