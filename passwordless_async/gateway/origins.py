"""A ``base_url`` that is not what browsers see: one line in the log says so.

Nothing is decided by it: ``Host`` and the fields of proxies can be forged.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from yarl import URL

    from passwordless_async.gateway.messages import Request
    from passwordless_async.gateway.settings import Settings

_log = logging.getLogger("passwordless_async")
_SHOWN = re.compile(r"(?:https?://)?[A-Za-z0-9.:\[\]-]{1,255}")


@attrs.define(eq=False)
class OriginWatch:
    """Warns once, of the first request that came to another origin."""

    _has_warned: bool = attrs.field(default=False, init=False)

    def look(self, request: Request, settings: Settings) -> None:
        """Warn if a request came to another origin than ``base_url``."""
        if self._has_warned:
            return
        seen, expected = _seen(request, settings), str(settings.base_url)
        if seen is None or _is_of(settings.base_url, seen.lower()) or not _SHOWN.fullmatch(seen):
            return
        self._has_warned = True
        _log.warning(
            "base_url: a request came to %s, but base_url is %s. If browsers use that name, forms will be refused and "
            "links will lead elsewhere: base_url must be the origin that browsers see",
            seen,
            expected,
        )


def _is_of(base_url: URL, seen: str) -> bool:
    """Return whether an origin, or a host, is that of ``base_url``; proxies may write its port, which browsers omit."""
    origins = str(base_url), f"{base_url.scheme}://{base_url.host_subcomponent}:{base_url.port}"
    return seen in {*origins, *(origin.partition("://")[2] for origin in origins)}


def _seen(request: Request, settings: Settings) -> str | None:
    """Return the origin of a page of the site, or the host that a request names; None if neither is known."""
    headers = request.headers
    if headers.get("Sec-Fetch-Site") == "same-origin" and headers.get("Origin"):
        return headers["Origin"]
    # A proxy may put its own name for the gateway into Host.
    return headers.get("X-Forwarded-Host" if settings.trusted_proxies else "Host")
