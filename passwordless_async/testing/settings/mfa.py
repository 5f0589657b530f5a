"""The second factor."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen(kw_only=True, slots=False)
class MfaSettings:
    """Multi-factor authentication; who has which factor is said with ``tenant.users.add(who, mfa=[…])``.

    Args:
        mfa_policy: Who needs a second factor: whoever is ``enrolled``, or ``always`` everybody.
        mfa_status: The status of ``mfa_required`` (both occur).
        mfa_requirements: The shape of ``mfa_requirements``: ``{"challenge": [{"type"}]}`` and
            ``{"enroll": [{"type"}]}``, or ``{"challenge_types": […]}`` (both occur).
        mfa_rounds: How many factors in a row a login needs; after each but the last comes another ``mfa_required``.
        mfa_enrolls: The factors that somebody without one may enrol.
        mfa_token_lifetime: Seconds (Auth0: 10 minutes).
        mfa_code_lifetime: Seconds that an out-of-band challenge lives (Auth0: 5 minutes).
        mfa_polls_per_minute: Polls that a login has (Auth0: 12); one more is told ``slow_down``.
        mfa_max_attempts: Wrong factors that end a login.
        mfa_denial: What a login is refused with that the user denied (both occur).
        mfa_key_bound: Whether the proof must be by the key of the first request; undocumented.
        basic_auth_at_mfa: Whether ``/mfa/challenge`` takes HTTP Basic (undocumented); the others bear the
            ``mfa_token`` in that header.
    """

    mfa_policy: Literal["enrolled", "always"] = "enrolled"
    mfa_status: Literal[401, 403] = 403
    mfa_requirements: Literal["challenge", "challenge_types"] = "challenge"
    mfa_rounds: int = 1
    mfa_enrolls: tuple[str, ...] = attrs.field(default=("otp", "sms", "voice", "email", "push"), converter=tuple)
    mfa_token_lifetime: float = 600.0
    mfa_code_lifetime: float = 300.0
    mfa_polls_per_minute: int = 12
    mfa_max_attempts: int = 10
    mfa_denial: Literal["invalid_grant", "access_denied"] = "invalid_grant"
    mfa_key_bound: bool = True
    basic_auth_at_mfa: bool = False
