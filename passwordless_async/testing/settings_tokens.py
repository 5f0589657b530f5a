"""What a login yields, and for which APIs."""

from __future__ import annotations

import enum
import types
from typing import TYPE_CHECKING

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
        apis: Audience to policy, case-sensitive; the ready ones are ``https://api.example`` (allowed),
            ``https://plain.example`` (none) and ``https://strict.example`` (required).
    """

    resource_parameter: bool = False
    access_token_lifetime: int = 86_400
    id_token_lifetime: int = 36_000
    token_type: str = "DPoP"  # noqa: S105 - the name of a type
    scope_in_answer: bool = True
    apis: Mapping[str, ApiPolicy] = attrs.field(default=_READY_APIS, converter=_apis)
