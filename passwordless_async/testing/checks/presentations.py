"""Whether a code was presented again although nobody asked for it: the one thing that a client must never do.

A code may come again after a demand for a nonce and after a 429, which are answered before it is looked at; after
anything else, an answer that got lost included, it may be spent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import attrs

if TYPE_CHECKING:
    from passwordless_async.testing.state.stats import TenantStats

_TOO_MANY_REQUESTS = 429
_SECRETS = ("otp", "code", "refresh_token", "recovery_code")  # what a grant spends
_REMEMBERED = 200_000


@attrs.define
class Presentations:
    """What was presented at the token endpoint, by the whole of each request's grant."""

    _stats: TenantStats
    _seen: dict[tuple[str, ...], bool] = attrs.field(factory=dict, init=False, repr=False)

    def arrived(self, body: bytes) -> tuple[str, ...] | None:
        """Note a request; gives what it presents, None where that is nothing."""
        parameters = dict(parse_qsl(body.decode("ascii", "replace")))
        presented = next((parameters[name] for name in _SECRETS if name in parameters), None)
        if presented is None:
            return None
        user = parameters.get("username") or parameters.get("auth_session") or parameters.get("mfa_token") or ""
        grant = (parameters.get("grant_type", ""), user, presented)
        if self._seen.get(grant):
            self._stats.presented_again += 1
        if len(self._seen) < _REMEMBERED:
            self._seen[grant] = True
        return grant

    def answered(self, grant: tuple[str, ...] | None, status: int, *, challenged: bool) -> None:
        """Note the answer: after some the same may come again."""
        if grant is not None and (status == _TOO_MANY_REQUESTS or challenged):
            self._seen[grant] = False
