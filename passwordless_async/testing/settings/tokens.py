"""What a login yields, and for which APIs."""

from __future__ import annotations

import enum
import types
from typing import TYPE_CHECKING, Any, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

BOUND_API = "https://api.example"
PLAIN_API = "https://plain.example"
STRICT_API = "https://strict.example"


class ApiPolicy(enum.StrEnum):
    """An API's sender-constraining policy."""

    NONE = "none"
    """Plain Bearer tokens, even for a request with a proof."""
    ALLOWED = "allowed"
    """Bound tokens for requests with a proof, Bearer tokens for the others."""
    REQUIRED = "required"
    """Requests without a proof are refused."""


def _apis(given: Mapping[str, ApiPolicy | str]) -> Mapping[str, ApiPolicy]:
    return types.MappingProxyType({audience: ApiPolicy(policy) for audience, policy in given.items()})


_READY_APIS = {BOUND_API: ApiPolicy.ALLOWED, PLAIN_API: ApiPolicy.NONE, STRICT_API: ApiPolicy.REQUIRED}


@attrs.frozen(kw_only=True, slots=False)
class TokenSettings:
    """Tokens and APIs.

    Args:
        resource_parameter: Whether ``resource`` stands for ``audience`` (the compatibility profile).
        access_token_lifetime: Seconds (Auth0: a day).
        id_token_lifetime: Seconds (Auth0: ten hours).
        token_type: How the answer spells the type of a bound token.
        scope_in_answer: Whether the answer repeats the scope (no scope means the requested one).
        id_token_alg: What ID tokens are signed with: RS256, PS256, ES256, or HS256 for the application with a secret.
        auth_time_in_id_token: Whether an ID token says when the user logged in, also where ``max_age`` was not asked
            for.
        apis: Audience to policy, case-sensitive; the ready ones are ``https://api.example`` (allowed),
            ``https://plain.example`` (none) and ``https://strict.example`` (required).
        discovery: Members of ``/.well-known/openid-configuration`` that take the place of the tenant's own; None leaves
            one out.

        refresh_rotation: Whether each refresh brings a new refresh token.
        refresh_leeway: Seconds in which a refresh token that was replaced still works (Auth0: 0).
        refresh_lifetime: Seconds after the login at which its refresh tokens end (Auth0: 30 days); None: never.
        refresh_idle_lifetime: Seconds without a refresh after which they end (Auth0: 15 days); None: never.
        excess_scope: Whether a refresh that asks for more scope than was granted is ``refused`` (RFC 6749 §6), or the
            excess ``dropped``; undocumented.
        other_key_error: What a grant that is bound to another key is refused with: 400 ``invalid_dpop_proof`` or 403
            ``invalid_grant``; only the description is known.
        revocation_ends_access_tokens: Whether ``/userinfo`` refuses the access tokens of a family that was revoked.
    """

    resource_parameter: bool = False
    access_token_lifetime: int = 86_400
    id_token_lifetime: int = 36_000
    token_type: str = "DPoP"  # noqa: S105 - the name of a type
    scope_in_answer: bool = True
    id_token_alg: Literal["RS256", "PS256", "ES256", "HS256"] = "RS256"  # noqa: S105 - an algorithm
    auth_time_in_id_token: bool = False
    apis: Mapping[str, ApiPolicy] = attrs.field(default=_READY_APIS, converter=_apis)
    discovery: Mapping[str, Any] = attrs.field(factory=dict)

    refresh_rotation: bool = True
    refresh_leeway: float = 0.0
    refresh_lifetime: float | None = 2_592_000.0
    refresh_idle_lifetime: float | None = 1_296_000.0
    excess_scope: Literal["refused", "dropped"] = "refused"
    other_key_error: Literal["invalid_dpop_proof", "invalid_grant"] = "invalid_dpop_proof"
    revocation_ends_access_tokens: bool = True
