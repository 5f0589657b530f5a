"""What a tenant can be told: every knob, its unit and the precedent of its default.

Where Auth0's behaviour is undocumented the knob exists so that a test can play both answers.
"""

from __future__ import annotations

from typing import Any

import attrs

from passwordless_async.errors import UsageError
from passwordless_async.testing.settings.clients import ClientSettings
from passwordless_async.testing.settings.limits import LimitSettings
from passwordless_async.testing.settings.logins import LoginSettings
from passwordless_async.testing.settings.mfa import MfaSettings
from passwordless_async.testing.settings.proofs import ProofSettings
from passwordless_async.testing.settings.tokens import TokenSettings


@attrs.frozen(kw_only=True, slots=False)
class TenantSettings(ClientSettings, LoginSettings, MfaSettings, ProofSettings, TokenSettings, LimitSettings):
    """How a :class:`~passwordless_async.testing.LocalTenant` behaves; every argument is keyword-only.

    The arguments are those of :class:`ClientSettings`, :class:`LoginSettings`, :class:`MfaSettings`,
    :class:`ProofSettings`, :class:`TokenSettings` and :class:`LimitSettings`, where each is described.

    Raises:
        UsageError: A number is out of its range.
        ValueError: A policy or style is none that exists.
    """

    def __attrs_post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(name, f"must be 1 or more, not {value}")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a JSON object, the secret included: what goes down a tenant process's pipe."""
        return {**attrs.asdict(self, recurse=False), "apis": dict(self.apis)}


_AT_LEAST_ONE = (
    "assertion_lifetime",
    "code_length",
    "code_lifetime",
    "max_attempts",
    "mfa_rounds",
    "mfa_token_lifetime",
    "mfa_code_lifetime",
    "mfa_polls_per_minute",
    "mfa_max_attempts",
    "refresh_lifetime",
    "refresh_idle_lifetime",
    "nonce_rotation",
    "nonce_lifetime",
    "requests_per_second",
    "starts_per_hour",
    "challenges_per_hour",
    "authorization_code_lifetime",
    "failures_before_block",
    "userinfo_burst",
    "userinfo_per_minute",
    "max_body",
    "requests_kept",
    "messages_kept",
)
