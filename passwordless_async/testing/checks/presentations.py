"""Codes and other secrets that were presented again without need, which a client must never do.

A secret may be presented again after a nonce challenge and after a 429: both are sent before the secret is checked.
After every other response, and after a lost one, it may be spent.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import attrs

if TYPE_CHECKING:
    from passwordless_async.testing.state.stats import TenantStats

_SECRETS = ("otp", "code", "refresh_token", "recovery_code")  # what a grant spends
_USERS = ("username", "auth_session", "mfa_token")  # the user that it belongs to
_MAX_GRANTS = 200_000


@attrs.define
class Presentations:
    """What was presented at the token endpoint: grant type, user and secret of each request."""

    _stats: TenantStats
    _may_be_spent: dict[tuple[str, ...], bool] = attrs.field(factory=dict, init=False, repr=False)

    def note_request(self, body: bytes) -> tuple[str, ...] | None:
        """Note a request and return what it presents; None: it presents no secret."""
        parameters = dict(parse_qsl(body.decode("ascii", "replace")))
        secret = next((parameters[name] for name in _SECRETS if name in parameters), None)
        if secret is None:
            return None
        user = next((parameters[name] for name in _USERS if parameters.get(name)), "")
        grant = (parameters.get("grant_type", ""), user, secret)
        if self._may_be_spent.get(grant):
            self._stats.presented_again += 1
        if len(self._may_be_spent) < _MAX_GRANTS:
            self._may_be_spent[grant] = True
        return grant

    def note_response(self, grant: tuple[str, ...] | None, status: int, *, challenged: bool) -> None:
        """Note the response: a nonce challenge and a 429 leave the secret unspent."""
        if grant is not None and (status == HTTPStatus.TOO_MANY_REQUESTS or challenged):
            self._may_be_spent[grant] = False
