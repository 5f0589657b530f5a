"""What follows a login: refresh, revocation and userinfo, each by the key that the tokens are bound to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async.auth0.flows.grant import Asked, grant
from passwordless_async.auth0.flows.tenant import prove
from passwordless_async.auth0.id_token import Expected
from passwordless_async.auth0.life_cycle import (
    read_revoke,
    read_userinfo,
    refresh_request,
    revoke_request,
    userinfo_request,
)
from passwordless_async.auth0.tokens import TokenSet
from passwordless_async.dpop import DPoPKey, ProofGenerator, rejects_token
from passwordless_async.errors import InvalidToken, KeyMismatch, KeyMissing, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.flows.tenant import Flow, Tenant


def refresh(tenant: Tenant, tokens: TokenSet, *, scope: str | None = None) -> Flow[TokenSet]:
    """Spend the refresh token for new tokens, bound to the same key (RFC 6749 §6, RFC 9449 §5).

    Raises:
        UsageError: The tokens are another tenant's or application's, or have no refresh token; nothing was sent.
        KeyMissing, KeyMismatch: Their key was stripped or exchanged; nothing was sent.
        InvalidIdToken: The new ID token is about another user (OpenID Connect Core §12.2).
        OAuthError: The service refused.
    """
    proofs = ProofGenerator(own_key(tenant, tokens))
    refresh_token, scope = _refresh_token(tokens), _check.scope(scope)
    renewed = yield from grant(
        tenant,
        proofs,
        lambda: refresh_request(tenant.application, refresh_token, scope=scope, audience=tokens.audience),
        Asked(
            scope=tokens.scope if scope is None else scope,
            audience=tokens.audience,
            expected=Expected(subject=None if tokens.claims is None else tokens.claims.get("sub")),
            # The session would be lost with it: the user is known from the ID token before, and stays who they were.
            may_go_unchecked=True,
        ),
    )
    if renewed.refresh_token is None:
        # RFC 6749 §6: without a new one the old one stays good.
        renewed = attrs.evolve(renewed, refresh_token=refresh_token)
    if renewed.claims is None:
        renewed = attrs.evolve(renewed, id_token=tokens.id_token, claims=tokens.claims)
    return renewed


def revoke(tenant: Tenant, tokens: TokenSet) -> Flow[None]:
    """Revoke the refresh token, and with it the whole session at the service (RFC 7009)."""
    own_tokens(tenant, tokens)
    request = revoke_request(tenant.application, _refresh_token(tokens))
    response = yield request
    read_revoke(request, response)


def userinfo(tenant: Tenant, tokens: TokenSet) -> Flow[Mapping[str, Any]]:
    """Ask the service for the user's claims."""
    proofs = ProofGenerator(own_key(tenant, tokens))
    request, response = yield from prove(
        tenant,
        proofs,
        lambda: userinfo_request(tenant.application, tokens.access_token),
        access_token=tokens.access_token,
    )
    if rejects_token(response):
        raise InvalidToken(status=response.status, error="invalid_token")
    return read_userinfo(request, response, None if tokens.claims is None else tokens.claims.get("sub"))


def own_tokens(tenant: Tenant, tokens: TokenSet) -> None:
    """Check that tokens are this tenant's and this application's.

    Raises:
        UsageError: They are not.
    """
    if not isinstance(tokens, TokenSet):
        raise UsageError("tokens", f"must be a TokenSet, not {type(tokens).__name__}")
    application = tenant.application
    if tokens.issuer not in {None, application.issuer}:
        raise UsageError("tokens", "are those of another tenant")
    if tokens.client_id not in {None, application.client_id}:
        raise UsageError("tokens", "are those of another application")


def own_key(tenant: Tenant, tokens: TokenSet) -> DPoPKey:
    """Return the key of tokens that are ours.

    Raises:
        UsageError: The tokens are not this tenant's or this application's.
        KeyMissing: Their key was stripped.
        KeyMismatch: Their key is not the one that they were bound to.
    """
    own_tokens(tenant, tokens)
    if not isinstance(tokens.key, DPoPKey):
        raise KeyMissing("the tokens have no key: nothing was sent")
    if tokens.jkt not in {None, tokens.key.thumbprint}:
        raise KeyMismatch("the key is not the one that the tokens are bound to: nothing was sent")
    return tokens.key


def _refresh_token(tokens: TokenSet) -> Secret:
    if tokens.refresh_token is None:
        raise UsageError("tokens", "have no refresh token: ask for the scope offline_access")
    return tokens.refresh_token
