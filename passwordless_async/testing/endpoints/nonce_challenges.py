"""Nonce challenges, in the two forms of RFC 9449: §8 at the token endpoint, §9 at a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing.endpoints.answers import NONCE_NEEDED, Refusal

if TYPE_CHECKING:
    from passwordless_async.testing.state.state import TenantState

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
USERINFO_PATH = "/userinfo"


def challenge(state: TenantState, path: str, nonce: str | None, *, error: str = "use_dpop_nonce") -> Refusal:
    """Return a challenge as an endpoint gives it, and count it.

    Args:
        state: The tenant's memory.
        path: The endpoint's path, which decides the form.
        nonce: The nonce to use next; None leaves the header out, which no sound server does.
        error: The error code at a resource; the token endpoint knows one only.
    """
    state.stats.nonce_challenges += 1
    headers = {} if nonce is None else {"DPoP-Nonce": nonce}
    if path != USERINFO_PATH:
        return Refusal(400, "use_dpop_nonce", NONCE_NEEDED, headers=headers)
    return dpop_refusal(error, "Resource server requires nonce in DPoP proof", headers)


def dpop_refusal(error: str, description: str, headers: dict[str, str] | None = None) -> Refusal:
    """Return a resource's refusal with its DPoP challenge (RFC 9449 §7.1)."""
    authenticate = f'DPoP error="{error}", error_description="{description}", algs="ES256"'
    return Refusal(401, error, description, headers={"WWW-Authenticate": authenticate, **(headers or {})})
