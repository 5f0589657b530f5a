"""Logs what is wrong with the setup of an upstream or of its gateway, as the calls of users show it.

Invariants:

- Each kind of problem is logged once for each upstream: every further call of every user would show it again.
- Nothing is logged when the gateway is made: whether a setting is missing depends on the tenant's defaults, and on the
  scopes that it grants.
- No line has a token.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from passwordless_async.gateway.demands import claims_of
from passwordless_async.gateway.proxy.admission import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async._common.secret import Secret
    from passwordless_async.gateway.proxy.upstream import Upstream

_log = logging.getLogger("passwordless_async")
_CLAIMS = {"max_age": "auth_time", "acr_values": "acr"}  # the claim that a service checks for each (RFC 9470)
_MAX_SHOWN = 100  # characters of an upstream's demands


class SetupLog:
    """Logs the problems with the setup of one upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._logged: set[object] = set()

    def require_scopes(self, granted: str, requested: str) -> None:
        """Raise :class:`Refusal` if a token lacks one of the upstream's scopes; warn if no login requests it.

        Args:
            granted: The scope of the token.
            requested: The scope of logins.
        """
        missing = self._upstream.scopes.difference(granted.split())
        if not missing:
            return
        named, unrequested = ", ".join(sorted(missing)), ", ".join(sorted(missing.difference(requested.split())))
        _log.debug(
            "a call to the upstream %s is refused as scope_missing: the access token lacks %s",
            self._upstream.prefix,
            named,
        )
        if unrequested:
            self._warn_once(
                "scopes",
                "The upstream %s needs scopes that scope= of the gateway does not request (%s), and its user gets a "
                "403 (scope_missing).",
                unrequested,
            )
        raise Refusal("scope_missing", HTTPStatus.FORBIDDEN)

    def note_token(self, status: int, access_token: Secret, audience: str | None) -> None:
        """Warn if the upstream answers 401 to a token that is for no API, because the gateway has no audience."""
        if status == HTTPStatus.UNAUTHORIZED and audience is None and not claims_of(access_token):
            self._warn_once(
                "audience",
                "The upstream %s answers 401 to an access token that is not a signed JWT: audience= of the gateway is "
                "missing. It is the identifier of the API in the tenant.",
            )

    def warn_in_vain(self, demands: Mapping[str, str]) -> None:
        """Warn that the upstream demands a newer or a stronger login (RFC 9470) although the login meets the demand."""
        self._warn_once(
            frozenset(demands),
            "The upstream %s asks for a newer or a stronger login (%s), but the login is that already, and its user "
            "gets a 403 (login_not_enough). Do the access tokens have the claims that it reads (%s)?",
            " ".join(f"{name}={value[:_MAX_SHOWN]!r}" for name, value in sorted(demands.items()))
            or "without saying which",
            ", ".join(_CLAIMS[name] for name in sorted(demands)) or "auth_time, acr",
        )

    def _warn_once(self, kind: object, message: str, *more: object) -> None:
        if kind not in self._logged:
            self._logged.add(kind)
            _log.warning(f"{message} This is logged once", self._upstream.prefix, *more)
