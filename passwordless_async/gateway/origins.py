"""Logs one warning if ``base_url`` is not the origin that browsers see.

No decision depends on it, because ``Host`` and the fields of proxies can be forged.
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
    """Warns once, at the first request to another origin than ``base_url``."""

    _settings: Settings
    _own: frozenset[str] = attrs.field(init=False)
    _has_warned: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._own = _names_of(self._settings.base_url)

    def look(self, request: Request) -> None:
        """Warn if a request came to another origin."""
        if self._has_warned:
            return
        seen = _origin_or_host(request, self._settings)
        if seen is None or seen.lower() in self._own or not _SHOWN.fullmatch(seen):
            return
        self._has_warned = True
        _log.warning(
            "base_url: a request came to %s, but base_url is %s. If browsers use that name, links will lead elsewhere, "
            "and forms that come without Sec-Fetch-Site will be refused: base_url must be the origin that browsers see",
            seen,
            self._settings.base_url,
        )


def _names_of(base_url: URL) -> frozenset[str]:
    """Return how requests name the origin of ``base_url``, or its host; proxies may write a port that browsers omit."""
    origins = str(base_url), f"{base_url.scheme}://{base_url.host_subcomponent}:{base_url.port}"
    return frozenset({*origins, *(origin.partition("://")[2] for origin in origins)})


def _origin_or_host(request: Request, settings: Settings) -> str | None:
    """Return the origin of a page of the site, or the host that a request names; None if neither is known."""
    headers = request.headers
    if headers.get("Sec-Fetch-Site") == "same-origin" and headers.get("Origin"):
        return headers["Origin"]
    # A proxy may put its own name for the gateway into Host.
    return headers.get("X-Forwarded-Host" if settings.trusted_proxies else "Host")
